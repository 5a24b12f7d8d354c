package link

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kurz/internal/fault"
)

// Sort is the order of a listing. A leading '-' turns it round.
type Sort string

// The orders. Ties are broken by ID in the same direction.
const (
	NewestFirst  Sort = "-created_at" // the default
	OldestFirst  Sort = "created_at"
	LatestChange Sort = "-updated_at"
	FirstChange  Sort = "updated_at"
	ByCode       Sort = "short_code"
	ByCodeDown   Sort = "-short_code"
	ByTitle      Sort = "title" // see TitleKey
	ByTitleDown  Sort = "-title"
	FirstEnd     Sort = "expires_at" // those that never expire are the last
	LastEnd      Sort = "-expires_at"
)

// Sorts gives all orders.
func Sorts() []Sort {
	return []Sort{
		NewestFirst, OldestFirst, LatestChange, FirstChange, ByCode, ByCodeDown,
		ByTitle, ByTitleDown, FirstEnd, LastEnd,
	}
}

// Descends reports whether the greatest comes first.
func (s Sort) Descends() bool { return s == "" || s[0] == '-' }

// ParseSort reads the sort parameter; "" is NewestFirst.
func ParseSort(s string) (Sort, error) {
	if s == "" {
		return NewestFirst, nil
	}
	if o := Sort(s); slices.Contains(Sorts(), o) {
		return o, nil
	}
	return "", fault.Invalid("sort", "must be created_at, updated_at, short_code, title or expires_at, with '-' before it for the other direction")
}

// Cursor is a place in a listing: after the link with this ID and this value
// of what the listing is sorted by. The zero Cursor is the beginning.
type Cursor struct {
	Sort  Sort
	ID    ID
	Time  time.Time // UpdatedAt or ExpiresAt, for the sorts by it
	Code  Code      // for the sorts by it
	Title string    // the TitleKey, for the sorts by it
}

// IsZero reports whether the cursor is the beginning.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// CursorAt gives the place after l in a listing sorted by s.
func CursorAt(s Sort, l *Link) Cursor {
	c := Cursor{Sort: s, ID: l.ID}
	switch s {
	case LatestChange, FirstChange:
		c.Time = l.UpdatedAt
	case FirstEnd, LastEnd:
		c.Time = l.ExpiresAt
	case ByCode, ByCodeDown:
		c.Code = l.Code
	case ByTitle, ByTitleDown:
		c.Title = TitleKey(l.Title)
	}
	return c
}

// Compare tells which of two places of one listing comes first: below 0, that
// is c.
func (c *Cursor) Compare(o *Cursor) int {
	order := 0
	switch c.Sort {
	case LatestChange, FirstChange:
		order = c.Time.Compare(o.Time)
	case FirstEnd, LastEnd:
		order = cmp.Compare(EndKey(c.Time), EndKey(o.Time))
	case ByCode, ByCodeDown:
		order = strings.Compare(string(c.Code), string(o.Code))
	case ByTitle, ByTitleDown:
		order = strings.Compare(c.Title, o.Title)
	}
	if order == 0 {
		order = cmp.Compare(c.ID, o.ID)
	}
	if c.Sort.Descends() {
		return -order
	}
	return order
}

// Never is the end of a link that never expires, in milliseconds since 1970.
const Never = math.MaxInt64

// EndKey gives what links are sorted by end by.
func EndKey(expires time.Time) int64 {
	if expires.IsZero() {
		return Never
	}
	return expires.UnixMilli()
}

// cursorSorts gives each sort its letter in a cursor's text.
var cursorSorts = map[Sort]byte{
	NewestFirst: 'c', OldestFirst: 'C', LatestChange: 'u', FirstChange: 'U', ByCode: 'S', ByCodeDown: 's',
	ByTitle: 'T', ByTitleDown: 't', FirstEnd: 'E', LastEnd: 'e',
}

// String gives the opaque text that clients send back; "" for the zero Cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	b := make([]byte, 0, 17+len(c.Code))
	b = append(b, cursorSorts[c.Sort])
	b = binary.BigEndian.AppendUint64(b, uint64(c.ID))
	switch c.Sort {
	case LatestChange, FirstChange:
		b = binary.BigEndian.AppendUint64(b, uint64(c.Time.UnixMilli()))
	case FirstEnd, LastEnd:
		b = binary.BigEndian.AppendUint64(b, uint64(EndKey(c.Time)))
	case ByCode, ByCodeDown:
		b = append(b, c.Code...)
	case ByTitle, ByTitleDown:
		b = append(b, c.Title...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote, for a listing sorted by s; "" is the
// zero Cursor. Anything else is fault.ValidationFailed.
func ParseCursor(text string, s Sort) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	invalid := fault.Invalid("cursor", "is not one that this listing gave out: leave it out to begin again")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// The decoder overlooks line ends.
	if err != nil || strings.ContainsAny(text, "\r\n") || len(b) < 9 || b[0] != cursorSorts[s] {
		return Cursor{}, invalid
	}
	c := Cursor{Sort: s, ID: ID(binary.BigEndian.Uint64(b[1:9]))}
	rest := b[9:]
	switch s {
	case LatestChange, FirstChange, FirstEnd, LastEnd:
		if len(rest) != 8 {
			return Cursor{}, invalid
		}
		ms := int64(binary.BigEndian.Uint64(rest))
		if ms != Never || s == LatestChange || s == FirstChange {
			c.Time = time.UnixMilli(ms).UTC()
		}
	case ByCode, ByCodeDown:
		if c.Code, err = ParseCode(string(rest)); err != nil {
			return Cursor{}, invalid
		}
	case ByTitle, ByTitleDown:
		if c.Title = string(rest); len(rest) > maxTitleKey || !utf8.Valid(rest) {
			return Cursor{}, invalid
		}
	default:
		if len(rest) != 0 {
			return Cursor{}, invalid
		}
	}
	if c.ID <= 0 {
		return Cursor{}, invalid
	}
	return c, nil
}
