package memory_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/link"
	"kurz/internal/memory"
)

func keyOf(n int) link.Key { return link.Key{Code: link.Code(fmt.Sprintf("c%06d", n))} }

func route(n int) *link.Route {
	return &link.Route{
		ID: link.ID(n + 1), Version: 1, Status: 302,
		Destination: link.Href(fmt.Sprintf("https://example.com/articles/2026/11/some-title-of-it-%d", n)),
	}
}

func put(t testing.TB, c *memory.Routes, k link.Key, r *link.Route) {
	t.Helper()
	if err := c.Put(t.Context(), k, r); err != nil {
		t.Fatal(err)
	}
}

func has(t testing.TB, c *memory.Routes, k link.Key) bool {
	t.Helper()
	_, ok, err := c.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// zipf draws numbers below n, the kth with a chance proportional to 1/k, by
// searching the cumulated chances: rand.Zipf can't do the exponent 1.
type zipf struct {
	sums []float64
	rand *rand.Rand
}

func newZipf(n int, seed uint64) *zipf {
	z := &zipf{sums: make([]float64, n), rand: rand.New(rand.NewPCG(seed, 1))}
	sum := 0.0
	for k := range n {
		sum += 1 / float64(k+1)
		z.sums[k] = sum
	}
	return z
}

func (z *zipf) next() int {
	return sort.SearchFloat64s(z.sums, z.rand.Float64()*z.sums[len(z.sums)-1])
}

// ideal is the hit ratio of a cache that always holds the most wanted keys,
// which none can beat.
func (z *zipf) ideal(capacity int) float64 { return z.sums[capacity-1] / z.sums[len(z.sums)-1] }

// hitRatio asks for keys and puts in what is missing, first to warm up and
// then counting; each calls before every request.
func hitRatio(t testing.TB, c *memory.Routes, z *zipf, warm, count int, each func(i int)) float64 {
	keys := make([]link.Key, len(z.sums))
	for i := range keys {
		// The popular ones are anywhere.
		keys[i] = keyOf((i * 7919) % len(keys))
	}
	r := route(1)
	hits := 0
	for i := range warm + count {
		if each != nil {
			each(i)
		}
		k := keys[z.next()]
		_, ok, _ := c.Get(t.Context(), k)
		switch {
		case !ok:
			put(t, c, k, r)
		case i >= warm:
			hits++
		}
	}
	return float64(hits) / float64(count)
}

func TestRoutesHitRatio(t *testing.T) {
	const keys, capacity = 50_000, 2_500
	z := newZipf(keys, 1)
	got, ideal := hitRatio(t, memory.NewRoutes(capacity), z, 100_000, 100_000, nil), z.ideal(capacity)
	t.Logf("hit ratio %.4f, ideal %.4f", got, ideal)
	if got < 0.94*ideal {
		t.Errorf("hit ratio %.4f, want near the ideal %.4f", got, ideal)
	}
}

// TestRoutesScan floods the cache with keys that are asked for once, nine for
// each that comes back: links nobody wants, and codes that nobody has.
func TestRoutesScan(t *testing.T) {
	const keys, capacity = 5_000, 500
	z := newZipf(keys, 1)
	base := hitRatio(t, memory.NewRoutes(capacity), z, 15_000, 15_000, nil)
	for name, r := range map[string]*link.Route{"links": route(2), "unknown codes": {}} {
		c := memory.NewRoutes(capacity)
		n := keys
		got := hitRatio(t, c, z, 15_000, 15_000, func(int) {
			for range 9 {
				n++
				has(t, c, keyOf(n))
				put(t, c, keyOf(n), r)
			}
		})
		t.Logf("%s: hit ratio %.4f, %.4f without the flood", name, got, base)
		least := 0.85 * base
		if r.Version == 0 {
			least = base - 0.005
		}
		if got < least {
			t.Errorf("%s: hit ratio %.4f, %.4f without the flood", name, got, base)
		}
	}
}

func TestRoutesAreBounded(t *testing.T) {
	for _, capacity := range []int{0, 1, 100, 1000, 10_000} {
		c := memory.NewRoutes(capacity)
		for i := range 3*capacity + 1000 {
			k := keyOf(i)
			put(t, c, k, route(i))
			if !has(t, c, k) {
				t.Fatalf("room for %d: the %dth is gone at once", capacity, i)
			}
			put(t, c, keyOf(-i), &link.Route{})
			if i%3 == 0 {
				if err := c.Forget(t.Context(), keyOf(i-50), 2); err != nil {
					t.Fatal(err)
				}
			}
		}
		s := c.Stats()
		if s.Links > max(capacity, 2) || s.Missing > max(capacity/16, 8)*256 || s.Evicted == 0 {
			t.Errorf("room for %d: %+v", capacity, s)
		}
	}
}

func TestRoutesTombstonesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := memory.NewRoutes(1)
		k := keyOf(1)
		for _, version := range []int64{3, 5} {
			if err := c.Forget(t.Context(), k, version); err != nil {
				t.Fatal(err)
			}
			time.Sleep(link.TombstoneTime / 2) // a clock of the bubble
		}
		time.Sleep(link.TombstoneTime / 2)
		put(t, c, k, &link.Route{Version: 4})
		if has(t, c, k) {
			t.Error("put back at the end of the tombstone's time")
		}
		time.Sleep(time.Nanosecond)
		put(t, c, k, &link.Route{Version: 4})
		if !has(t, c, k) {
			t.Error("kept out after the tombstone's time")
		}
		for i := range 1000 {
			if err := c.Forget(t.Context(), keyOf(i), 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := c.Stats().Tombstones; n > 32 {
			t.Errorf("%d tombstones are left", n)
		}
	})
}

// TestRoutesUnderChange reads keys that stay while others come and go, so that
// tables are rebuilt under the readers: they must never be missed.
func TestRoutesUnderChange(t *testing.T) {
	const stay = 64
	c := memory.NewRoutes(1 << 16)
	for i := range stay {
		put(t, c, keyOf(i), route(i))
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := 0; !done.Load(); i++ {
				r, ok, _ := c.Get(context.Background(), keyOf(i%stay))
				if !ok || r.ID != link.ID(i%stay+1) {
					t.Errorf("key %d: %v %+v", i%stay, ok, r)
					return
				}
			}
		})
	}
	for i := range 20_000 {
		put(t, c, keyOf(stay+i), route(stay+i))
		put(t, c, keyOf(i%stay), route(i%stay)) // replaced by its like
		if i%2 == 0 {
			if err := c.Forget(t.Context(), keyOf(stay+i), 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	done.Store(true)
	wg.Wait()
}

func TestRoutesGetDoesNotAllocate(t *testing.T) {
	c := memory.NewRoutes(1000)
	known := link.Key{Domain: "go.example", Code: "abc1234"}
	put(t, c, known, route(1))
	ctx := t.Context()
	for name, k := range map[string]link.Key{"hit": known, "miss": keyOf(9)} {
		if n := testing.AllocsPerRun(1000, func() { _, _, _ = c.Get(ctx, k) }); n != 0 {
			t.Errorf("a %s allocates %v times", name, n)
		}
	}
}

func BenchmarkRoutesGet(b *testing.B) {
	const keys = 1_000_000
	c := memory.NewRoutes(keys * 2)
	all := make([]link.Key, keys)
	for i := range all {
		all[i] = keyOf(i)
		put(b, c, all[i], route(i))
	}
	for _, name := range []string{"uniform", "one key"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var seed atomic.Uint64
			b.RunParallel(func(pb *testing.PB) {
				r := rand.New(rand.NewPCG(seed.Add(1), 2))
				ctx, now, answer := context.Background(), time.Now(), []byte{}
				for pb.Next() {
					k := all[0]
					if name == "uniform" {
						k = all[r.IntN(keys)]
					}
					// What a redirect does with it.
					route, ok, _ := c.Get(ctx, k)
					if !ok {
						b.Fatal("not there")
					}
					_, to := route.Decide(now)
					answer = append(answer[:0], to...)
				}
			})
		})
	}
}

func BenchmarkRoutesPut(b *testing.B) {
	c := memory.NewRoutes(50_000)
	r := route(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		put(b, c, keyOf(i%1_000_000), r)
	}
}

// BenchmarkRoutesZipf measures the product's case: 1,000,000 links, Zipf 1.0,
// room for 5 %.
func BenchmarkRoutesZipf(b *testing.B) {
	const keys, capacity = 1_000_000, 50_000
	for b.Loop() {
		z := newZipf(keys, 1)
		got := hitRatio(b, memory.NewRoutes(capacity), z, 3_000_000, 3_000_000, nil)
		b.ReportMetric(got, "hits/get")
		b.ReportMetric(z.ideal(capacity), "ideal")
		// How many would have to be kept for 95 %.
		need := sort.SearchFloat64s(z.sums, 0.95*z.sums[keys-1])
		b.ReportMetric(math.Round(float64(need)/keys*1000)/1000, "room-for-95%")
	}
}

// BenchmarkRoutesMemory reports the bytes that a link takes, and how long the
// collector works on them all.
func BenchmarkRoutesMemory(b *testing.B) {
	const keys = 1_000_000
	for b.Loop() {
		before := collect()
		c := memory.NewRoutes(keys)
		for i := range keys {
			put(b, c, keyOf(i), route(i))
		}
		after := collect()
		b.ReportMetric(float64(after-before)/float64(c.Stats().Links), "B/link")
		began := time.Now()
		collect()
		b.ReportMetric(float64(time.Since(began).Microseconds()), "µs/collection")
		runtime.KeepAlive(c)
	}
}

// collect collects garbage and gives what is left.
func collect() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
