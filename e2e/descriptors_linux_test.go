package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"kurz/test/program"
	"kurz/test/wire"
)

// TestFewDescriptors fills a server that may have 64 files open with
// connections: those that are used go on being answered, new ones too, in place
// of those that have waited longest, and the journal goes on from segment to
// segment. Once the others are gone new ones are answered within 2 s.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	s := startWith(t, program.Options{
		Binary: binary, Data: t.TempDir(), Env: unlimited(),
		Before: []string{"sh", "-c", `ulimit -n 64 && exec "$0" "$@"`},
	})
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	get := wire.AppendGet(nil, s.Addr, "/"+code)
	clicks := 0
	visit := func(c *wire.Conn) error {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		r, err := c.Do(get)
		if err == nil && r.Status != 302 {
			err = fmt.Errorf("status %d", r.Status)
		}
		if err == nil {
			clicks++
		}
		return err
	}
	var kept []*wire.Conn
	for range 8 {
		c, err := wire.Dial(t.Context(), s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := visit(c); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	for round := range 2 {
		// The kernel takes these connections, as many as wait to be accepted.
		var flood []net.Conn
		for range 30 {
			c, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			flood = append(flood, c)
		}
		useKept := func() {
			for i, c := range kept {
				if err := visit(c); err != nil {
					t.Fatalf("round %d, kept connection %d: %v", round, i, err)
				}
			}
		}
		eventually(t, 10*time.Second, func() string {
			useKept()
			// But for those that are kept back.
			if open := descriptors(t, s.Pid()); open < 64-24 {
				return fmt.Sprintf("%d files are open", open)
			}
			return ""
		})
		// It has to wait until those before it have had their second.
		answered := make(chan error, 1)
		go func() { answered <- s.anew(t.Context(), get) }()
		for waiting := true; waiting; {
			useKept()
			select {
			case err := <-answered:
				if err != nil {
					t.Fatalf("round %d, a new connection: %v", round, err)
				}
				clicks++
				waiting = false
			case <-time.After(50 * time.Millisecond):
			}
		}
		for filled := time.Now(); time.Since(filled) < 1500*time.Millisecond; {
			useKept()
		}
		for _, c := range flood {
			c.Close()
		}
		began := time.Now()
		c, err := wire.Dial(t.Context(), s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := visit(c); err != nil {
			t.Fatalf("round %d, after it: %v", round, err)
		}
		c.Close()
		took := time.Since(began)
		t.Logf("round %d: a new connection is answered %d ms after the others are gone", round, took.Milliseconds())
		if took > 2*time.Second {
			t.Errorf("recovered after %v", took)
		}
	}
	// More than a segment of clicks, while others hold all connections.
	for range 100 {
		c, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	long := wire.AppendGet(nil, s.Addr, "/"+code+"?utm_content="+strings.Repeat("x", 2000))
	long = bytes.Repeat(long, 50)
	for range 36 << 20 / len(long) {
		if err := kept[0].SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := kept[0].Write(long); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if r, err := kept[0].Read(false); err != nil || r.Status != 302 {
				t.Fatal(r.Status, err)
			}
			clicks++
		}
	}
	if lost := s.metric(t, "kurz_clicks_lost_total"); lost != 0 {
		t.Errorf("%v of %d clicks are lost", lost, clicks)
	}
	s.must(t, 200, ask{method: "GET", path: "/health/ready"})
	s.clicksOf(t, key, code, clicks)
	s.client.CloseIdleConnections()
}

// anew sends a request on a connection of its own.
func (s *server) anew(ctx context.Context, request []byte) error {
	c, err := wire.Dial(ctx, s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	r, err := c.Do(request)
	if err == nil && r.Status != 302 {
		err = fmt.Errorf("status %d", r.Status)
	}
	return err
}

// descriptors counts the files that a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
