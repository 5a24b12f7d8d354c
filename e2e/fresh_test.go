package e2e_test

import (
	"testing"
	"time"

	"kurz/test/fresh"
)

// TestFresh follows a link 500 times a second: each click comes into the report
// and onto the live stream, once. How fast is measured and told here, and held
// against what kurz promises by bench, since a busy machine is late with
// anything.
func TestFresh(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	r, err := fresh.Measure(t.Context(), fresh.Load{
		URL: s.URL, Addr: s.Addr, Key: key, Code: code, Rate: 500, Length: 5 * time.Second, Patience: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct {
		where string
		took  []time.Duration
	}{{"report", r.Report}, {"live stream", r.Live}} {
		if len(d.took) != r.Clicks {
			t.Errorf("%d of %d clicks on the %s", len(d.took), r.Clicks, d.where)
		}
		t.Logf("%s: %d clicks, p50 %v, p99 %v, most %v", d.where, len(d.took), fresh.At(d.took, 0.5).Round(time.Millisecond), fresh.At(d.took, 0.99).Round(time.Millisecond), fresh.At(d.took, 1).Round(time.Millisecond))
	}
}
