package memory_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"kurz/internal/memory"
	"kurz/internal/ratelimit"
)

var (
	noon       = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	aThousand  = ratelimit.Limit{Name: "redirects", Quota: 1000, Window: time.Minute}
	tenAnHour  = ratelimit.Limit{Name: "creates", Quota: 10, Window: time.Hour}
	redirector = subjectOf(ratelimit.Redirects, 1)
)

func subjectOf(scope ratelimit.Scope, n int) ratelimit.Key {
	k := ratelimit.Key{Scope: scope}
	binary.BigEndian.PutUint64(k.Subject[8:], uint64(n))
	return k
}

func allowed(t testing.TB, s *memory.Limits, k ratelimit.Key, l ratelimit.Limit, now time.Time, n int) bool {
	t.Helper()
	r, err := s.Take(t.Context(), k, l, now, n)
	if err != nil {
		t.Fatal(err)
	}
	return r.Allowed
}

func TestLimitsAreBounded(t *testing.T) {
	const capacity = 3200
	s := memory.NewLimits(capacity)
	for n := range 10 * capacity {
		if !allowed(t, s, subjectOf(ratelimit.Creates, n), tenAnHour, noon, 1) {
			t.Fatalf("the %dth subject is refused", n)
		}
	}
	if n := s.Len(); n > capacity || n < capacity*9/10 {
		t.Errorf("%d kept, room for %d", n, capacity)
	}
}

// TestLimitsFlood has strangers with ever new addresses; those who are being
// refused must stay so.
func TestLimitsFlood(t *testing.T) {
	const capacity, abusers = 3200, 250
	s := memory.NewLimits(capacity)
	for n := range abusers {
		allowed(t, s, subjectOf(ratelimit.Creates, -1-n), tenAnHour, noon, 10)
	}
	for n := range 10 * capacity {
		allowed(t, s, subjectOf(ratelimit.Creates, n), tenAnHour, noon, 1)
	}
	free := 0
	for n := range abusers {
		if allowed(t, s, subjectOf(ratelimit.Creates, -1-n), tenAnHour, noon, 1) {
			free++
		}
	}
	if free > abusers/100 {
		t.Errorf("%d of %d were set free by the flood", free, abusers)
	}
}

func TestLimitsReuseWhatHasPassed(t *testing.T) {
	const capacity = 3200
	s := memory.NewLimits(capacity)
	now := noon
	for n := range 20 * capacity {
		allowed(t, s, subjectOf(ratelimit.Redirects, n), aThousand, now, 1)
		now = now.Add(time.Millisecond) // each has passed after 60
	}
	if n := s.Len(); n > 1000 {
		t.Errorf("%d kept, of which some 60 are live", n)
	}
}

func TestLimitsTakeDoesNotAllocate(t *testing.T) {
	s := memory.NewLimits(1000)
	allowed(t, s, redirector, aThousand, noon, 1)
	ctx, now := t.Context(), noon
	n := testing.AllocsPerRun(2000, func() {
		now = now.Add(time.Millisecond)
		_, _ = s.Take(ctx, redirector, aThousand, now, 1)
	})
	if n != 0 {
		t.Errorf("%v allocations for a known key", n)
	}
}

func BenchmarkLimitsTake(b *testing.B) {
	const subjects = 100_000
	for name, capacity := range map[string]int{"known": 4 * subjects, "full": subjects / 10} {
		b.Run(name, func(b *testing.B) {
			s := memory.NewLimits(capacity)
			for n := range subjects {
				allowed(b, s, subjectOf(ratelimit.Redirects, n), tenAnHour, noon, 1)
			}
			b.ReportAllocs()
			var seed atomic.Uint64
			b.RunParallel(func(pb *testing.PB) {
				r := rand.New(rand.NewPCG(seed.Add(1), 2))
				for pb.Next() {
					if _, err := s.Take(b.Context(), subjectOf(ratelimit.Redirects, r.IntN(subjects)), tenAnHour, noon, 1); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
