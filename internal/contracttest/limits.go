package contracttest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kurz/internal/ratelimit"
)

// Limits tests a ratelimit.Source. Open gives a new one with room for some
// thousand keys.
func Limits(t *testing.T, open func(t *testing.T) ratelimit.Source) {
	for name, test := range map[string]func(*testing.T, ratelimit.Source){
		"quota, refusal and refill": limitsQuota,
		"keys are apart":            limitsKeys,
		"a refusal costs nothing":   limitsRefusal,
		"racing takes":              limitsRace,
		"random calls":              limitsModel,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var tenAnHour = ratelimit.Limit{Name: "test", Quota: 10, Window: time.Hour}

func subject(scope ratelimit.Scope, n int) ratelimit.Key {
	k := ratelimit.Key{Scope: scope}
	copy(k.Subject[:], fmt.Sprintf("subject %d", n))
	return k
}

func take(t testing.TB, s ratelimit.Source, k ratelimit.Key, l ratelimit.Limit, now time.Time, n int) ratelimit.Result {
	t.Helper()
	r, err := s.Take(t.Context(), k, l, now, n)
	if err != nil {
		t.Fatalf("Take: %v", err)
	}
	return r
}

func limitsQuota(t *testing.T, s ratelimit.Source) {
	k := subject(ratelimit.Creates, 1)
	for left := 9; left >= 0; left-- {
		r := take(t, s, k, tenAnHour, at(0), 1)
		if !r.Allowed || r.Remaining != left || r.RetryAfter != 0 {
			t.Errorf("with %d left: %+v", left, r)
		}
	}
	want := ratelimit.Result{Limit: tenAnHour, ResetAfter: time.Hour, RetryAfter: 6 * time.Minute}
	if diff := cmp.Diff(want, take(t, s, k, tenAnHour, at(0), 1)); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
	if r := take(t, s, k, tenAnHour, at(360).Add(-time.Nanosecond), 1); r.Allowed || r.RetryAfter != 1 {
		t.Errorf("a nanosecond early: %+v", r)
	}
	if r := take(t, s, k, tenAnHour, at(360), 1); !r.Allowed || r.Remaining != 0 {
		t.Errorf("in time: %+v", r)
	}
	if r := take(t, s, k, tenAnHour, at(3*3600), 10); !r.Allowed || r.Remaining != 0 {
		t.Errorf("all at once after a rest: %+v", r)
	}
}

func limitsKeys(t *testing.T, s ratelimit.Source) {
	for n := range 500 {
		for _, scope := range []ratelimit.Scope{ratelimit.Redirects, ratelimit.Creates} {
			if r := take(t, s, subject(scope, n), tenAnHour, at(0), 10); !r.Allowed {
				t.Fatalf("%d in scope %d: %+v", n, scope, r)
			}
		}
	}
	for n := range 500 {
		if r := take(t, s, subject(ratelimit.Creates, n), tenAnHour, at(1), 1); r.Allowed {
			t.Fatalf("%d: %+v", n, r)
		}
	}
}

func limitsRefusal(t *testing.T, s ratelimit.Source) {
	k := subject(ratelimit.Creates, 1)
	take(t, s, k, tenAnHour, at(0), 8)
	for range 5 {
		if r := take(t, s, k, tenAnHour, at(0), 3); r.Allowed || r.Remaining != 2 {
			t.Errorf("3 of 2: %+v", r)
		}
	}
	if r := take(t, s, k, tenAnHour, at(0), 2); !r.Allowed {
		t.Errorf("2 of 2: %+v", r)
	}
	if r := take(t, s, subject(ratelimit.Creates, 2), tenAnHour, at(0), 11); r.Allowed || r.Remaining != 10 {
		t.Errorf("11 of 10: %+v", r)
	}
}

func limitsRace(t *testing.T, s ratelimit.Source) {
	limit := ratelimit.Limit{Name: "test", Quota: 100, Window: time.Hour}
	var allowed [3]atomic.Int64
	errs := race(racersMany, func(int) error {
		for n := range allowed {
			r, err := s.Take(t.Context(), subject(ratelimit.SignIns, n), limit, at(0), 1)
			if err != nil {
				return err
			}
			if r.Allowed {
				allowed[n].Add(1)
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for n := range allowed {
		if got := allowed[n].Load(); got != 100 {
			t.Errorf("%d of %d allowed, want 100", got, racersMany)
		}
	}
}

// limitsModel compares with Limit.Take on a map.
func limitsModel(t *testing.T, s ratelimit.Source) {
	limits := map[ratelimit.Scope]ratelimit.Limit{
		ratelimit.Redirects: {Name: "a", Quota: 3, Window: time.Second},
		ratelimit.Creates:   {Name: "b", Quota: 7, Window: time.Minute},
	}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		model := map[ratelimit.Key]time.Time{}
		now := at(0)
		rt.Repeat(map[string]func(*rapid.T){
			"take": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, 2e9).Draw(rt, "pause")))
				scope := rapid.SampledFrom([]ratelimit.Scope{ratelimit.Redirects, ratelimit.Creates}).Draw(rt, "scope")
				k := subject(scope, 10*run+rapid.IntRange(0, 2).Draw(rt, "subject"))
				n := rapid.IntRange(1, 4).Draw(rt, "n")
				tat, want := limits[scope].Take(model[k], now, n)
				if want.Allowed {
					model[k] = tat
				}
				got, err := s.Take(t.Context(), k, limits[scope], now, n)
				if err != nil {
					rt.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Fatalf("(-want +got):\n%s", diff)
				}
			},
		})
	})
}
