package link

import (
	"strings"
	"time"

	"kurz/internal/account"
)

// Route is what a redirect needs of a link. A Route of Version 0 says that the
// key has no link.
type Route struct {
	ID           ID
	Owner        account.ID
	Version      int64
	Destination  Href
	ExpiredURL   Href
	Status       int // 301, 302, 307 or 308
	EdgeTTL      time.Duration
	ForwardQuery bool
	StartsAt     time.Time
	ExpiresAt    time.Time
	RevokedAt    time.Time
	// LoadedAt is when the route was read from the Store, by this node's clock.
	LoadedAt time.Time
}

// Route gives what a redirect needs of the link.
func (l *Link) Route() Route {
	return Route{
		ID: l.ID, Owner: l.Owner, Version: l.Version,
		Destination: l.Destination, ExpiredURL: l.ExpiredURL,
		Status: l.RedirectStatus, EdgeTTL: l.EdgeTTL, ForwardQuery: l.ForwardQuery,
		StartsAt: l.StartsAt, ExpiresAt: l.ExpiresAt, RevokedAt: l.RevokedAt,
	}
}

// Missing is the route of a key that had no link when it was read.
func Missing(loadedAt time.Time) Route { return Route{LoadedAt: loadedAt} }

// Verdict says what a visitor gets.
type Verdict uint8

// The verdicts.
const (
	// Absent: there is no link, or not yet.
	Absent Verdict = iota
	// Redirect: to Destination. A click.
	Redirect
	// RedirectExpired: past its end, to ExpiredURL. A click.
	RedirectExpired
	// Gone: past its end.
	Gone
	// TakenDown: revoked.
	TakenDown
)

// Decide tells what a visitor gets at now, and where to. It is pure.
func (r *Route) Decide(now time.Time) (Verdict, Href) {
	if r.Version == 0 {
		return Absent, ""
	}
	switch statusAt(now, r.StartsAt, r.ExpiresAt, r.RevokedAt) {
	case Revoked:
		return TakenDown, ""
	case Expired:
		if r.ExpiredURL != "" {
			return RedirectExpired, r.ExpiredURL
		}
		return Gone, ""
	case Scheduled:
		return Absent, ""
	}
	return Redirect, r.Destination
}

// Href is a destination as stored: absolute, http or https, normalised by the
// WHATWG URL rules, ASCII, without control characters or spaces; safe to send
// in a header as it is.
type Href string

// Host gives the host without its port, lower case, IPv6 in brackets.
func (h Href) Host() string {
	_, rest, _ := strings.Cut(string(h), "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if strings.HasPrefix(rest, "[") {
		host, _, _ := strings.Cut(rest, "]")
		return host + "]"
	}
	host, _, _ := strings.Cut(rest, ":")
	return host
}

// Query gives the part between '?' and '#', without either.
func (h Href) Query() string {
	before, _, _ := strings.Cut(string(h), "#")
	_, query, _ := strings.Cut(before, "?")
	return query
}

// AppendQuery appends to dst the destination with the request's query added to
// its own, before any fragment. Bytes that a URL may not contain are
// percent-encoded, so that the result stays an Href; since every Href has a
// path, its host can't change. The trigger qr=1 of kurz's own QR codes is left
// out.
func (h Href) AppendQuery(dst []byte, query string) []byte {
	before, fragment, hasFragment := strings.Cut(string(h), "#")
	dst = append(dst, before...)
	sep := byte('?')
	if i := strings.IndexByte(before, '?'); i >= 0 {
		if sep = '&'; i == len(before)-1 || before[len(before)-1] == '&' {
			sep = 0
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" || pair == "qr=1" {
			continue
		}
		if sep != 0 {
			dst = append(dst, sep)
		}
		sep = '&'
		for i := range len(pair) {
			if c := pair[i]; c > ' ' && c < 0x7f && c != '#' && c != '"' && c != '\'' && c != '<' && c != '>' {
				dst = append(dst, c)
			} else {
				const hex = "0123456789ABCDEF"
				dst = append(dst, '%', hex[c>>4], hex[c&15])
			}
		}
	}
	if hasFragment {
		dst = append(dst, '#')
		dst = append(dst, fragment...)
	}
	return dst
}
