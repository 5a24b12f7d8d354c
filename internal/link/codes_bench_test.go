package link_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
)

// BenchmarkNext measures a code of seven characters, without a store's time.
func BenchmarkNext(b *testing.B) {
	for _, name := range link.Strategies() {
		b.Run(string(name), func(b *testing.B) {
			store := memory.NewCodes(memory.NewLinks())
			codes := strategies(store, 7, "a")[name]
			if pool, ok := codes.(*link.PoolCodes); ok {
				defer keepSupplied(pool)()
			}
			if name == link.Snowflake {
				// With a clock that has no rest: else it is 4,096 in a millisecond.
				began, ticks := time.Now(), time.Duration(0)
				codes = link.NewSnowflakeCodes(link.SnowflakeSettings{Fixed: 1, Now: func() time.Time {
					ticks += time.Microsecond
					return began.Add(ticks)
				}})
			}
			d := link.Draw{Length: 7, Owner: 1, Destination: "https://example.com/articles/2026/a-title-of-ordinary-length"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codes.Next(b.Context(), d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// keepSupplied runs a pool until the result is called, and waits for its first
// batch.
func keepSupplied(pool *link.PoolCodes) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = pool.Run(ctx) }()
	for pool.Stats().Batch == 0 {
		<-time.After(time.Millisecond)
	}
	return func() { cancel(); <-ended }
}

const (
	shortLength = 3 // fewer than anybody can set, so that the space is soon filled
	shortSpace  = 62 * 62 * 62
)

// space is a store in which only codes of shortLength can be taken. It counts
// calls, those that creates wait for.
type space struct {
	link.Store
	calls atomic.Int64

	mu     sync.Mutex
	taken  []bool
	filled int
}

func number(code link.Code) int {
	n := 0
	for i := range len(code) {
		n = 62*n + strings.IndexByte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", code[i])
	}
	return n
}

// take reports whether a code was free.
func (s *space) take(code link.Code) bool {
	if len(code) != shortLength {
		return true
	}
	return s.takeNumber(number(code))
}

func (s *space) takeNumber(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[n] {
		return false
	}
	s.taken[n] = true
	s.filled++
	return true
}

// Insert implements link.Store.
func (s *space) Insert(_ context.Context, n link.New) (link.Link, link.Outcome, error) {
	s.calls.Add(1)
	if !s.take(n.Link.Code) {
		return link.Link{}, 0, fault.New(fault.AliasTaken, "taken")
	}
	return n.Link, link.Inserted, nil
}

// ofSpace keeps codes beside a space.
type ofSpace struct {
	*memory.Codes
	s *space
}

func (c ofSpace) Reserve(ctx context.Context, name string, n int64) (int64, error) {
	c.s.calls.Add(1)
	return c.Codes.Reserve(ctx, name, n)
}

func (c ofSpace) Take(ctx context.Context, length, n int) ([]link.Code, error) {
	c.s.calls.Add(1)
	return c.Codes.Take(ctx, length, n)
}

func (c ofSpace) Lease(ctx context.Context, holder string, now, until time.Time) (int, error) {
	c.s.calls.Add(1)
	return c.Codes.Lease(ctx, holder, now, until)
}

// Add is called in the background.
func (c ofSpace) Add(ctx context.Context, length int, codes []link.Code) (int, error) {
	var free []link.Code
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, code := range codes {
		if !c.s.taken[number(code)] {
			free = append(free, code)
		}
	}
	return c.Codes.Add(ctx, length, free)
}

// fill takes codes until a part of the space is taken, as the strategy would
// have done.
func (s *space) fill(b *testing.B, codes link.Codes, name link.Strategy, part float64) {
	b.Helper()
	want := int(part * shortSpace)
	if name != link.Sequence {
		for s.filled < want {
			s.takeNumber(mathrand.IntN(shortSpace))
		}
		return
	}
	for s.filled < want {
		if code := next(b, codes, link.Draw{Length: shortLength}); !s.take(code) {
			b.Fatalf("%q was given twice", code)
		}
	}
}

// BenchmarkFill creates links in a space of three characters (238,328 codes) of
// which a part is taken by links of the same strategy. Run it with 2000x.
func BenchmarkFill(b *testing.B) {
	for _, name := range link.Strategies() {
		s := &space{taken: make([]bool, shortSpace)}
		store := ofSpace{memory.NewCodes(memory.NewLinks()), s}
		codes := map[link.Strategy]link.Codes{
			link.Random:    link.RandomCodes{Rand: rand.Reader},
			link.Hash:      link.HashCodes{Rand: rand.Reader},
			link.Sequence:  link.NewSequenceCodes(link.SequenceSettings{Numbers: store, Key: []byte("k"), First: 1000, Most: 1000}),
			link.Snowflake: link.NewSnowflakeCodes(link.SnowflakeSettings{Nodes: store, Holder: "a", Fixed: -1, Now: time.Now}),
		}[name]
		n := 0
		for _, percent := range []int{1, 50, 90} {
			b.Run(string(name)+"/"+strconv.Itoa(percent), func(b *testing.B) {
				s.fill(b, codes, name, float64(percent)/100)
				if name == link.Pooled {
					// A new one: what is in it was made in the space as it is now.
					pool := link.NewPoolCodes(link.PoolSettings{
						Pool: ofSpace{memory.NewCodes(memory.NewLinks()), s}, Length: shortLength, First: link.PoolTaken, Most: link.PoolTaken, Rand: rand.Reader, Now: time.Now,
					})
					defer keepSupplied(pool)()
					codes = pool
				}
				pool, pooled := codes.(*link.PoolCodes)
				w := benchWorld(b, s, codes)
				before, inserted, longer := s.calls.Load(), 0, 0
				b.ResetTimer()
				for range b.N {
					// Nothing here takes as long as storing a link does.
					for pooled && pool.Stats().Batch < 100 && pool.Stats().Left > 0 {
						<-time.After(100 * time.Microsecond)
					}
					n++
					l, _, err := w.Create(b.Context(), ann, link.Creation{LongURL: fmt.Sprint("https://example.com/", n)})
					if err != nil {
						b.Fatal(err)
					}
					inserted++
					if len(l.Code) > shortLength {
						longer++
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(s.calls.Load()-before)/float64(inserted), "trips/create")
				b.ReportMetric(float64(w.again.Load())/float64(inserted), "again/create")
				b.ReportMetric(100*float64(longer)/float64(inserted), "%longer")
			})
		}
	}
}

// counted is a Registry, and how often a code was taken.
type counted struct {
	*link.Registry
	again *atomic.Int64
}

// countedCodes counts second draws.
type countedCodes struct {
	link.Codes
	again *atomic.Int64
}

func (c countedCodes) Next(ctx context.Context, d link.Draw) (link.Code, error) {
	if d.Attempt > 0 {
		c.again.Add(1)
	}
	return c.Codes.Next(ctx, d)
}

func benchWorld(b *testing.B, s *space, codes link.Codes) counted {
	b.Helper()
	var again atomic.Int64
	d := domains(b, "https://s.example")
	return counted{link.NewRegistry(link.Settings{
		Store: s, Codes: countedCodes{codes, &again}, IDs: link.NewIDs(time.Now, rand.Reader), Domains: d,
		Policy: link.Policy{Domains: d}, CodeLength: shortLength, Now: time.Now,
	}), &again}
}
