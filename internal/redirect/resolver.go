package redirect

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
)

// Store is the part of link.Store that redirects need.
type Store interface {
	Route(ctx context.Context, k link.Key) (link.Route, error)
	Walk(ctx context.Context, after link.Key, n int) ([]link.Key, error)
	Changes(ctx context.Context, after int64) (keys []link.Key, mark int64, err error)
}

// ResolverSettings are the parts and bounds of a Resolver. Durations and
// counts left zero have the given defaults.
type ResolverSettings struct {
	Memory link.Cache // required
	Shared link.Cache // nil: none
	Store  Store
	Now    func() time.Time
	Logger *slog.Logger
	// PositiveAge is the age from which a route is read again in the
	// background while it goes on being served: 5 min. Since Watch hears of
	// changes, that is for what nobody was told of, and never hurried: one
	// route each RefreshInterval, 2 ms.
	PositiveAge     time.Duration
	RefreshInterval time.Duration
	// NegativeAge is for how long "no such link" is believed: 1 s.
	NegativeAge time.Duration
	// LoadTime bounds one look-up beyond memory: 2 s.
	LoadTime time.Duration
	// Loads bounds the look-ups beyond memory under way at once: 64. More are
	// refused as UNAVAILABLE, so that a slow store holds up few requests.
	Loads int
	// FirstKeys is for how many keys there is room before the store's were counted,
	// 1 << 20: more need a second walk through them. It takes 1.5 MB, where keys
	// are put.
	FirstKeys int
	// PollInterval is how often Watch asks for changes: 250 ms.
	PollInterval time.Duration
}

// retryTime is how long a store that failed is spared refreshes, and what
// clients are told to wait.
const retryTime = time.Second

// Resolver finds the route of a key: in memory, in the cache shared with other
// nodes, in the store. It guarantees that
//
//   - a request that begins after Changed returned never gets an older route,
//     whatever loads were under way;
//   - a route once in memory is served while the store can't be asked;
//   - many requests for one key make one look-up, and one that gives up leaves
//     it to the others;
//   - only the store's own word makes a link "not there", for NegativeAge;
//   - while Watch runs and has seen all keys, codes that no link has are
//     answered without the store, but for one in a hundred at most.
//
// It is safe for concurrent use.
type Resolver struct {
	s ResolverSettings
	// failed is when the store last failed, since when Watch knows of changes;
	// Unix nanoseconds.
	failed, watching atomic.Int64
	// refreshed is when a route was last read again for its age.
	refreshed atomic.Int64
	count     counters
	census    *census

	// mu orders the end of a load against Changed: whoever comes second wins.
	mu      sync.Mutex
	flights map[link.Key]*flight
	loading int // also those no longer in flights
}

// flight is one look-up that any number of requests wait for.
type flight struct {
	ctx     context.Context // the look-up's own: bounded in time, nobody's request
	done    chan struct{}   // closed when route and err are there
	route   link.Route
	err     error
	refresh bool  // of a route in memory: ask the store itself
	version int64 // of that route
}

// NewResolver makes a Resolver.
func NewResolver(s ResolverSettings) *Resolver {
	setDefault(&s.PositiveAge, 5*time.Minute)
	setDefault(&s.RefreshInterval, 2*time.Millisecond)
	setDefault(&s.NegativeAge, time.Second)
	setDefault(&s.LoadTime, 2*time.Second)
	setDefault(&s.PollInterval, 250*time.Millisecond)
	setDefault(&s.Loads, 64)
	setDefault(&s.FirstKeys, 1<<20)
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return &Resolver{s: s, census: newCensus(s.Now(), s.FirstKeys), flights: map[link.Key]*flight{}}
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// Resolve gives the route of a key; one of Version 0 says that there is no
// link. A link that can't be looked up is fault.Unavailable, never absent. It
// blocks only for a key that is not in memory, or was read before changes were
// missed. The key's strings are not kept.
func (r *Resolver) Resolve(ctx context.Context, k link.Key) (link.Route, error) {
	return r.resolve(ctx, k, r.s.Now())
}

func (r *Resolver) resolve(ctx context.Context, k link.Key, now time.Time) (link.Route, error) {
	// Memory that fails is memory without the route.
	if route, ok, err := r.s.Memory.Get(ctx, k); err == nil && ok {
		age := now.Sub(route.LoadedAt)
		if route.Version != 0 {
			r.count.hits.Add(1)
			switch {
			case route.LoadedAt.UnixNano() < r.watching.Load():
				return r.unheard(ctx, k, route, now), nil
			case age >= r.s.PositiveAge && r.mayRefresh(now):
				r.refresh(k, route.Version, now)
			}
			return route, nil
		}
		if age >= 0 && age < r.s.NegativeAge {
			r.count.absent.Add(1)
			return route, nil
		}
	}
	if r.census.excludes(k, now, r.s.NegativeAge) && !r.census.asksAnyway(now) {
		r.count.excluded.Add(1)
		return link.Missing(now), nil
	}
	r.count.misses.Add(1)
	f, err := r.fly(k, 0)
	if err != nil {
		return link.Route{}, err
	}
	return f.wait(ctx)
}

// unheard reads a route again that may have changed unheard: if the store can't
// be asked, what is known is as good as it gets.
func (r *Resolver) unheard(ctx context.Context, k link.Key, known link.Route, now time.Time) link.Route {
	if f := r.refresh(k, known.Version, now); f != nil {
		if route, err := f.wait(ctx); err == nil {
			return route
		}
	}
	return known
}

// wait gives what the flight brings, or leaves it when ctx ends.
func (f *flight) wait(ctx context.Context) (link.Route, error) {
	select {
	case <-f.done:
		return f.route, f.err
	case <-ctx.Done():
		return link.Route{}, unavailable(context.Cause(ctx))
	case <-f.ctx.Done():
	}
	// The look-up's context also ends just after it is done.
	select {
	case <-f.done:
		return f.route, f.err
	default:
		return link.Route{}, unavailable(f.ctx.Err())
	}
}

// mayRefresh reports whether a route may be read again for its age alone: of a
// million that were loaded together, each costs five times a redirect.
func (r *Resolver) mayRefresh(now time.Time) bool {
	last := r.refreshed.Load()
	since := now.UnixNano() - last
	return (since < 0 || since >= int64(r.s.RefreshInterval)) && r.refreshed.CompareAndSwap(last, now.UnixNano())
}

// refresh reads a route again in the background, unless that is already done,
// failed a moment ago, or would take places that misses need: nil in the last
// two cases.
func (r *Resolver) refresh(k link.Key, version int64, now time.Time) *flight {
	if now.UnixNano()-r.failed.Load() < int64(retryTime) {
		return nil
	}
	f, err := r.fly(k, version)
	if err != nil {
		return nil // not now is soon enough
	}
	return f
}

// fly joins the look-up of a key or begins it; known is the version of the
// route in memory that is to be read again, or 0.
func (r *Resolver) fly(k link.Key, known int64) (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[k]; f != nil {
		return f, nil
	}
	room := r.s.Loads
	if known != 0 {
		room = max(room/2, 1)
	}
	if r.loading >= room {
		if known == 0 {
			r.count.refused.Add(1)
		}
		return nil, busy()
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.s.LoadTime)
	f := &flight{ctx: ctx, done: make(chan struct{})}
	if known != 0 {
		f.refresh, f.version = true, known
		r.count.refreshes.Add(1)
	}
	k = link.Key{Domain: link.Domain(strings.Clone(string(k.Domain))), Code: link.Code(strings.Clone(string(k.Code)))}
	r.flights[k] = f
	r.loading++
	go func() {
		defer cancel()
		r.run(k, f)
	}()
	return f, nil
}

// run looks a key up and ends its flight.
func (r *Resolver) run(k link.Key, f *flight) {
	route, stored, err := r.read(f.ctx, k, f.refresh)
	f.route, f.err = route, err
	current := r.land(k, f)
	close(f.done)
	if current && stored && err == nil && route.Version != 0 && r.s.Shared != nil {
		r.noteShared(r.s.Shared.Put(f.ctx, k, &route))
	}
}

// land puts what a flight brought in memory, unless Changed called it off.
func (r *Resolver) land(k link.Key, f *flight) (current bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loading--
	if r.flights[k] != f {
		return false
	}
	delete(r.flights, k)
	if f.err != nil {
		return true
	}
	if f.refresh && f.route.Version == 0 {
		// Memory would keep the higher version.
		_ = r.s.Memory.Forget(f.ctx, k, f.version+1)
	}
	// Memory that can't keep it asks again.
	_ = r.s.Memory.Put(f.ctx, k, &f.route)
	return true
}

// read asks the shared cache, then the store. Stored reports that the store
// answered.
func (r *Resolver) read(ctx context.Context, k link.Key, refresh bool) (route link.Route, stored bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			r.count.errors.Add(1)
			route, err = link.Route{}, fmt.Errorf("look up a link: panic: %v\n%s", v, debug.Stack())
		}
	}()
	began := r.s.Now()
	if r.s.Shared != nil && !refresh {
		found, ok, err := r.s.Shared.Get(ctx, k)
		r.noteShared(err)
		// Another node's "not there" is aged by another node's clock.
		if err == nil && ok && found.Version != 0 {
			r.count.shared.Add(1)
			found.LoadedAt = began
			return found, false, nil
		}
	}
	r.count.loads.Add(1)
	found, err := r.s.Store.Route(ctx, k)
	switch {
	case err == nil:
		found.LoadedAt = began
	case fault.Is(err, fault.URLNotFound):
		found = link.Missing(began)
	default:
		r.count.errors.Add(1)
		r.failed.Store(r.s.Now().UnixNano())
		if refresh {
			r.s.Logger.Warn("link not refreshed, serving what is known", "error", err)
		}
		return link.Route{}, false, unavailable(err)
	}
	return found, true, nil
}

func (r *Resolver) noteShared(err error) {
	if err != nil {
		r.count.sharedErrors.Add(1)
	}
}

// unavailable makes every error of a look-up one that passes.
func unavailable(err error) error {
	if f := fault.Of(err); f.Code == fault.Unavailable && f.RetryAfter > 0 {
		return err
	}
	f := fault.Wrap(fault.Unavailable, err, "The link can't be looked up at the moment, try again")
	f.RetryAfter = retryTime
	return f
}

func busy() error {
	f := fault.New(fault.Unavailable, "Too many links are being looked up at the moment, try again")
	f.RetryAfter = retryTime
	return f
}
