package redirect_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/redirect"
)

// store is the part of link.Store that redirects need, with the test's hand on
// it. It insists on a deadline.
type store struct {
	t *testing.T

	mu      sync.Mutex
	routes  map[link.Key]link.Route
	changes []link.Key
	oldest  int64 // the mark before which changes are kept no longer
	err     error
	calls   map[link.Key]int
	sorted  []link.Key // of routes, unless it has others than these
	// onRoute, unless nil, runs outside the lock after the route was read,
	// before it is given: what happens in it happens during the load.
	onRoute func(ctx context.Context, k link.Key)
}

func newStore(t *testing.T) *store {
	return &store{t: t, routes: map[link.Key]link.Route{}, calls: map[link.Key]int{}}
}

func (s *store) Route(ctx context.Context, k link.Key) (link.Route, error) {
	if _, ok := ctx.Deadline(); !ok {
		s.t.Error("Route without a deadline")
	}
	s.mu.Lock()
	s.calls[k]++
	route, ok := s.routes[k]
	err, hook := s.err, s.onRoute
	s.mu.Unlock()
	if hook != nil {
		hook(ctx, k)
	}
	switch {
	case err != nil:
		return link.Route{}, err
	case !ok:
		return link.Route{}, fault.New(fault.URLNotFound, "not there")
	}
	return route, nil
}

func (s *store) Changes(_ context.Context, after int64) ([]link.Key, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mark := int64(len(s.changes))
	if s.err != nil {
		return nil, 0, s.err
	}
	if after < 0 {
		return nil, mark, nil
	}
	if after < s.oldest {
		return nil, 0, link.ErrBehind
	}
	end := min(mark, after+1000)
	return append([]link.Key(nil), s.changes[after:end]...), end, nil
}

func (s *store) Walk(ctx context.Context, after link.Key, n int) ([]link.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	order := func(a, b link.Key) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Code, b.Code))
	}
	if len(s.sorted) != len(s.routes) {
		s.sorted = slices.SortedFunc(maps.Keys(s.routes), order)
	}
	from, _ := slices.BinarySearchFunc(s.sorted, after, order)
	if from < len(s.sorted) && s.sorted[from] == after {
		from++
	}
	return s.sorted[from:min(from+n, len(s.sorted))], ctx.Err()
}

// set stores a route as another process would.
func (s *store) set(k link.Key, r link.Route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Version == 0 {
		delete(s.routes, k)
	} else {
		s.routes[k] = r
	}
	s.changes = append(s.changes, k)
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *store) hook(f func(context.Context, link.Key)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRoute = f
}

func (s *store) called(k link.Key) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[k]
}

// shared is a cache that can fail, and counts.
type shared struct {
	link.Cache
	mu   sync.Mutex
	err  error
	puts int
}

func newShared() *shared { return &shared{Cache: memory.NewRoutes(1000)} }

func (c *shared) Get(ctx context.Context, k link.Key) (link.Route, bool, error) {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return link.Route{}, false, err
	}
	return c.Cache.Get(ctx, k)
}

func (c *shared) Put(ctx context.Context, k link.Key, r *link.Route) error {
	c.mu.Lock()
	c.puts++
	c.mu.Unlock()
	return c.Cache.Put(ctx, k, r)
}

func (c *shared) Forget(ctx context.Context, k link.Key, version int64) error {
	c.mu.Lock()
	err := c.err
	if err == nil {
		err = ctx.Err()
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return c.Cache.Forget(ctx, k, version)
}

// noMemory keeps nothing and fails at everything.
type noMemory struct{}

var errNoMemory = errors.New("no memory")

func (noMemory) Get(context.Context, link.Key) (link.Route, bool, error) {
	return link.Route{}, false, errNoMemory
}
func (noMemory) Put(context.Context, link.Key, *link.Route) error { return errNoMemory }
func (noMemory) Forget(context.Context, link.Key, int64) error    { return errNoMemory }

// recorder keeps visits, copied: the handler takes its own back.
type recorder struct {
	mu     sync.Mutex
	visits []click.Visit
	err    error
}

func (r *recorder) Record(v *click.Visit) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.visits = append(r.visits, *v)
	return r.err
}

type cheapRecorder struct{ n int }

func (r *cheapRecorder) Record(*click.Visit) error { r.n++; return nil }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func key(code string) link.Key { return link.Key{Code: link.Code(code)} }

// active is a live route.
func active(version int64, destination string) link.Route {
	return link.Route{
		ID: 7, Owner: 3, Version: version, Destination: link.Href(destination), Status: 302,
	}
}

func domains(t testing.TB) *link.Domains {
	t.Helper()
	d, err := link.NewDomains(&url.URL{Scheme: "https", Host: "kurz.example"}, []string{"go.example"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// resolver makes one with a real memory cache.
func resolver(t *testing.T, s *store, change func(*redirect.ResolverSettings)) *redirect.Resolver {
	t.Helper()
	settings := redirect.ResolverSettings{Memory: memory.NewRoutes(1000), Store: s}
	if change != nil {
		change(&settings)
	}
	return redirect.NewResolver(settings)
}

// resolves checks where a key leads; "" is nowhere.
func resolves(t *testing.T, r *redirect.Resolver, k link.Key, want string) {
	t.Helper()
	route, err := r.Resolve(t.Context(), k)
	if err != nil {
		t.Fatalf("resolve %s: %v", k.Code, err)
	}
	if string(route.Destination) != want {
		t.Fatalf("%s leads to %q, want %q", k.Code, route.Destination, want)
	}
}
