package link

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// Bounds of a link's texts, in bytes.
const (
	MaxTitle     = 512
	MaxNotes     = 4096
	MaxTags      = 20
	MaxTag       = 64
	MaxContentID = 256
	MaxEdgeTTL   = 365 * 24 * time.Hour
)

// Creation is what someone asks for. Zero values leave a field to its default.
type Creation struct {
	LongURL        string
	Alias          string // "": a generated code
	Domain         string
	StartsAt       time.Time
	ExpiresAt      time.Time
	ExpiredURL     string
	RedirectStatus int
	EdgeTTL        time.Duration // whole seconds
	ForwardQuery   bool
	Title          string
	Notes          string
	Tags           []string
	ContentID      string
	FindExisting   bool
	CodeLength     int
	// Operation, unless zero, makes a repeated Create give the first's link.
	Operation Operation
}

// Patch is what someone changes: nil leaves a field as it is, a zero value
// removes it or sets its default.
type Patch struct {
	LongURL        *string
	StartsAt       *time.Time
	ExpiresAt      *time.Time
	RevokedAt      *time.Time
	ExpiredURL     *string
	RedirectStatus *int
	EdgeTTL        *time.Duration
	ForwardQuery   *bool
	Title          *string
	Notes          *string
	Tags           *[]string
}

// draft makes the link that a creation asks for, without ID and, unless it has
// an alias, without code.
func (r *Registry) draft(a account.Actor, c Creation, now time.Time) (Link, error) {
	var e faults
	l := Link{
		Owner: a.User, Operation: c.Operation, Version: 1,
		CreatedAt: now, UpdatedAt: now, RedirectStatus: 302,
	}
	var err error
	l.Domain, err = r.s.Domains.Named(c.Domain)
	e.add(err)
	if c.Alias != "" {
		l.Alias = true
		l.Code, err = ParseAlias(c.Alias)
		e.add(err)
	}
	if c.CodeLength != 0 && (c.CodeLength < MinGeneratedCode || c.CodeLength > MaxGeneratedCode) {
		e.field("code_length", "must be from %d to %d", MinGeneratedCode, MaxGeneratedCode)
	}
	if a.User == 0 && (c.ContentID != "" || c.FindExisting) {
		field := "content_id"
		if c.ContentID == "" {
			field = "find_existing"
		}
		e.field(field, "needs an API key: links without an owner are not looked up")
	}
	e.text("content_id", c.ContentID, MaxContentID)
	l.ContentID = c.ContentID
	p := Patch{
		LongURL: &c.LongURL, StartsAt: &c.StartsAt, ExpiresAt: &c.ExpiresAt, ExpiredURL: &c.ExpiredURL,
		RedirectStatus: &c.RedirectStatus, EdgeTTL: &c.EdgeTTL, ForwardQuery: &c.ForwardQuery,
		Title: &c.Title, Notes: &c.Notes, Tags: &c.Tags,
	}
	e.add(r.apply(&l, p, now))
	return l, e.err()
}

// apply changes l by p and checks what it becomes.
func (r *Registry) apply(l *Link, p Patch, now time.Time) error {
	var e faults
	if p.LongURL != nil {
		href, err := ParseDestination(*p.LongURL, r.s.Policy)
		e.add(err)
		l.Destination = href
	}
	if p.ExpiredURL != nil {
		l.ExpiredURL = ""
		if *p.ExpiredURL != "" {
			href, err := ParseDestination(*p.ExpiredURL, r.s.Policy)
			e.add(rename(err, "expired_url"))
			l.ExpiredURL = href
		}
	}
	applyTimes(&e, l, p, now)
	if p.RedirectStatus != nil {
		switch *p.RedirectStatus {
		case 0:
			l.RedirectStatus = 302
		case 301, 302, 307, 308:
			l.RedirectStatus = *p.RedirectStatus
		default:
			e.field("redirect_status", "must be 301, 302, 307 or 308")
		}
	}
	if p.EdgeTTL != nil {
		if l.EdgeTTL = *p.EdgeTTL; l.EdgeTTL < 0 || l.EdgeTTL > MaxEdgeTTL || l.EdgeTTL%time.Second != 0 {
			e.field("edge_ttl", "must be a whole number of seconds from 0 to %d", MaxEdgeTTL/time.Second)
		}
	}
	if p.ForwardQuery != nil {
		l.ForwardQuery = *p.ForwardQuery
	}
	if p.Title != nil {
		l.Title = *p.Title
		e.text("title", l.Title, MaxTitle)
	}
	if p.Notes != nil {
		l.Notes = *p.Notes
		e.text("notes", l.Notes, MaxNotes)
	}
	if p.Tags != nil {
		l.Tags = normalTags(&e, *p.Tags)
	}
	return e.err()
}

// clockSkew is how far a client's "now" may lie in the past.
const clockSkew = time.Minute

func applyTimes(e *faults, l *Link, p Patch, now time.Time) {
	if p.StartsAt != nil {
		l.StartsAt = normalTime(e, "starts_at", *p.StartsAt)
	}
	if p.ExpiresAt != nil {
		at := normalTime(e, "expires_at", *p.ExpiresAt)
		// A client that sends back what it read changes nothing.
		if !at.IsZero() && !at.After(now) && !at.Equal(l.ExpiresAt) {
			e.field("expires_at", "lies in the past")
		}
		l.ExpiresAt = at
	}
	if (p.StartsAt != nil || p.ExpiresAt != nil) &&
		!l.StartsAt.IsZero() && !l.ExpiresAt.IsZero() && !l.ExpiresAt.After(l.StartsAt) {
		e.field("expires_at", "must be after starts_at")
	}
	if p.RevokedAt != nil {
		at := normalTime(e, "revoked_at", *p.RevokedAt)
		switch {
		case at.IsZero() || at.After(now):
			l.RevokedAt = at
		case at.Equal(l.RevokedAt): // as above
		case now.Sub(at) <= clockSkew:
			l.RevokedAt = now
		default:
			e.field("revoked_at", "lies in the past: send a time now or later, or null to restore the link")
		}
	}
}

// normalTime gives t in UTC to the millisecond.
func normalTime(e *faults, field string, t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		e.field(field, "must lie between the years 1970 and 9999")
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// normalTags gives the tags trimmed, sorted and without doubles.
func normalTags(e *faults, tags []string) []string {
	var out []string
	for i, tag := range tags {
		tag = strings.TrimSpace(tag)
		e.text(fmt.Sprintf("tags[%d]", i), tag, MaxTag)
		if tag == "" {
			e.field(fmt.Sprintf("tags[%d]", i), "is empty")
		}
		out = append(out, tag)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > MaxTags {
		e.field("tags", "must be at most %d", MaxTags)
	}
	return out
}

func (l *Link) clone() Link {
	c := *l
	c.Tags = slices.Clone(l.Tags)
	return c
}

// equal reports whether two states of one link are the same but for UpdatedAt
// and Version.
func (l *Link) equal(o *Link) bool {
	return l.Destination == o.Destination && l.Title == o.Title && l.Notes == o.Notes &&
		slices.Equal(l.Tags, o.Tags) && l.RedirectStatus == o.RedirectStatus &&
		l.EdgeTTL == o.EdgeTTL && l.ForwardQuery == o.ForwardQuery && l.ExpiredURL == o.ExpiredURL &&
		l.StartsAt.Equal(o.StartsAt) && l.ExpiresAt.Equal(o.ExpiresAt) && l.RevokedAt.Equal(o.RevokedAt)
}

// faults gathers what is wrong with a request, so that all of it is reported
// at once.
type faults struct{ list []*fault.Error }

func (e *faults) field(name, format string, args ...any) {
	e.list = append(e.list, fault.Invalid(name, format, args...))
}

func (e *faults) add(err error) {
	if err != nil {
		e.list = append(e.list, fault.Of(err))
	}
}

func (e *faults) text(field, s string, limit int) {
	switch {
	case len(s) > limit:
		e.field(field, "must have at most %d bytes", limit)
	case !utf8.ValidString(s):
		e.field(field, "is not valid UTF-8")
	case strings.ContainsRune(s, 0):
		e.field(field, "contains a NUL character")
	}
}

// err gives the only fault as it is, or one of all. A fault that is neither a
// bad URL nor a bad field outweighs the rest.
func (e *faults) err() error {
	switch len(e.list) {
	case 0:
		return nil
	case 1:
		return e.list[0]
	}
	all := fault.New(fault.ValidationFailed, "Several fields are wrong")
	for _, f := range e.list {
		if f.Code != fault.ValidationFailed && f.Code != fault.InvalidURL {
			return f
		}
		all.Details = append(all.Details, f.Details...)
	}
	return all
}

// rename gives a destination's fault the name of another field.
func rename(err error, field string) error {
	if f := fault.Of(err); err != nil && len(f.Details) == 1 {
		return &fault.Error{
			Code: f.Code, Message: strings.Replace(f.Message, "The URL", field, 1),
			Details: []fault.Detail{{Field: field, Reason: f.Details[0].Reason}},
		}
	}
	return err
}
