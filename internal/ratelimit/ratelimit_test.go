package ratelimit_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kurz/internal/fault"
	"kurz/internal/ratelimit"
)

var (
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	hourly = ratelimit.Limit{Name: "free", Quota: 10, Window: time.Hour}
)

func TestTake(t *testing.T) {
	type step struct {
		after      time.Duration // since noon
		n          int
		allowed    bool
		remaining  int
		reset      time.Duration
		retryAfter time.Duration
	}
	tests := []struct {
		name  string
		limit ratelimit.Limit
		steps []step
	}{
		{"the quota at once, then one each interval", ratelimit.Limit{Quota: 2, Window: time.Minute}, []step{
			{0, 1, true, 1, 30 * time.Second, 0},
			{0, 1, true, 0, time.Minute, 0},
			{0, 1, false, 0, time.Minute, 30 * time.Second},
			{29 * time.Second, 1, false, 0, 31 * time.Second, time.Second},
			{30 * time.Second, 1, true, 0, time.Minute, 0},
			{30 * time.Second, 1, false, 0, time.Minute, 30 * time.Second},
			{5 * time.Minute, 1, true, 1, 30 * time.Second, 0},
		}},
		{"several at a time", hourly, []step{
			{0, 7, true, 3, 42 * time.Minute, 0},
			{0, 4, false, 3, 42 * time.Minute, 6 * time.Minute},
			{0, 3, true, 0, time.Hour, 0},
			{6 * time.Minute, 1, true, 0, time.Hour, 0},
		}},
		{"more than the quota never", hourly, []step{
			{0, 11, false, 10, 0, 6 * time.Minute},
			{24 * time.Hour, 11, false, 10, 0, 6 * time.Minute},
			{24 * time.Hour, 10, true, 0, time.Hour, 0},
		}},
		{"given back, never more than all", hourly, []step{
			{0, 10, true, 0, time.Hour, 0},
			{0, -4, true, 4, 36 * time.Minute, 0},
			{0, 5, false, 4, 36 * time.Minute, 6 * time.Minute},
			{12 * time.Minute, -7, true, 10, 0, 0},
			{12 * time.Minute, 10, true, 0, time.Hour, 0},
		}},
		{"a clock that goes back gives nothing", hourly, []step{
			{0, 10, true, 0, time.Hour, 0},
			{-time.Hour, 1, false, 0, time.Hour, 6 * time.Minute},
			{time.Hour, 10, true, 0, time.Hour, 0},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var tat time.Time
			for i, s := range tt.steps {
				next, r := tt.limit.Take(tat, noon.Add(s.after), s.n)
				if r.Allowed != s.allowed || r.Remaining != s.remaining || r.ResetAfter != s.reset || r.RetryAfter != s.retryAfter {
					t.Fatalf("step %d: %+v, want %+v", i, r, s)
				}
				if r.Allowed {
					tat = next
				}
			}
		})
	}
}

// Within any window no more than twice the quota passes, whatever the times;
// waiting as told always helps; and a refusal changes nothing.
func TestTakeHoldsItsPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := ratelimit.Limit{Quota: rapid.IntRange(1, 50).Draw(t, "quota"), Window: time.Duration(rapid.IntRange(1, 3600).Draw(t, "window")) * time.Second}
		var tat time.Time
		var passed []time.Time
		now := noon
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(limit.Window)/2).Draw(t, "wait")))
			next, r := limit.Take(tat, now, 1)
			if r.Remaining < 0 || r.Remaining > limit.Quota || r.ResetAfter < 0 || r.ResetAfter > limit.Window || r.RetryAfter < 0 {
				t.Fatalf("%+v", r)
			}
			if r.Allowed {
				tat = next
				passed = append(passed, now)
				continue
			}
			if _, later := limit.Take(tat, now.Add(r.RetryAfter), 1); !later.Allowed {
				t.Fatalf("told to wait %v, refused again: %+v", r.RetryAfter, later)
			}
		}
		for i := range passed {
			n := 0
			for _, p := range passed[i:] {
				if p.Sub(passed[i]) < limit.Window {
					n++
				}
			}
			if n > 2*limit.Quota {
				t.Fatalf("%d passed in a window, the quota is %d", n, limit.Quota)
			}
		}
	})
}

func TestHeaders(t *testing.T) {
	_, r := hourly.Take(time.Time{}, noon, 3)
	if got, want := r.Header(), `"free";r=7;t=1080`; got != want {
		t.Errorf("RateLimit %s, want %s", got, want)
	}
	if got, want := hourly.PolicyHeader(), `"free";q=10;w=3600`; got != want {
		t.Errorf("RateLimit-Policy %s, want %s", got, want)
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	_, refused := hourly.Take(noon.Add(time.Hour), noon.Add(1500*time.Millisecond), 1)
	err := refused.Err()
	if f := fault.Of(err); f.Code != fault.RateLimitExceeded || f.RetryAfter != refused.RetryAfter || !strings.Contains(f.Message, "10/h") || !strings.Contains(f.Message, "359 s") {
		t.Errorf("%v, retry after %v", err, f.RetryAfter)
	}
	buf := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() { hourly.AppendPolicy(r.AppendHeader(buf)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]ratelimit.Limit{
		"10/h":         {Quota: 10, Window: time.Hour},
		"1000/m":       {Quota: 1000, Window: time.Minute},
		"5/s":          {Quota: 5, Window: time.Second},
		"100000/d":     {Quota: 100_000, Window: 24 * time.Hour},
		"1000000000/s": {Quota: ratelimit.MaxQuota, Window: time.Second},
		"off":          {},
	} {
		got, err := ratelimit.Parse(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
		if got.Off() != (in == "off") {
			t.Errorf("%q: off %v", in, got.Off())
		}
	}
	for _, in := range []string{"", "10", "/h", "10/", "10/y", "0/h", "-1/h", "1.5/h", "1000000001/s", "OFF", "10/h ", "99999999999999999999/h"} {
		if l, err := ratelimit.Parse(in); err == nil || !strings.Contains(err.Error(), "10/h") {
			t.Errorf("%q: %+v, %v", in, l, err)
		}
	}
	if got := (ratelimit.Limit{Quota: 1, Window: 90 * time.Second}).String(); got != "1/1m30s" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"10/h", "off", "1/1/h", "9999999999/m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ratelimit.Parse(s)
		if err != nil || l.Off() {
			return
		}
		// No limit that can be set divides by zero or overflows.
		_, r := l.Take(time.Time{}, noon, l.Quota)
		if !r.Allowed || r.Remaining < 0 {
			t.Fatalf("%q: %+v", s, r)
		}
	})
}
