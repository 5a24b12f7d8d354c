package export

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// needsQuote reports whether a spreadsheet may take a text for a formula (OWASP,
// CSV injection), or whether it looks like one that was kept from that.
func needsQuote(s string) bool {
	s = strings.TrimLeft(s, "'")
	if s == "" {
		return false
	}
	switch s[0] {
	case '\t', '\r', '\n':
		return true
	}
	rest := strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
	switch r, _ := utf8.DecodeRuneInString(rest); r {
	case '=', '+', '-', '@', '＝', '＋', '－', '＠':
		return true
	}
	return false
}

// harmless keeps spreadsheets from taking a text for a formula; harmful gives
// back, of every text, what harmless was given.
func harmless(s string) string {
	if needsQuote(s) {
		return "'" + s
	}
	return s
}

func harmful(s string) string {
	if rest, ok := strings.CutPrefix(s, "'"); ok && needsQuote(rest) {
		return rest
	}
	return s
}

// Plain gives a cell's text without what kept a spreadsheet from taking it for a
// formula.
func Plain(cell string) string { return harmful(cell) }

// Harmless keeps spreadsheets from taking a text for a formula.
func Harmless(s string) string { return harmless(s) }

// ParseTime reads a time as files have it: RFC 3339, or what spreadsheets make of
// it; one without a zone is UTC.
func ParseTime(s string) (time.Time, error) { return parseTime(s) }

// ParseBool reads true or false, also as 1, 0, yes and no.
func ParseBool(s string) (bool, error) { return parseBool(s) }

// SplitTags reads tags that commas or bars separate, or a JSON array of them.
func SplitTags(s string) []string { return splitTags(s) }

// joinTags and splitTags write tags into a cell: separated by commas, or, where
// that can't be told apart, as a JSON array.
func joinTags(list []string) string {
	text := strings.Join(list, ",")
	if slices.Equal(splitTags(text), list) || len(list) == 0 {
		return text
	}
	b, err := json.Marshal(list)
	if err != nil {
		return text
	}
	return string(b)
}

func splitTags(s string) []string {
	var list []string
	if strings.HasPrefix(s, "[") && json.Unmarshal([]byte(s), &list) == nil {
		return list
	}
	separator := ","
	if strings.Contains(s, "|") && !strings.Contains(s, ",") {
		separator = "|"
	}
	for tag := range strings.SplitSeq(s, separator) {
		if tag = strings.TrimSpace(tag); tag != "" {
			list = append(list, tag)
		}
	}
	return list
}

// layouts are those of times that exports have. One without a zone is UTC.
var layouts = []string{
	time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05-07:00",
	"2006-01-02 15:04", time.DateOnly, "Jan 2, 2006", "2006-01-02 15:04:05 MST", "Mon Jan 02 2006 15:04:05 GMT-0700",
}

func parseTime(s string) (time.Time, error) {
	// JavaScript puts the name of the zone behind its offset.
	text, _, _ := strings.Cut(s, " (")
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Truncate(time.Millisecond), nil
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 1e8 && n < 1e11 {
		return time.Unix(n, 0).UTC(), nil // seconds since 1970
	}
	return time.Time{}, fmt.Errorf("%s is not a time", clip(s))
}

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.ReplaceAll(s, ",", ""), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/2 {
		return 0, fmt.Errorf("%s is not a number of clicks", clip(s))
	}
	return n, nil
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "yes":
		return true, nil
	case "false", "0", "no":
		return false, nil
	}
	return false, fmt.Errorf("%s is neither true nor false", clip(s))
}

// clip makes a stranger's text fit for a message.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(strings.ToValidUTF8(s, "?"))
}

// set puts a value into a row. An empty one says nothing.
func (r *Row) set(f field, name, value string) (err error) {
	if value == "" || f == ignored {
		return nil
	}
	switch f {
	case lost:
		if is, err := parseBool(value); err != nil || is {
			r.Lost = append(r.Lost, name)
		}
	case shortCode:
		r.ShortCode = strings.Trim(value, "/")
	case shortURL:
		r.setShortURL(value)
	case host:
		r.Domain = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(value, "https://"), "http://"), "/")
	case longURL:
		r.LongURL = value
	case alias:
		r.Alias, r.ShortCode = true, value
	case owner:
		r.Owner = value
	case ownerEmail:
		r.OwnerEmail = value
	case title:
		r.Title = value
	case notes:
		r.Notes = value
	case tags:
		r.Tags = append(r.Tags, splitTags(value)...)
	case contentID:
		r.ContentID = value
	case redirectStatus:
		r.RedirectStatus, err = strconv.Atoi(value)
	case edgeTTL:
		r.EdgeTTL, err = strconv.Atoi(value)
	case forwardQuery:
		r.ForwardQuery, err = parseBool(value)
	case expiredURL:
		r.ExpiredURL = value
	case clicks:
		r.Clicks, err = parseCount(value)
	default:
		return r.setTime(f, value)
	}
	return err
}

func (r *Row) setTime(f field, value string) error {
	if f == banned {
		var err error
		r.Banned, err = parseBool(value)
		return err
	}
	to := map[field]*time.Time{
		createdAt: &r.CreatedAt, updatedAt: &r.UpdatedAt, startsAt: &r.StartsAt, expiresAt: &r.ExpiresAt, revokedAt: &r.RevokedAt,
	}[f]
	t, err := parseTime(value)
	*to = t
	return err
}

// setShortURL takes the host and the code from a short URL, whichever of them
// no column of its own says.
func (r *Row) setShortURL(s string) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
	domain, code, ok := strings.Cut(s, "/")
	if !ok {
		domain, code = "", s
	}
	if r.Domain == "" {
		r.Domain = domain
	}
	if r.ShortCode == "" {
		r.ShortCode = strings.Trim(code, "/")
	}
}
