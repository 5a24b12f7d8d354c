package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kurz/test/wire"
)

// TestIdleConnections keeps connections open that were answered once, 1,000 or
// as many as KURZ_IDLE says, and tells what each costs the server: all of them
// are answered again. That idle ones are closed in time is for the tests of
// internal/edge, whose clock is faster.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	n, _ := times(t, "KURZ_IDLE", 1000)
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	get := wire.AppendGet(nil, s.Addr, "/"+code)
	visit := func(c *wire.Conn) {
		t.Helper()
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if r, err := c.Do(get); err != nil || r.Status != 302 {
			t.Fatalf("status %d, %v", r.Status, err)
		}
	}
	var conns []*wire.Conn
	open := func(n int) {
		for range n {
			c, err := wire.Dial(t.Context(), s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			visit(c)
		}
	}
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	open(10)
	before := resident(t, s.Pid())
	open(n)
	after := resident(t, s.Pid())
	for _, c := range conns {
		visit(c)
	}
	again := resident(t, s.Pid())
	s.clicksOf(t, key, code, 2*len(conns))
	t.Logf("%d idle connections: %.1f MB resident before, %.1f MB with them, %.1f MB after another request on each: %.1f KB for each",
		n, float64(before)/1e6, float64(after)/1e6, float64(again)/1e6, float64(again-before)/1e3/float64(n))
}

// resident gives the memory of a process that is resident, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kB, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return kB << 10
		}
	}
	t.Fatal("the kernel does not tell what is resident")
	return 0
}
