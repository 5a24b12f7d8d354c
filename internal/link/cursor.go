package link

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

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
)

// ParseSort reads the sort parameter; "" is NewestFirst.
func ParseSort(s string) (Sort, error) {
	switch o := Sort(s); o {
	case "":
		return NewestFirst, nil
	case NewestFirst, OldestFirst, LatestChange, FirstChange, ByCode, ByCodeDown:
		return o, nil
	}
	return "", fault.Invalid("sort", "must be created_at, updated_at or short_code, with '-' before it for the other direction")
}

// Cursor is a place in a listing: after the link with this ID and this value
// of what the listing is sorted by. The zero Cursor is the beginning.
type Cursor struct {
	Sort Sort
	ID   ID
	Time time.Time // UpdatedAt, for the sorts by it
	Code Code      // for the sorts by it
}

// IsZero reports whether the cursor is the beginning.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// CursorAt gives the place after l in a listing sorted by s.
func CursorAt(s Sort, l *Link) Cursor {
	c := Cursor{Sort: s, ID: l.ID}
	switch s {
	case LatestChange, FirstChange:
		c.Time = l.UpdatedAt
	case ByCode, ByCodeDown:
		c.Code = l.Code
	}
	return c
}

// cursorSorts gives each sort its letter in a cursor's text.
var cursorSorts = map[Sort]byte{
	NewestFirst: 'c', OldestFirst: 'C', LatestChange: 'u', FirstChange: 'U', ByCode: 'S', ByCodeDown: 's',
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
	case ByCode, ByCodeDown:
		b = append(b, c.Code...)
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
	case LatestChange, FirstChange:
		if len(rest) != 8 {
			return Cursor{}, invalid
		}
		c.Time = time.UnixMilli(int64(binary.BigEndian.Uint64(rest))).UTC()
	case ByCode, ByCodeDown:
		if c.Code, err = ParseCode(string(rest)); err != nil {
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
