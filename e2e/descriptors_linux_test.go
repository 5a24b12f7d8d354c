package e2e_test

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"kurz/test/program"
	"kurz/test/wire"
)

// TestFewDescriptors fills a server that may have 64 files open with
// connections: those that it has go on being answered, and once the others are
// gone new ones are answered within 2 s.
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
		for range 100 {
			c, err := net.Dial("tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			flood = append(flood, c)
		}
		eventually(t, 10*time.Second, func() string {
			if open := descriptors(t, s.Pid()); open < 64 {
				return fmt.Sprintf("%d files are open", open)
			}
			return ""
		})
		// Long enough for the longest pause between two attempts to accept.
		for filled := time.Now(); time.Since(filled) < 1500*time.Millisecond; {
			for i, c := range kept {
				if err := visit(c); err != nil {
					t.Fatalf("round %d, kept connection %d: %v", round, i, err)
				}
			}
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
	s.must(t, 200, ask{method: "GET", path: "/health/ready"})
	s.clicksOf(t, key, code, clicks)
	s.client.CloseIdleConnections()
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
