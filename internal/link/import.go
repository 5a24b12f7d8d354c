package link

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// Imported is a link that was made elsewhere: with another kurz, or with another
// shortener.
type Imported struct {
	// Creation says what the link is to be. Its times may lie in the past. Alias
	// is the code that it has; with "" one is drawn. FindExisting and CodeLength
	// are not looked at.
	Creation
	// Generated reports that the code was not asked for there.
	Generated bool
	Owner     account.ID // 0: nobody
	// CreatedAt and UpdatedAt are now where they are zero.
	CreatedAt   time.Time
	UpdatedAt   time.Time
	RevokedAt   time.Time // zero: not taken down
	PriorClicks int64
}

// Import stores a link as it was elsewhere: with its code, its dates and its
// number of clicks, under the rules of Create for everything else. Only an admin
// may import what is another's. A code that is taken is fault.AliasTaken; where
// the owner has another unrevoked link for the same (ContentID, LongURL), it is
// fault.AlreadyExists. The outcome is Inserted or, by Operation, Repeated.
func (r *Registry) Import(ctx context.Context, a account.Actor, i Imported) (Link, Outcome, error) {
	if err := a.MayManage(i.Owner); err != nil {
		return Link{}, 0, err
	}
	now := r.now()
	l, err := r.imported(i, now)
	if err != nil {
		return Link{}, 0, err
	}
	n := New{Link: l, At: now}
	if l.ContentID != "" && l.Status(now) != Revoked {
		n.Match = MatchContent
	}
	var outcome Outcome
	if l.Code == "" {
		l, outcome, err = r.insert(ctx, n, 0)
	} else {
		l, outcome, err = r.insertAs(ctx, n)
	}
	switch {
	case err != nil:
		return Link{}, 0, err
	case outcome == Found:
		return Link{}, 0, fault.New(fault.AlreadyExists, "Another link of the owner, '%s', has this content_id and destination", l.Code)
	}
	r.s.Changed(ctx, Change{l.Key, l.Route()})
	return l, outcome, nil
}

// CheckImport gives the link that Import would store, without ID, as far as the
// store need not be asked.
func (r *Registry) CheckImport(i Imported) (Link, error) { return r.imported(i, r.now()) }

// imported makes the link.
func (r *Registry) imported(i Imported, now time.Time) (Link, error) {
	var e faults
	moment := func(field string, t, none time.Time) time.Time {
		if t.IsZero() {
			return none
		}
		return normalTime(&e, field, t)
	}
	l := Link{
		Owner: i.Owner, Operation: i.Operation, Version: 1, ContentID: i.ContentID, RedirectStatus: 302, PriorClicks: i.PriorClicks,
		CreatedAt: moment("created_at", i.CreatedAt, now), RevokedAt: moment("revoked_at", i.RevokedAt, time.Time{}),
		// Those in the past are no mistake here.
		ExpiresAt: moment("expires_at", i.ExpiresAt, time.Time{}),
	}
	l.UpdatedAt = moment("updated_at", i.UpdatedAt, l.CreatedAt)
	var err error
	l.Domain, err = r.s.Domains.Named(i.Domain)
	e.add(err)
	if i.Alias != "" {
		l.Alias = !i.Generated
		l.Code, err = ParseAlias(i.Alias)
		e.add(rename(err, "short_code"))
	}
	if i.PriorClicks < 0 {
		e.field("clicks", "may not be below 0")
	}
	e.text("content_id", i.ContentID, MaxContentID)
	p := Patch{
		LongURL: &i.LongURL, StartsAt: &i.StartsAt, ExpiresAt: &l.ExpiresAt, ExpiredURL: &i.ExpiredURL,
		RedirectStatus: &i.RedirectStatus, EdgeTTL: &i.EdgeTTL, ForwardQuery: &i.ForwardQuery,
		Title: &i.Title, Notes: &i.Notes, Tags: &i.Tags,
	}
	e.add(r.apply(&l, p, now))
	return l, e.err()
}

// insertAs stores a link under its code, with an ID that stands where it was
// made among the others.
func (r *Registry) insertAs(ctx context.Context, n New) (Link, Outcome, error) {
	for attempt := range 64 {
		var err error
		if n.Link.ID, err = r.s.IDs.At(n.Link.CreatedAt, attempt); err != nil {
			return Link{}, 0, err
		}
		l, outcome, err := r.s.Store.Insert(ctx, n)
		if errors.Is(err, ErrIDTaken) {
			continue
		}
		if err != nil && !fault.Is(err, fault.AliasTaken) {
			// It may have been stored all the same, or be stored in a moment.
			r.s.Changed(ctx, Change{Key: n.Link.Key})
		}
		return l, outcome, err
	}
	return Link{}, 0, ErrIDTaken
}

// At gives an ID for a link that was made at a time: among those of links made
// around then, and the farther from it the more attempts there were. Links of
// before 2020 are in the order of their creation to within minutes.
func (s *IDs) At(t time.Time, attempt int) (ID, error) {
	var b [8]byte
	if _, err := io.ReadFull(s.rand, b[:]); err != nil {
		return 0, err
	}
	random := int64(binary.BigEndian.Uint64(b[:]) >> 1)
	const early = 1 << idTimeShift // IDs that no time since 2020 has
	if ms := t.Sub(idEpoch).Milliseconds(); ms > 0 {
		return ID(ms)<<idTimeShift | ID(random%early), nil
	}
	since := min(max(t.Unix(), 0), idEpoch.Unix())
	away := random % (1 << min(attempt, idTimeShift-1))
	if since > idEpoch.Unix()/2 { // there is room before it, and after it for the others
		away = -away
	}
	return ID(max(1, min(since*early/idEpoch.Unix()+away, early-1))), nil
}
