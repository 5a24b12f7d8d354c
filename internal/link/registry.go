package link

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// Settings are what a Registry works with and by. All but Changed and Warn are
// needed.
type Settings struct {
	Store   Store
	Codes   Codes
	IDs     *IDs
	Domains *Domains
	Policy  Policy
	// CodeLength is that of generated codes, unless a creation names another.
	CodeLength int
	// AnonymousCreate lets people without a key make links.
	AnonymousCreate bool
	Now             func() time.Time
	// Changed is told what a link became, after that is durable and before the
	// caller hears of it; and of each link of which a failed creation left it
	// open whether it is made, with a Route of Version 0.
	Changed func(ctx context.Context, c Change)
	// Warn is told what the operator should know: a message and pairs of key
	// and value.
	Warn func(msg string, args ...any)
}

// Change says what a link became.
type Change struct {
	Key   Key
	Route Route
}

// Registry holds the rules under which links are made, read and changed. The
// API, the command line and bulk jobs all go through it. It is safe for
// concurrent use.
type Registry struct {
	s Settings

	mu   sync.Mutex
	keys map[ID]Key // of links that were asked for lately
}

// NewRegistry makes a Registry.
func NewRegistry(s Settings) *Registry {
	if s.Changed == nil {
		s.Changed = func(context.Context, Change) {}
	}
	if s.Warn == nil {
		s.Warn = func(string, ...any) {}
	}
	return &Registry{s: s, keys: map[ID]Key{}}
}

// draws is how often a code is drawn at one length before the next length.
const draws = 5

// Create makes a link, or gives the one that stands in for it (see Outcome).
// What the creation asks wrongly is reported all at once, as
// fault.ValidationFailed with details, or as fault.InvalidURL where only the
// destination is wrong. An alias that is taken is fault.AliasTaken.
func (r *Registry) Create(ctx context.Context, a account.Actor, c Creation) (Link, Outcome, error) {
	if err := r.mayCreate(a); err != nil {
		return Link{}, 0, err
	}
	n, err := r.creation(a, c, r.now())
	if err != nil {
		return Link{}, 0, err
	}
	l, outcome, err := r.insert(ctx, n, c.CodeLength)
	if err == nil && outcome != Found {
		r.s.Changed(ctx, Change{l.Key, l.Route()})
	}
	return l, outcome, err
}

func (r *Registry) mayCreate(a account.Actor) error {
	if a.Anonymous() && !r.s.AnonymousCreate {
		return a.MayManage(0)
	}
	return nil
}

// creation makes what the store is to insert, without ID and, unless it has an
// alias, without code.
func (r *Registry) creation(a account.Actor, c Creation, now time.Time) (New, error) {
	l, err := r.draft(a, c, now)
	if err != nil {
		return New{}, err
	}
	n := New{Link: l, At: now}
	switch {
	case c.ContentID != "":
		n.Match = MatchContent
	case c.FindExisting:
		n.Match = MatchDestination
	}
	return n, nil
}

// insert stores a link under its alias, or under codes drawn until one is free.
func (r *Registry) insert(ctx context.Context, n New, length int) (Link, Outcome, error) {
	d := r.drawing(length)
	for {
		if err := r.draw(ctx, &n.Link, &d); err != nil {
			return Link{}, 0, err
		}
		l, outcome, err := r.s.Store.Insert(ctx, n)
		switch again, err := d.again(&n.Link, err); {
		case again:
		case err != nil && !fault.Is(err, fault.AliasTaken):
			// It may have been stored all the same, or be stored in a moment.
			r.s.Changed(ctx, Change{Key: n.Link.Key})
			return Link{}, 0, err
		default:
			return l, outcome, err
		}
	}
}

// drawing is how far the search for a free code is.
type drawing struct{ length, attempt int }

func (r *Registry) drawing(length int) drawing {
	return drawing{length: cmp.Or(length, r.s.CodeLength)}
}

// draw gives a link an ID and, unless it has an alias, a code.
func (r *Registry) draw(ctx context.Context, l *Link, d *drawing) (err error) {
	if d.attempt > 0 && d.attempt%draws == 0 && !l.Alias {
		if d.length == MaxGeneratedCode {
			return errors.New("no free code found")
		}
		d.length++
		r.s.Warn("short codes of this length are running out: raise KURZ_CODE_LENGTH", "length", d.length-1)
	}
	if l.ID, err = r.s.IDs.Next(); err != nil {
		return err
	}
	if !l.Alias {
		l.Code, err = r.s.Codes.Next(ctx, Draw{Attempt: d.attempt, Length: d.length, Owner: l.Owner, Destination: l.Destination})
	}
	return err
}

// again judges what the store said: whether another ID or code is to be drawn, or
// what the error is.
func (d *drawing) again(l *Link, err error) (bool, error) {
	switch {
	case errors.Is(err, ErrIDTaken) && d.attempt <= 100, fault.Is(err, fault.AliasTaken) && !l.Alias:
		d.attempt++
		return true, nil
	}
	return false, err
}

// Get reads a link for someone who may manage it.
func (r *Registry) Get(ctx context.Context, a account.Actor, k Key) (Link, error) {
	if err := identified(a); err != nil {
		return Link{}, err
	}
	l, err := r.s.Store.Get(ctx, k)
	if err != nil {
		return Link{}, err
	}
	if err := a.MayManage(l.Owner); err != nil {
		return Link{}, err
	}
	return l, nil
}

// Peek reads a link for anyone: what a preview shows of it is public.
func (r *Registry) Peek(ctx context.Context, k Key) (Link, error) {
	return r.s.Store.Get(ctx, k)
}

// maxKeys bounds the keys that Keys remembers, some 100 bytes each, and
// keysAtOnce those that it asks the Store for.
const (
	maxKeys    = 10_000
	keysAtOnce = 500
)

// Keys gives the keys of links by their IDs; one that no link has is missing.
// They are remembered, which is right for ever: a link keeps its key, and its
// ID is never another's. Whether someone may know them is the caller's matter.
func (r *Registry) Keys(ctx context.Context, ids []ID) (map[ID]Key, error) {
	keys := make(map[ID]Key, len(ids))
	var unknown []ID
	r.mu.Lock()
	for _, id := range ids {
		if k, ok := r.keys[id]; ok {
			keys[id] = k
		} else {
			unknown = append(unknown, id)
		}
	}
	r.mu.Unlock()
	slices.Sort(unknown)
	for some := range slices.Chunk(slices.Compact(unknown), keysAtOnce) {
		found, err := r.s.Store.Keys(ctx, some)
		if err != nil {
			return nil, err
		}
		maps.Copy(keys, found)
		r.mu.Lock()
		if len(r.keys)+len(found) > maxKeys {
			clear(r.keys)
		}
		maps.Copy(r.keys, found)
		r.mu.Unlock()
	}
	return keys, nil
}

// Page lists links: an admin's query may be about everybody's, anyone else's
// is about their own.
func (r *Registry) Page(ctx context.Context, a account.Actor, q Query) ([]Link, Cursor, error) {
	if err := identified(a); err != nil {
		return nil, Cursor{}, err
	}
	if !a.IsAdmin() {
		q.Owner = a.User
	}
	q.Now = r.now()
	return r.s.Store.Page(ctx, q)
}

// Update changes a link. Unless ifVersion is 0, the link must still have that
// version, else fault.PreconditionFailed. A patch that changes nothing leaves
// the version as it is.
func (r *Registry) Update(ctx context.Context, a account.Actor, k Key, p Patch, ifVersion int64) (Link, error) {
	return r.change(ctx, a, k, ifVersion, func(l *Link, now time.Time) error {
		return r.apply(l, p, now)
	})
}

// Revoke takes a link down now. Doing it again changes nothing.
func (r *Registry) Revoke(ctx context.Context, a account.Actor, k Key) error {
	_, err := r.change(ctx, a, k, 0, func(l *Link, now time.Time) error {
		if l.Status(now) != Revoked {
			l.RevokedAt = now
		}
		return nil
	})
	return err
}

// archivers is how many links Archive changes at once, so that stores may commit
// them together.
const archivers = 32

// Archive puts away the links that ended, by expiry or revocation, before a time
// and have not begun anew since. Done is told of each. It gives how many they
// were, also where it fails half-way; who calls it again goes on.
func (r *Registry) Archive(ctx context.Context, before time.Time, done func(Link)) (n int, err error) {
	for _, status := range []Status{Expired, Revoked} {
		q := Query{Status: status, Now: before, Sort: OldestFirst, Limit: 500}
		for {
			links, next, err := r.s.Store.Page(ctx, q)
			if err != nil {
				return n, err
			}
			archived, err := r.archive(ctx, links, done)
			if n += archived; err != nil {
				return n, err
			}
			if next.IsZero() {
				break
			}
			q.After = next
		}
	}
	return n, nil
}

func (r *Registry) archive(ctx context.Context, links []Link, done func(Link)) (n int, err error) {
	var mu sync.Mutex
	for some := range slices.Chunk(links, archivers) {
		var all sync.WaitGroup
		for _, l := range some {
			all.Go(func() {
				l.ArchivedAt = r.now()
				changed, e := r.s.Store.Update(ctx, l)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case e == nil:
					n++
					r.s.Changed(ctx, Change{changed.Key, changed.Route()})
					done(changed)
				case fault.Is(e, fault.PreconditionFailed): // someone was faster: another time
				default:
					err = errors.Join(err, e)
				}
			})
		}
		if all.Wait(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// change reads a link, changes it and stores it, again from the start where
// someone else was faster and no version was asked for.
func (r *Registry) change(ctx context.Context, a account.Actor, k Key, ifVersion int64, edit func(*Link, time.Time) error) (Link, error) {
	for attempt := 0; ; attempt++ {
		old, err := r.Get(ctx, a, k)
		if err != nil {
			return Link{}, err
		}
		if ifVersion != 0 && old.Version != ifVersion {
			return Link{}, fault.New(fault.PreconditionFailed, "The link was changed meanwhile: read it again and repeat the change")
		}
		l, now := old.clone(), r.now()
		if err := edit(&l, now); err != nil {
			return Link{}, err
		}
		if l.equal(&old) {
			return old, nil
		}
		if status := l.Status(now); status != Expired && status != Revoked {
			l.ArchivedAt = time.Time{} // it lives again
		}
		l.UpdatedAt = now
		changed, err := r.s.Store.Update(ctx, l)
		switch {
		case err == nil:
			r.s.Changed(ctx, Change{changed.Key, changed.Route()})
			return changed, nil
		case fault.Is(err, fault.PreconditionFailed) && ifVersion == 0 && attempt < 20:
		default:
			return Link{}, err
		}
	}
}

func (r *Registry) now() time.Time { return r.s.Now().UTC().Truncate(time.Millisecond) }

// identified gives fault.Unauthorized for an anonymous actor, before anything
// is looked up: whoever has no key does not learn what exists.
func identified(a account.Actor) error {
	if a.Anonymous() {
		return a.MayManage(0)
	}
	return nil
}
