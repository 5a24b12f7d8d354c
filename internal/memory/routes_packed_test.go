package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/account"
	"kurz/internal/link"
	"kurz/internal/memory"
)

// drawn gives a route of a version with fields drawn at random; its
// destination says what it is.
func drawn(r *rand.Rand, n int, version int64) link.Route {
	some := func(t time.Time) time.Time {
		if r.IntN(4) > 0 {
			return time.Time{}
		}
		return t.Add(time.Duration(r.IntN(1e6)) * time.Millisecond)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	route := link.Route{
		ID: link.ID(r.Int64()), Version: version, Status: 301 + r.IntN(8),
		StartsAt: some(now), ExpiresAt: some(now), RevokedAt: some(now), LoadedAt: some(now).Truncate(100 * time.Millisecond),
		ForwardQuery: r.IntN(2) == 0,
	}
	if r.IntN(2) == 0 {
		route.Owner = account.ID(r.Int64())
	}
	if r.IntN(8) == 0 {
		route.EdgeTTL = time.Duration(r.IntN(1000)) * time.Second
	}
	if r.IntN(8) == 0 {
		route.ExpiredURL = link.Href("http://old.example/" + strings.Repeat("o", r.IntN(100)))
	}
	route.Destination = link.Href(fmt.Sprintf("https://example.com/%d/%d?%s", n, version, strings.Repeat("x", r.IntN(300))))
	if r.IntN(200) == 0 {
		route.Destination += link.Href(strings.Repeat("y", 8000))
	}
	return route
}

// TestRoutesModel makes random calls with routes of all sizes, so that pages
// fill, get holes and are packed anew, and compares with a map. There is room
// for all, so nothing may be missing either.
func TestRoutesModel(t *testing.T) {
	const keys, calls = 1000, 20_000
	for _, capacity := range []int{4 * keys, keys / 4} {
		r := rand.New(rand.NewPCG(uint64(capacity), 1))
		c := memory.NewRoutes(capacity)
		model := map[link.Key]link.Route{}
		floor := map[link.Key]int64{}
		found := 0
		for i := range calls {
			n := r.IntN(keys)
			k := keyOf(n)
			if n%5 == 0 {
				k.Domain = "go.example:8443"
			}
			switch known, ok := model[k]; {
			case r.IntN(20) == 0:
				floor[k] = max(floor[k], known.Version+1)
				if err := c.Forget(t.Context(), k, floor[k]); err != nil {
					t.Fatal(err)
				}
				delete(model, k)
			case r.IntN(3) > 0:
				version := max(known.Version, floor[k]) + int64(r.IntN(3)) - 1
				if !ok && floor[k] == 0 && r.IntN(3) == 0 {
					version = 0
				}
				route := drawn(r, n, max(version, 0))
				evicted := !has(t, c, k)
				put(t, c, k, &route)
				if route.Version >= floor[k] && (evicted || route.Version >= known.Version) {
					model[k] = route
				}
			}
			got, ok, err := c.Get(t.Context(), k)
			want, known := model[k]
			switch {
			case err != nil:
				t.Fatal(err)
			case ok && !known:
				t.Fatalf("call %d: %v is there: %+v", i, k, got)
			case ok && !cmp.Equal(want, got):
				t.Fatalf("call %d: %v (-want +got):\n%s", i, k, cmp.Diff(want, got))
			case !ok && known && capacity > keys && want.Version > 0:
				t.Fatalf("call %d: %v is missing", i, k)
			case ok:
				found++
			}
		}
		if s := c.Stats(); found < calls/4 || s.Moved == 0 || s.Links > capacity {
			t.Errorf("room for %d: %d found, %+v", capacity, found, s)
		}
	}
}

// TestRoutesKeepWhatReadersHave holds on to routes while their keys are
// replaced, evicted and packed by several writers: what a reader has stays as
// it was.
func TestRoutesKeepWhatReadersHave(t *testing.T) {
	const keys, rounds = 400, 4_000
	c := memory.NewRoutes(keys / 2)
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for n := range 2 {
		writing.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 2))
			for i := range rounds {
				at := r.IntN(keys)
				route := drawn(r, at, int64(i+1))
				if err := c.Put(context.Background(), keyOf(at), &route); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range 3 {
		reading.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 3))
			var kept [64]link.Route
			var is [64]string
			for i := 0; !done.Load(); i++ {
				at := i % len(kept)
				if want := is[at]; want != "" && !strings.HasPrefix(string(kept[at].Destination), want) {
					t.Errorf("what was %s is %s", want, kept[at].Destination)
					return
				}
				n := r.IntN(keys)
				route, ok, _ := c.Get(context.Background(), keyOf(n))
				want := fmt.Sprintf("https://example.com/%d/%d?", n, route.Version)
				if !ok {
					want = ""
				} else if !strings.HasPrefix(string(route.Destination), want) {
					t.Errorf("got %s, want %s", route.Destination, want)
					return
				}
				kept[at], is[at] = route, want
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
	if s := c.Stats(); s.Moved == 0 || s.Evicted == 0 {
		t.Errorf("nothing was moved or evicted: %+v", s)
	}
}

// TestRoutesOfLongLinks fills the cache with links as long as they can be:
// they take no more than they may on average.
func TestRoutesOfLongLinks(t *testing.T) {
	const capacity = 20_000
	c := memory.NewRoutes(capacity)
	r := route(1)
	r.Destination += link.Href(strings.Repeat("x", 8100))
	for i := range capacity {
		put(t, c, keyOf(i), r)
	}
	s := c.Stats()
	if limit := 2 * capacity * 512; s.Bytes > limit || s.Links < capacity/32 {
		t.Errorf("%+v, want at most %d bytes", s, limit)
	}
	// They make room for short ones again.
	for range 3 {
		for i := range capacity {
			if !has(t, c, keyOf(capacity+i)) {
				put(t, c, keyOf(capacity+i), route(1))
			}
		}
	}
	if s := c.Stats(); s.Links < capacity*9/10 {
		t.Errorf("of %d short ones there are %+v", capacity, s)
	}
	r.Destination += link.Href(strings.Repeat("x", 1<<16))
	put(t, c, keyOf(-1), r)
	if has(t, c, keyOf(-1)) {
		t.Error("what fits in no page is kept")
	}
}

// TestRoutesAreNotScanned counts what the garbage collector has to look at.
func TestRoutesAreNotScanned(t *testing.T) {
	const links = 100_000
	before := scannable()
	c := memory.NewRoutes(links)
	for i := range links {
		put(t, c, keyOf(i), route(i))
	}
	// What there is for each shard and page, however many links are in it.
	if each := float64(scannable()-before) / float64(c.Stats().Links); each > 8 {
		t.Errorf("%.1f bytes a link are scanned", each)
	}
	if s := c.Stats(); s.Bytes/s.Links > 135 {
		t.Errorf("%d bytes a link", s.Bytes/s.Links)
	}
}

// scannable gives the bytes of the heap that the collector scans.
func scannable() int64 {
	collect()
	s := []metrics.Sample{{Name: "/gc/scan/heap:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}
