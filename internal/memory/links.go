// Package memory keeps everything in the process: the hot caches of a node,
// its rate limits, and stores for tests and trials that are gone when the
// program ends.
//
// Routes and Limits are made for the redirect: bounded, sharded, without an
// allocation on a hit. The stores are made to be simple; they are the
// contracts' smallest true implementation.
package memory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// Links is a link.Store.
type Links struct {
	mu         sync.RWMutex
	byKey      map[link.Key]*link.Link
	codes      map[link.Code]bool // of any domain
	byID       map[link.ID]*link.Link
	operations map[link.Operation]*link.Link
	// byDestination finds the candidates of a match.
	byDestination map[ownedDestination][]*link.Link
	changes       []link.Key // the nth has mark n+1
}

type ownedDestination struct {
	owner       account.ID
	destination link.Href
}

var _ link.Store = (*Links)(nil)

// NewLinks makes an empty store.
func NewLinks() *Links {
	return &Links{
		byKey:         map[link.Key]*link.Link{},
		codes:         map[link.Code]bool{},
		byID:          map[link.ID]*link.Link{},
		operations:    map[link.Operation]*link.Link{},
		byDestination: map[ownedDestination][]*link.Link{},
	}
}

// Insert is that of link.Store.
func (s *Links) Insert(ctx context.Context, n link.New) (link.Link, link.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return link.Link{}, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.insert(n)
}

// InsertMany is that of link.Store.
func (s *Links) InsertMany(ctx context.Context, list []link.New) ([]link.Made, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := make([]link.Made, len(list))
	for i, n := range list {
		made[i].Link, made[i].Outcome, made[i].Err = s.insert(n)
	}
	return made, nil
}

func (s *Links) insert(n link.New) (link.Link, link.Outcome, error) {
	if n.Link.Operation != (link.Operation{}) {
		if l := s.operations[n.Link.Operation]; l != nil {
			return copied(l), link.Repeated, nil
		}
	}
	if l := s.match(n); l != nil {
		return copied(l), link.Found, nil
	}
	if s.byKey[n.Link.Key] != nil {
		return link.Link{}, 0, fault.New(fault.AliasTaken, "Short code '%s' is taken", n.Link.Code)
	}
	if s.byID[n.Link.ID] != nil {
		return link.Link{}, 0, link.ErrIDTaken
	}
	l := copied(&n.Link)
	s.byKey[l.Key], s.codes[l.Code] = &l, true
	s.changes = append(s.changes, l.Key)
	s.byID[l.ID] = &l
	if l.Operation != (link.Operation{}) {
		s.operations[l.Operation] = &l
	}
	at := ownedDestination{l.Owner, l.Destination}
	if l.Owner != 0 {
		s.byDestination[at] = append(s.byDestination[at], &l)
	}
	return copied(&l), link.Inserted, nil
}

// match finds the oldest link that stands in for n.
func (s *Links) match(n link.New) (oldest *link.Link) {
	if n.Match == link.MatchNone || n.Link.Owner == 0 {
		return nil
	}
	for _, l := range s.byDestination[ownedDestination{n.Link.Owner, n.Link.Destination}] {
		if standsIn(l, &n) && (oldest == nil || l.ID < oldest.ID) {
			oldest = l
		}
	}
	return oldest
}

func standsIn(l *link.Link, n *link.New) bool {
	status := l.Status(n.At)
	if n.Match == link.MatchDestination {
		return status != link.Revoked && status != link.Expired
	}
	return status != link.Revoked && l.ContentID == n.Link.ContentID
}

// Update is that of link.Store.
func (s *Links) Update(ctx context.Context, l link.Link) (link.Link, error) {
	if err := ctx.Err(); err != nil {
		return link.Link{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.byKey[l.Key]
	if old == nil {
		return link.Link{}, notFound(l.Key)
	}
	if old.Version != l.Version {
		return link.Link{}, fault.New(fault.PreconditionFailed, "The link was changed meanwhile: read it again")
	}
	l = copied(&l)
	l.ID, l.Owner, l.ContentID, l.Alias = old.ID, old.Owner, old.ContentID, old.Alias
	l.CreatedAt, l.Operation, l.PriorClicks = old.CreatedAt, old.Operation, old.PriorClicks
	l.Version++
	if s.twin(&l) {
		return link.Link{}, fault.New(fault.AlreadyExists, "Another link of yours has this content_id and destination")
	}
	was, is := ownedDestination{old.Owner, old.Destination}, ownedDestination{l.Owner, l.Destination}
	if l.Owner != 0 && was != is {
		s.byDestination[was] = slices.DeleteFunc(s.byDestination[was], func(o *link.Link) bool { return o == old })
		s.byDestination[is] = append(s.byDestination[is], old)
	}
	*old = l
	s.changes = append(s.changes, l.Key)
	return copied(&l), nil
}

// twin reports whether l and another link would both be unrevoked for the same
// content.
func (s *Links) twin(l *link.Link) bool {
	if l.Owner == 0 || l.ContentID == "" || l.Status(l.UpdatedAt) == link.Revoked {
		return false
	}
	return slices.ContainsFunc(s.byDestination[ownedDestination{l.Owner, l.Destination}], func(o *link.Link) bool {
		return o.ID != l.ID && o.ContentID == l.ContentID && o.Status(l.UpdatedAt) != link.Revoked
	})
}

// Get is that of link.Store.
func (s *Links) Get(ctx context.Context, k link.Key) (link.Link, error) {
	if err := ctx.Err(); err != nil {
		return link.Link{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.byKey[k]; l != nil {
		return copied(l), nil
	}
	return link.Link{}, notFound(k)
}

// Keys is that of link.Store.
func (s *Links) Keys(ctx context.Context, ids []link.ID) (map[link.ID]link.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make(map[link.ID]link.Key, len(ids))
	for _, id := range ids {
		if l := s.byID[id]; l != nil {
			keys[id] = l.Key
		}
	}
	return keys, nil
}

// Route is that of link.Store.
func (s *Links) Route(ctx context.Context, k link.Key) (link.Route, error) {
	if err := ctx.Err(); err != nil {
		return link.Route{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l := s.byKey[k]; l != nil {
		return l.Route(), nil
	}
	return link.Route{}, notFound(k)
}

// Page is that of link.Store. It looks at every link.
func (s *Links) Page(ctx context.Context, q link.Query) ([]link.Link, link.Cursor, error) {
	if err := ctx.Err(); err != nil {
		return nil, link.Cursor{}, err
	}
	if q.Sort == "" {
		q.Sort = link.NewestFirst
	}
	selects := q.Filter()
	s.mu.RLock()
	defer s.mu.RUnlock()
	type place struct {
		cursor link.Cursor
		link   *link.Link
	}
	var chosen []place
	for _, l := range s.byID {
		at := link.CursorAt(q.Sort, l)
		if selects(l) && (q.After.IsZero() || at.Compare(&q.After) > 0) {
			chosen = append(chosen, place{at, l})
		}
	}
	slices.SortFunc(chosen, func(a, b place) int { return a.cursor.Compare(&b.cursor) })
	var next link.Cursor
	if len(chosen) > q.Limit {
		chosen = chosen[:q.Limit]
		next = chosen[q.Limit-1].cursor
	}
	page := make([]link.Link, len(chosen))
	for i, at := range chosen {
		page[i] = copied(at.link)
	}
	return page, next, nil
}

// maxChanges bounds one answer of Changes.
const maxChanges = 1000

// Walk is that of link.Store. It looks at every link.
func (s *Links) Walk(ctx context.Context, after link.Key, n int) ([]link.Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	order := func(a, b link.Key) int { return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Domain, b.Domain)) }
	var keys []link.Key
	for k := range s.byKey {
		if order(k, after) > 0 {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, order)
	return keys[:min(n, len(keys))], nil
}

// Changes is that of link.Store.
func (s *Links) Changes(ctx context.Context, after int64) ([]link.Key, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	last := int64(len(s.changes))
	switch {
	case after > last:
		return nil, 0, link.ErrBehind
	case after < 0:
		return nil, last, nil
	}
	mark := min(last, after+maxChanges)
	return slices.Clone(s.changes[after:mark]), mark, nil
}

func notFound(k link.Key) error {
	return fault.New(fault.URLNotFound, "Short code '%s' not found", k.Code)
}

func copied(l *link.Link) link.Link {
	c := *l
	c.Tags = slices.Clone(l.Tags)
	for _, t := range []*time.Time{&c.StartsAt, &c.ExpiresAt, &c.RevokedAt, &c.ArchivedAt, &c.CreatedAt, &c.UpdatedAt} {
		*t = t.UTC()
	}
	return c
}
