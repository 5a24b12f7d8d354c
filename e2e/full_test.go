package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kurz/test/wire"
)

// smallDisk mounts a file system of so many megabytes for the length of a test.
// Where that is not allowed the test is skipped, or, with REQUIRE_BACKENDS set,
// fails.
func smallDisk(t *testing.T, megabytes int) (folder string) {
	t.Helper()
	folder = t.TempDir()
	size := "size=" + strconv.Itoa(megabytes) + "m,mode=0700"
	if err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", size, "tmpfs", folder).Run(); err != nil {
		err = fmt.Errorf("a small file system can't be mounted here (root can): %w", err)
		if os.Getenv("REQUIRE_BACKENDS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() {
		// The server's own end comes first, since it was asked for later.
		if err := exec.CommandContext(context.Background(), "umount", folder).Run(); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
	return folder
}

// TestFullDisk fills the disk under a running server: creates are refused as
// passing, redirects go on, and with room again all goes on, with everything
// that was acknowledged there.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	folder := smallDisk(t, 160)
	s := startIn(t, filepath.Join(folder, "data"), unlimited()...)
	key := s.key(t, "ann@example.org")
	made := map[string]string{}
	create := func(i int) reply {
		destination := fmt.Sprintf("https://go.dev/%d", i)
		r, err := s.do(t.Context(), ask{method: "POST", path: "/api/v1/urls", key: key, body: fmt.Sprintf(`{"long_url":%q,"notes":%q}`, destination, strings.Repeat("x", 4000))})
		if err != nil {
			t.Fatal(err)
		}
		if r.status == 201 {
			made[r.text("short_code")] = destination
		}
		return r
	}
	for i := range 100 {
		if r := create(i); r.status != 201 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	resolves := func() {
		t.Helper()
		for code, destination := range made {
			r := s.must(t, 302, ask{method: "GET", path: "/" + code})
			match(t, "Location", regexp.QuoteMeta(destination), r.header.Get("Location"))
		}
	}

	filler := filepath.Join(folder, "filler")
	if err := fill(filler); err != nil {
		t.Fatal(err)
	}
	var refused reply
	for i := 100; refused.status == 0; i++ {
		if r := create(i); r.status != 201 {
			refused = r
		} else if i > 50_000 {
			t.Fatal("the disk does not get full")
		}
	}
	match(t, "code on a full disk", "UNAVAILABLE", refused.text("error.code"))
	match(t, "Retry-After", `[1-9]\d*`, refused.header.Get("Retry-After"))
	t.Logf("full after %d creates", len(made))
	resolves()

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if r := create(60_000); r.status != 201 {
			return fmt.Sprintf("with room again: %d %s", r.status, r.body)
		}
		return ""
	})
	resolves()
	s.Kill()
	s.again(t)
	resolves()
}

// fill writes a file until the disk is full.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for size := 1 << 20; size >= 4096; {
		if _, err := f.Write(bytes.Repeat([]byte{1}, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// TestFullDiskOfClicks redirects until the journal and its reserve are full and
// clicks are lost: every redirect is answered, every lost click is counted, and
// once there is room all is as before within 5 s.
func TestFullDiskOfClicks(t *testing.T) {
	t.Parallel()
	folder := smallDisk(t, 192)
	s := startIn(t, filepath.Join(folder, "data"), unlimited()...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	eventually(t, 10*time.Second, func() string {
		if s.metric(t, "kurz_journal_reserve") != 1 {
			return "there is no reserve yet"
		}
		return ""
	})
	answered := s.follow302(t, code, 1000, func() bool { return false })
	filler := filepath.Join(folder, "filler")
	if err := fill(filler); err != nil {
		t.Fatal(err)
	}

	// Until many are lost, but no more than a disk of this size explains.
	answered += s.follow302(t, code, 500_000, func() bool { return s.metric(t, "kurz_clicks_lost_total") > 2000 })
	lost := s.metric(t, "kurz_clicks_lost_total")
	if lost == 0 {
		t.Fatalf("no click of %d was lost: the disk never got full", answered)
	}
	if s.metric(t, "kurz_journal_full") != 1 {
		t.Error("kurz_journal_full is not 1")
	}
	match(t, "readiness", "(?s).*the disk is full, clicks are being lost: make room.*", string(s.must(t, 503, ask{method: "GET", path: "/health/ready"}).body))
	out, err := s.Run(t.Context(), "doctor")
	if err == nil || !strings.Contains(out, "clicks are being lost") {
		t.Errorf("the doctor finds nothing: %v\n%s", err, out)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	// Meanwhile people go on clicking.
	var more sync.WaitGroup
	var stop atomic.Bool
	var during int
	more.Go(func() { during = s.follow302(t, code, 1<<30, stop.Load) })
	took := eventually(t, 30*time.Second, func() string {
		before := s.metric(t, "kurz_clicks_recorded_total")
		if r, err := s.do(t.Context(), ask{method: "GET", path: "/health/ready"}); err != nil || r.status != 200 {
			return fmt.Sprintf("not ready: %s %v", r.body, err)
		}
		if r, err := s.do(t.Context(), ask{method: "POST", path: "/api/v1/urls", key: key, body: `{"long_url":"https://go.dev/room"}`}); err != nil || r.status != 201 {
			return fmt.Sprintf("create: %s %v", r.body, err)
		}
		if s.metric(t, "kurz_journal_full") != 0 || s.metric(t, "kurz_clicks_recorded_total") <= before {
			return "clicks are not recorded"
		}
		return ""
	})
	if took > 5*time.Second {
		t.Errorf("it took %v until all was as before", took)
	}
	stop.Store(true)
	more.Wait()
	answered += during
	lost = s.metric(t, "kurz_clicks_lost_total")
	var counted int
	eventually(t, 60*time.Second, func() string {
		counted = s.total(t, key)
		if s.metric(t, "kurz_clicks_pending") != 0 || counted != answered-int(lost) {
			return fmt.Sprintf("%d answered, %d counted, %.0f lost", answered, counted, lost)
		}
		return ""
	})
	t.Logf("full disk: %d redirects sent and answered, %d counted, %.0f lost and counted as lost; as before %v after there was room", answered, counted, lost, took.Round(time.Millisecond))
	if again := s.follow302(t, code, 1000, func() bool { return false }); again != 1000 || s.metric(t, "kurz_clicks_lost_total") != lost {
		t.Error("clicks are still lost")
	}
}

// follow302 follows a link over several connections, with large headers, which
// are kept, until so many redirects were answered or enough says so; every
// answer has to be a redirect.
func (s *server) follow302(t *testing.T, code string, most int, enough func() bool) int {
	t.Helper()
	request := []byte(strings.Replace(string(wire.AppendGet(nil, s.Addr, "/"+code)), "\r\n\r\n",
		"\r\nReferer: https://news.example/"+strings.Repeat("r", 900)+"\r\n\r\n", 1))
	var sent, answered atomic.Int64
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			conn, err := wire.Dial(t.Context(), s.Addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			for !stop.Load() {
				n := sent.Add(1)
				if n > int64(most) {
					sent.Add(-1)
					return
				}
				if n%1000 == 0 && enough() {
					stop.Store(true)
				}
				r, err := conn.Do(request)
				if err != nil || r.Status != 302 {
					t.Errorf("a redirect was answered %d %v", r.Status, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	clients.Wait()
	if sent.Load() != answered.Load() {
		t.Errorf("%d redirects were sent, %d answered", sent.Load(), answered.Load())
	}
	return int(answered.Load())
}
