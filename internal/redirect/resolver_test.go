package redirect_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/redirect"
)

var errDown = fault.New(fault.Unavailable, "the store is down")

func TestResolveFromMemory(t *testing.T) {
	s := newStore(t)
	s.set(key("abc"), active(1, "https://a.example/"))
	r := resolver(t, s, nil)
	for range 3 {
		resolves(t, r, key("abc"), "https://a.example/")
	}
	if n := s.called(key("abc")); n != 1 {
		t.Errorf("store asked %d times", n)
	}
	if got := r.Stats(); got.Hits != 2 || got.Misses != 1 || got.Loads != 1 {
		t.Errorf("stats %+v", got)
	}
}

func TestDomainsAreApart(t *testing.T) {
	s := newStore(t)
	other := link.Key{Domain: "go.example", Code: "abc"}
	s.set(key("abc"), active(1, "https://a.example/"))
	s.set(other, active(1, "https://b.example/"))
	r := resolver(t, s, nil)
	resolves(t, r, key("abc"), "https://a.example/")
	resolves(t, r, other, "https://b.example/")
}

func TestAbsenceIsBelievedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		r := resolver(t, s, nil)
		resolves(t, r, key("abc"), "")
		s.set(key("abc"), active(1, "https://a.example/"))
		time.Sleep(899 * time.Millisecond) // how old it is may be taken for 100 ms more
		resolves(t, r, key("abc"), "")
		time.Sleep(101 * time.Millisecond)
		resolves(t, r, key("abc"), "https://a.example/")
	})
}

func TestOnlyNotFoundIsAbsence(t *testing.T) {
	for _, err := range []error{
		errDown,
		errors.New("a bug"),
		fault.New(fault.NotFound, "something else is not there"),
		context.DeadlineExceeded,
	} {
		t.Run(err.Error(), func(t *testing.T) {
			s := newStore(t)
			s.set(key("abc"), active(1, "https://a.example/"))
			s.fail(err)
			r := resolver(t, s, nil)
			_, got := r.Resolve(t.Context(), key("abc"))
			f := fault.Of(got)
			if f.Code != fault.Unavailable || f.RetryAfter <= 0 || !errors.Is(got, err) {
				t.Fatalf("got %v, retry after %s", got, f.RetryAfter)
			}
			s.fail(nil)
			resolves(t, r, key("abc"), "https://a.example/")
		})
	}
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.set(key("abc"), active(1, "https://old.example/"))
		r := resolver(t, s, nil)
		resolves(t, r, key("abc"), "https://old.example/")
		s.set(key("abc"), active(2, "https://new.example/"))
		time.Sleep(5 * time.Minute)

		release := make(chan struct{})
		s.hook(func(context.Context, link.Key) { <-release })
		for range 5 {
			resolves(t, r, key("abc"), "https://old.example/")
		}
		synctest.Wait()
		if n := s.called(key("abc")); n != 2 {
			t.Fatalf("store asked %d times, want once more", n)
		}
		close(release)
		synctest.Wait()
		resolves(t, r, key("abc"), "https://new.example/")
	})
}

// TestRefreshesAreNotHurried lets many links become old together: they are read
// again one after the other, while people go on following all of them.
func TestRefreshesAreNotHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		const links = 100
		keys := make([]link.Key, links)
		for i := range keys {
			keys[i] = key(fmt.Sprintf("link%d", i))
			s.set(keys[i], active(1, "https://a.example/"))
		}
		r := resolver(t, s, nil)
		loads := func() (n int) {
			for _, k := range keys {
				resolves(t, r, k, "https://a.example/")
			}
			synctest.Wait()
			return int(r.Stats().Loads) - links
		}
		if n := loads(); n != 0 {
			t.Fatalf("%d links were read again at once", n)
		}
		time.Sleep(5 * time.Minute)
		for i := range 2 * links {
			if n := loads(); n != min(i+1, links) {
				t.Fatalf("%d links were read again after %d ms", n, 2*i)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
}

func TestServesWhatItKnowsWhileTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.set(key("abc"), active(1, "https://a.example/"))
		r := resolver(t, s, nil)
		resolves(t, r, key("abc"), "https://a.example/")
		s.fail(errDown)
		time.Sleep(time.Hour)
		for range 10 {
			resolves(t, r, key("abc"), "https://a.example/")
			synctest.Wait()
		}
		if n := s.called(key("abc")); n != 2 {
			t.Errorf("a failing store was asked %d times in a moment", n-1)
		}
		time.Sleep(time.Second)
		resolves(t, r, key("abc"), "https://a.example/")
		synctest.Wait()
		if n := s.called(key("abc")); n != 3 {
			t.Errorf("a failing store was asked %d times, want again after a second", n-1)
		}
	})
}

func TestRefreshFindsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.set(key("abc"), active(4, "https://a.example/"))
		r := resolver(t, s, nil)
		resolves(t, r, key("abc"), "https://a.example/")
		s.set(key("abc"), link.Route{})
		time.Sleep(5 * time.Minute)
		resolves(t, r, key("abc"), "https://a.example/")
		synctest.Wait()
		resolves(t, r, key("abc"), "")
	})
}

func TestOneLookUpForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.set(key("abc"), active(1, "https://a.example/"))
		release := make(chan struct{})
		s.hook(func(context.Context, link.Key) { <-release })
		r := resolver(t, s, nil)

		var wg sync.WaitGroup
		impatient, leave := context.WithCancel(t.Context())
		var gone atomic.Bool
		wg.Go(func() {
			_, err := r.Resolve(impatient, key("abc"))
			gone.Store(fault.Is(err, fault.Unavailable) && errors.Is(err, context.Canceled))
		})
		synctest.Wait() // the one that leaves began it
		for range 100 {
			wg.Go(func() {
				route, err := r.Resolve(t.Context(), key("abc"))
				if err != nil || route.Destination != "https://a.example/" {
					t.Errorf("got %v, %v", route, err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		if !gone.Load() {
			t.Error("a waiter whose context ended still waits")
		}
		close(release)
		wg.Wait()
		if n := s.called(key("abc")); n != 1 {
			t.Errorf("store asked %d times", n)
		}
	})
}

func TestLookUpsAreBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.set(key("abc"), active(1, "https://a.example/"))
		release := make(chan struct{})
		s.hook(func(context.Context, link.Key) { <-release }) // deaf to its context
		r := resolver(t, s, nil)
		began := time.Now()
		_, err := r.Resolve(t.Context(), key("abc"))
		if took := time.Since(began); !fault.Is(err, fault.Unavailable) || took != 2*time.Second {
			t.Fatalf("got %v after %s", err, took)
		}
		// The stuck look-up is not doubled, and nobody waits for it again.
		if _, err := r.Resolve(t.Context(), key("abc")); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(began); took != 2*time.Second || s.called(key("abc")) != 1 {
			t.Fatalf("waited %s, store asked %d times", took, s.called(key("abc")))
		}
		close(release)
		synctest.Wait()
		resolves(t, r, key("abc"), "https://a.example/")
	})
}

func TestLookUpsAreBoundedInNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.set(key("hot"), active(1, "https://hot.example/"))
		r := resolver(t, s, func(s *redirect.ResolverSettings) { s.Loads = 2 })
		resolves(t, r, key("hot"), "https://hot.example/")
		time.Sleep(5 * time.Minute)

		release := make(chan struct{})
		s.hook(func(context.Context, link.Key) { <-release })
		var wg sync.WaitGroup
		for _, code := range []string{"aaa", "bbb"} {
			wg.Go(func() { resolves(t, r, key(code), "") })
		}
		synctest.Wait()
		_, err := r.Resolve(t.Context(), key("ccc"))
		if f := fault.Of(err); f.Code != fault.Unavailable || f.RetryAfter <= 0 {
			t.Errorf("got %v", err)
		}
		resolves(t, r, key("hot"), "https://hot.example/")
		if got := r.Stats(); got.Refused != 1 || got.Loading != 2 || s.called(key("hot")) != 1 {
			t.Errorf("stats %+v, hot link read %d times", got, s.called(key("hot")))
		}
		close(release)
		wg.Wait()
		resolves(t, r, key("ccc"), "")
	})
}

func TestPanicInTheStore(t *testing.T) {
	s := newStore(t)
	s.hook(func(context.Context, link.Key) { panic("broken") })
	r := resolver(t, s, nil)
	_, err := r.Resolve(t.Context(), key("abc"))
	if fault.CodeOf(err) != fault.Internal || !strings.Contains(err.Error(), "broken") {
		t.Fatalf("got %v", err)
	}
	s.hook(nil)
	resolves(t, r, key("abc"), "")
}

func TestWithoutMemory(t *testing.T) {
	s := newStore(t)
	s.set(key("abc"), active(1, "https://a.example/"))
	r := resolver(t, s, func(s *redirect.ResolverSettings) { s.Memory = noMemory{} })
	resolves(t, r, key("abc"), "https://a.example/")
	r.Changed(t.Context(), link.Change{Key: key("abc"), Route: active(2, "https://b.example/")})
	s.set(key("abc"), active(2, "https://b.example/"))
	resolves(t, r, key("abc"), "https://b.example/")
}

// TestChangeDuringLoad holds a load that read the old route, changes the link,
// and lets the load go on.
func TestChangeDuringLoad(t *testing.T) {
	for _, c := range []struct {
		name     string
		old      link.Route
		new      link.Route
		want     string
		follower bool // another process made the change
	}{
		{"created", link.Route{}, active(1, "https://new.example/"), "https://new.example/", false},
		{"edited", active(1, "https://old.example/"), active(2, "https://new.example/"), "https://new.example/", false},
		{"edited elsewhere", active(1, "https://old.example/"), active(2, "https://new.example/"), "https://new.example/", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(t)
				s.set(key("abc"), c.old)
				release := make(chan struct{})
				s.hook(func(context.Context, link.Key) { <-release })
				r := resolver(t, s, nil)
				ctx, cancel := context.WithCancel(t.Context())
				if c.follower {
					go r.Watch(ctx)
					synctest.Wait()
				}

				early := make(chan string, 1)
				go func() {
					route, err := r.Resolve(ctx, key("abc"))
					early <- fmt.Sprint(string(route.Destination), err)
				}()
				synctest.Wait()
				s.set(key("abc"), c.new)
				s.hook(nil)
				if c.follower {
					time.Sleep(time.Second)
				} else {
					r.Changed(ctx, link.Change{Key: key("abc"), Route: c.new})
				}
				resolves(t, r, key("abc"), c.want) // while the old load still hangs
				close(release)
				synctest.Wait()
				if got := <-early; got != string(c.old.Destination)+"<nil>" {
					t.Errorf("the request before the change got %s", got)
				}
				resolves(t, r, key("abc"), c.want)
				cancel()
				synctest.Wait()
			})
		})
	}
}

// TestHammer changes links while many read: nobody may see a version below the
// one whose change had returned when they began.
func TestHammer(t *testing.T) {
	s := newStore(t)
	r := resolver(t, s, func(s *redirect.ResolverSettings) {
		s.Shared = newShared()
		s.PositiveAge, s.RefreshInterval = time.Microsecond, 1 // refresh all the time
		s.NegativeAge = time.Hour                              // a negative put back would be seen
		s.Loads = 1000
	})
	const links, versions, readers = 4, 300, 4
	var done [links]atomic.Int64 // the version whose change returned
	var reading, writing sync.WaitGroup
	stop := make(chan struct{})
	for i := range readers {
		reading.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				at := n % links
				least := done[at].Load()
				route, err := r.Resolve(t.Context(), key(fmt.Sprintf("link%d", at)))
				if err != nil || route.Version < least {
					t.Errorf("got %+v, %v; want at least version %d", route, err, least)
					return
				}
			}
		})
	}
	for at := range links {
		writing.Go(func() {
			k := key(fmt.Sprintf("link%d", at))
			for v := int64(1); v <= versions; v++ {
				route := active(v, "https://a.example/")
				s.set(k, route)
				r.Changed(t.Context(), link.Change{Key: k, Route: route})
				done[at].Store(v)
			}
		})
	}
	writing.Wait()
	close(stop)
	reading.Wait()
}

func TestSharedCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := newStore(t), newShared()
		s.set(key("abc"), active(1, "https://a.example/"))
		with := func(s *redirect.ResolverSettings) { s.Shared = c }
		one, two := resolver(t, s, with), resolver(t, s, with)
		resolves(t, one, key("abc"), "https://a.example/")
		synctest.Wait()
		resolves(t, two, key("abc"), "https://a.example/")
		if n := s.called(key("abc")); n != 1 {
			t.Errorf("store asked %d times by two nodes", n)
		}
		resolves(t, one, key("nothing"), "")
		synctest.Wait()
		if c.puts != 1 {
			t.Errorf("%d routes shared, want one and no absence", c.puts)
		}

		s.set(key("abc"), active(2, "https://b.example/"))
		gone, leave := context.WithCancel(t.Context())
		leave() // whoever made the change doesn't wait for it
		one.Changed(gone, link.Change{Key: key("abc"), Route: active(2, "https://b.example/")})
		if _, ok, _ := c.Get(t.Context(), key("abc")); ok {
			t.Error("the old route is still shared")
		}

		// Without it everything works, from the store.
		c.err = errors.New("cut off")
		s.set(key("xyz"), active(1, "https://x.example/"))
		resolves(t, two, key("xyz"), "https://x.example/")
		one.Changed(t.Context(), link.Change{Key: key("xyz"), Route: active(2, "https://y.example/")})
		resolves(t, one, key("xyz"), "https://y.example/")
		if one.Stats().SharedErrors+two.Stats().SharedErrors == 0 {
			t.Error("errors of the shared cache are not counted")
		}
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.set(key("abc"), active(1, "https://a.example/"))
		s.set(key("gone"), active(1, "https://g.example/"))
		r := resolver(t, s, nil)
		resolves(t, r, key("abc"), "https://a.example/")
		resolves(t, r, key("gone"), "https://g.example/")
		resolves(t, r, key("new"), "")
		// A change between a read and the first mark is in no Changes.
		s.set(key("abc"), active(2, "https://b.example/"))
		time.Sleep(time.Millisecond)

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Watch(ctx) }()
		synctest.Wait()
		resolves(t, r, key("abc"), "https://b.example/")

		s.set(key("abc"), active(3, "https://c.example/"))
		s.set(key("gone"), link.Route{})
		for i := range 1500 { // more than one page
			s.set(key(fmt.Sprintf("other%d", i)), active(1, "https://o.example/"))
		}
		s.set(key("new"), active(2, "https://n.example/"))
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		resolves(t, r, key("abc"), "https://c.example/")
		resolves(t, r, key("gone"), "")
		resolves(t, r, key("new"), "https://n.example/")

		// What can't be followed now is followed later.
		s.set(key("abc"), active(4, "https://d.example/"))
		s.fail(errDown)
		time.Sleep(time.Minute)
		resolves(t, r, key("abc"), "https://c.example/")
		s.fail(nil)
		time.Sleep(250 * time.Millisecond)
		synctest.Wait()
		resolves(t, r, key("abc"), "https://d.example/")

		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
