package redirect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/redirect"
)

// watched is a resolver whose Watch runs in the test's bubble, until it ends.
func watched(t *testing.T, s *store, change func(*redirect.ResolverSettings)) *redirect.Resolver {
	t.Helper()
	r := resolver(t, s, change)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	pass(time.Second)
	return r
}

// pass lets time go by in a bubble, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// flood asks for codes that nobody has until the store is not asked any more.
func flood(t *testing.T, r *redirect.Resolver) {
	t.Helper()
	for i := range 1000 {
		n := r.Stats().Excluded
		resolves(t, r, key(fmt.Sprintf("flood%d-%d", n, i)), "")
		if r.Stats().Excluded > n {
			return
		}
	}
	t.Fatal("the store is asked about each unknown code")
}

// TestFewUnknownCodes: a link that another process made, and did not tell of
// yet, is there at once, unless there is a flood.
func TestFewUnknownCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		r := watched(t, s, nil)
		s.quietly(key("new"), active(1, "https://n.example/"))
		resolves(t, r, key("new"), "https://n.example/")
		flood(t, r)
		s.quietly(key("newer"), active(1, "https://n.example/"))
		resolves(t, r, key("newer"), "")
		pass(200 * time.Millisecond)
		resolves(t, r, key("newer"), "https://n.example/")
	})
}

func (s *store) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, calls := range s.calls {
		n += calls
	}
	return n
}

// TestFloodOfUnknownCodes asks for 100,000 codes that nobody has between
// requests for links: the store hears of few, and the links stay in memory.
func TestFloodOfUnknownCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const links, hot, unknown = 5000, 1000, 100_000
		s := newStore(t)
		for i := range links {
			s.set(key(fmt.Sprintf("link%d", i)), active(1, "https://a.example/"))
		}
		r := watched(t, s, func(s *redirect.ResolverSettings) { s.Memory = memory.NewRoutes(2 * hot) })
		for i := range hot {
			resolves(t, r, key(fmt.Sprintf("link%d", i)), "https://a.example/")
		}
		before, asked := r.Stats(), s.total()
		if before.Keys < links*99/100 || before.KeyBytes == 0 {
			t.Fatalf("the keys are not known: %+v", before)
		}
		for i := range unknown {
			resolves(t, r, key(fmt.Sprintf("unknown%d", i)), "")
			if i%1000 == 0 {
				pass(100 * time.Millisecond)
			}
		}
		for i := range hot {
			resolves(t, r, key(fmt.Sprintf("link%d", i)), "https://a.example/")
		}
		after := r.Stats()
		t.Logf("%d unknown codes, %d reached the store", unknown, s.total()-asked)
		if n := s.total() - asked; n > unknown/100 {
			t.Errorf("the store was asked %d times", n)
		}
		if after.Hits-before.Hits != hot || after.Excluded < unknown*99/100 {
			t.Errorf("before %+v, after %+v", before, after)
		}
	})
}

func TestUnknownCodesComeToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		r := watched(t, s, nil)
		excluded := func(code string) {
			t.Helper()
			flood(t, r)
			n := r.Stats().Excluded
			resolves(t, r, key(code), "")
			if r.Stats().Excluded != n+1 {
				t.Fatalf("%s was looked up", code)
			}
		}
		here, there, perhaps := active(1, "https://h.example/"), active(1, "https://t.example/"), active(1, "https://p.example/")
		excluded("here")
		s.set(key("here"), here)
		r.Changed(t.Context(), link.Change{Key: key("here"), Route: here})
		resolves(t, r, key("here"), "https://h.example/")

		// Another process makes one: within a second.
		excluded("there")
		s.set(key("there"), there)
		pass(time.Second)
		resolves(t, r, key("there"), "https://t.example/")

		// A creation failed, and is done all the same, later.
		r.Changed(t.Context(), link.Change{Key: key("perhaps")})
		resolves(t, r, key("perhaps"), "")
		s.quietly(key("perhaps"), perhaps)
		pass(time.Second)
		resolves(t, r, key("perhaps"), "https://p.example/")
		excluded("other")
	})
}

// quietly stores a route and tells nobody.
func (s *store) quietly(k link.Key, r link.Route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routes[k] = r
}

// TestUnknownIsBelievedOnlyWhileHeard takes the store away: then what is not
// known is no longer absent.
func TestUnknownIsBelievedOnlyWhileHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		r := watched(t, s, nil)
		resolves(t, r, key("abc"), "")
		s.fail(errDown)
		pass(700 * time.Millisecond) // it was heard 250 ms before at most
		resolves(t, r, key("abc"), "")
		pass(300 * time.Millisecond)
		if _, err := r.Resolve(t.Context(), key("abc")); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("got %v", err)
		}
		s.fail(nil)
		s.set(key("abc"), active(1, "https://a.example/"))
		resolves(t, r, key("abc"), "https://a.example/")
	})
}

// TestBehind makes links that Changes never tells of: all keys are read anew,
// and routes before they are served, unless the store can't be asked.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.set(key("old"), active(1, "https://old.example/"))
		s.set(key("other"), active(1, "https://other.example/"))
		r := watched(t, s, nil)
		resolves(t, r, key("old"), "https://old.example/")
		resolves(t, r, key("other"), "https://other.example/")
		flood(t, r)
		resolves(t, r, key("abc"), "")
		s.fail(errors.New("away"))
		s.set(key("abc"), active(1, "https://a.example/"))
		s.set(key("old"), active(2, "https://new.example/"))
		s.set(key("other"), active(2, "https://changed.example/"))
		s.mu.Lock()
		s.oldest = int64(len(s.changes))
		s.mu.Unlock()
		s.fail(nil)
		pass(250 * time.Millisecond)
		resolves(t, r, key("abc"), "https://a.example/")
		resolves(t, r, key("old"), "https://new.example/")
		s.fail(errors.New("away"))
		resolves(t, r, key("other"), "https://other.example/")
		pass(2 * time.Second)
		s.fail(nil)
		resolves(t, r, key("other"), "https://changed.example/")
		pass(250 * time.Millisecond)
		flood(t, r)
		n := r.Stats().Excluded
		resolves(t, r, key("nothing"), "")
		if r.Stats().Excluded != n+1 {
			t.Error("the keys are not known again")
		}
	})
}

// TestManyKeys has more keys than there is room for at first, and then more
// again: none is ever taken for absent.
func TestManyKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		count := 0
		more := func(n int, tell func(link.Key, link.Route)) {
			for range n {
				k, route := key(fmt.Sprintf("link%d", count)), active(1, "https://a.example/")
				s.quietly(k, route)
				if tell != nil {
					tell(k, route)
				}
				count++
			}
		}
		more(70_000, nil)
		r := watched(t, s, func(s *redirect.ResolverSettings) { s.Memory, s.FirstKeys = noMemory{}, 1<<16 })
		all := func() {
			t.Helper()
			n := 0
			for i := 0; i < count; i += 97 {
				resolves(t, r, key(fmt.Sprintf("link%d", i)), "https://a.example/")
			}
			flood(t, r)
			for i := range 1000 {
				resolves(t, r, key(fmt.Sprintf("unknown%d", i)), "")
				n = i
			}
			if got := r.Stats(); got.Keys < count*98/100 || got.Excluded < uint64(n*98/100) {
				t.Errorf("of %d keys %+v", count, got)
			}
		}
		all()
		before := r.Stats().KeyBytes
		more(40_000, func(k link.Key, route link.Route) {
			r.Changed(t.Context(), link.Change{Key: k, Route: route})
		})
		pass(time.Second)
		all()
		if after := r.Stats().KeyBytes; after <= before {
			t.Errorf("%d bytes for the keys, %d before there were more", after, before)
		}
	})
}
