package e2e_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"kurz/client"
	"kurz/test/fresh"
	"kurz/test/wire"
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

// TestLiveAcrossKills watches a link while its server is killed and started
// again: every click that was answered comes over the stream, and once.
func TestLiveAcrossKills(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	c, err := client.New(s.URL, client.WithKey(key))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	seen := map[string]int{}
	watched := make(chan error, 1)
	go func() {
		watched <- func() error {
			for e, err := range c.Live(ctx, code, client.Watch{Kind: "all", After: "1"}) {
				switch {
				case ctx.Err() != nil:
					return nil
				case err != nil:
					return err
				case e.Click == nil:
					return fmt.Errorf("%d missed", e.Missed)
				}
				mu.Lock()
				seen[e.Click.Referrer]++
				mu.Unlock()
			}
			return nil
		}()
	}()
	// Over one connection at a time: a click that was not answered may be
	// counted or not, the others are in order.
	answered := map[string]bool{}
	for round := range 3 {
		conn, err := wire.Dial(t.Context(), s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		killed := make(chan struct{})
		tick := time.NewTicker(time.Millisecond) // so that fewer are missed than are sent again
		time.AfterFunc(time.Duration(300+100*round)*time.Millisecond, func() { s.Kill(); close(killed) })
		for i := 0; ; i++ {
			<-tick.C
			host := fmt.Sprintf("r%d-%d.example", round, i)
			r, err := conn.Do(fmt.Appendf(nil, "GET /%s HTTP/1.1\r\nHost: %s\r\nReferer: https://%s/\r\n\r\n", code, s.Addr, host))
			if err != nil {
				break
			}
			if r.Status != 302 {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
			answered[host] = true
		}
		tick.Stop()
		conn.Close()
		<-killed
		s.again(t)
	}
	eventually(t, time.Minute, func() string {
		select {
		case err := <-watched:
			t.Fatalf("the stream ended: %v", err)
		default:
		}
		mu.Lock()
		defer mu.Unlock()
		left := 0
		for host := range answered {
			if seen[host] == 0 {
				left++
			}
		}
		if left > 0 {
			return fmt.Sprintf("%d of %d answered clicks are not on the stream", left, len(answered))
		}
		return ""
	})
	cancel()
	if err := <-watched; err != nil {
		t.Error(err)
	}
	for host, n := range seen {
		if n > 1 {
			t.Errorf("%s is on the stream %d times", host, n)
		}
	}
	t.Logf("%d clicks answered over 3 kills, %d on the stream, each once", len(answered), len(seen))
}
