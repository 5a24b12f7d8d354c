//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCodes(t *testing.T) {
	const some = 200_000
	seen := make(map[string]bool, some)
	for i := range some {
		code := codeOf(i)
		if len(code) != 7 || strings.Trim(code, "0123456789abcdef") != "" {
			t.Fatalf("code %q", code)
		}
		if seen[code] {
			t.Fatalf("code %q twice", code)
		}
		seen[code] = true
	}
	const exact = 1 << 53 // whole numbers below are exact in a float64
	if mostLinks*codeSpread >= exact {
		t.Error("Lua can't make the codes of all links")
	}
	if codeSpread%2 == 0 || mostLinks > codeSpace {
		t.Error("codes repeat")
	}
}

func TestSampleOf(t *testing.T) {
	for _, c := range []struct{ links, n, want int }{{10, 3, 3}, {3, 10, 3}, {1, 1, 1}} {
		drawn := sampleOf(c.links, c.n)
		seen := map[int32]bool{}
		for _, link := range drawn {
			if link < 0 || int(link) >= c.links || seen[link] {
				t.Errorf("%d of %d: %v", c.n, c.links, drawn)
			}
			seen[link] = true
		}
		if len(drawn) != c.want {
			t.Errorf("%d of %d: drew %d", c.n, c.links, len(drawn))
		}
	}
}

func TestParseWrk(t *testing.T) {
	for _, c := range []struct {
		name, out string
		requests  float64
		took      time.Duration
		bad       string
	}{
		{name: "answers", out: "  108231 requests in 5.02s, 25.9MB read\nRequests/sec:  21559.96\n", requests: 108231, took: 5020 * time.Millisecond},
		{name: "a short round", out: "  12 requests in 900.50ms, 25.9KB read\n", requests: 12, took: 900500 * time.Microsecond},
		{name: "a long round", out: "  12 requests in 1.50m, 25.9KB read\n", requests: 12, took: 90 * time.Second},
		{name: "refused", out: "  12 requests in 1.50s, 2KB read\n  Non-2xx or 3xx responses: 7\n", bad: "responses: 7"},
		{name: "broken", out: "  12 requests in 1.50s, 2KB read\n  Socket errors: connect 0, read 3, write 0, timeout 0\n", bad: "read 3"},
		{name: "no answer", out: "  0 requests in 1.50s, 0B read\n", bad: "no answer"},
		{name: "something else", out: "unable to connect\n", bad: "printed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests, took, err := parseWrk(c.out)
			switch {
			case c.bad != "":
				if err == nil || !strings.Contains(err.Error(), c.bad) {
					t.Errorf("error %v", err)
				}
			case err != nil || requests != c.requests || took != c.took:
				t.Errorf("%v in %v, %v", requests, took, err)
			}
		})
	}
}

func TestSample(t *testing.T) {
	s := sample{3, 1, 2}
	if got := s.format("%.1f", " µs"); got != "2.0 µs (1.0–3.0)" {
		t.Error(got)
	}
	if got := (sample{1, 2, 3, 10}).median(); got != 2.5 {
		t.Error(got)
	}
	if got := (sample{}).format("%.1f", ""); got != "not measured" {
		t.Error(got)
	}
	// Round by round, not median by median.
	if diff := cmp.Diff(sample{3, 0.5, 1}, s.over(sample{1, 2, 2})); diff != "" {
		t.Error(diff)
	}
	for n, text := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 12345678: "12,345,678"} {
		if got := thousands(n); got != text {
			t.Errorf("%v is %s", n, got)
		}
	}
}

func TestContestTable(t *testing.T) {
	var table contestTable
	if got := table.markdown(); got != "" {
		t.Errorf("nothing is %q", got)
	}
	contestants := crowd{{name: isKurz, links: 1000}, {name: isNginx, links: 1000}, {name: isExpress, links: 5}}
	table.enter(load{links: 1000}, contestants, []score{
		{cost: sample{20, 30, 44}, full: sample{22, 33, 55}}, {cost: sample{10, 11, 11}}, {cost: sample{1}},
	})
	table.put(load{links: 5, anew: true, tls: true, zipf: true}, isNginx, "did not start")
	table.put(load{asked: 5}.over(10), isKurz, "1.0")
	table.put(load{asked: 5}.over(4), isKurz, "2.0")
	want := `| load | nginx | kurz | kurz, its click in the reports too |
|---|---|---|---|
| 1,000 links, uniform, keep-alive | 11.0 (10.0–11.0)<br>1.00 × | 30.0 (20.0–44.0)<br>2.73 × | 33.0 (22.0–55.0)<br>3.00 × |
| 5 links, Zipf 1.0, a new connection each request, TLS 1.3 | did not start | – | – |
| 10 links (5 asked for), uniform, keep-alive | – | 1.0 | – |
| 4 links, uniform, keep-alive | – | 2.0 | – |
`
	if diff := cmp.Diff(want, table.markdown()); diff != "" {
		t.Error(diff)
	}
}

func TestAsked(t *testing.T) {
	var a asked
	if got := a.String(); got != "nothing asked" {
		t.Error(got)
	}
	for i := range 1000 {
		a.latencies = append(a.latencies, time.Duration(i+1)*time.Millisecond)
	}
	if got, want := a.String(), "p50 501.00 ms, p99 991.00 ms, p99.9 1000.00 ms, most 1000.00 ms"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestReport makes sure that what was not measured is said to be missing.
func TestReport(t *testing.T) {
	l := &lab{values: map[string]string{"redirect": "**1.00 ×**"}}
	l.noteOnce("a note")
	l.noteOnce("a note")
	l.contest.put(load{links: 7}, isNginx, "12.0")
	report := l.report()
	for _, want := range []string{"| **1.00 ×** |\n", "| bulk rows on SQLite | ≥ 40,000/s | not yet |\n", "\n## What a redirect costs, by load\n", "| 7 links, uniform, keep-alive | 12.0 |\n"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q: %s", want, report)
		}
	}
	if strings.Count(report, "- a note\n") != 1 {
		t.Error("a note is not there once")
	}
}
