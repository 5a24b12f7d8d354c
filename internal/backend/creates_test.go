package backend_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/app"
	"kurz/internal/backend"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// The proof of codes: so many processes create in one data folder while one of
// them is killed every so often, and every create that was acknowledged is in
// its ledger. KURZ_CREATES says how many creates there are for each strategy.
const (
	creatingProcesses = 8
	createsAtOnce     = 16 // of a process
)

// TestCreatesAreNeverLostNorDoubled is that proof.
func TestCreatesAreNeverLostNorDoubled(t *testing.T) {
	creates, killEvery := 4_000, 100*time.Millisecond
	if text := os.Getenv("KURZ_CREATES"); text != "" {
		var err error
		if creates, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		killEvery = time.Second
	}
	for _, strategy := range link.Strategies() {
		t.Run(string(strategy), func(t *testing.T) {
			dir := t.TempDir()
			s := load(t, filepath.Join(dir, "data"))
			if err := backend.Migrate(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			kills := createUnderKills(t, dir, string(strategy), creates, killEvery)
			took := time.Since(began)
			acknowledged := readLedgers(t, dir)
			stored := compareWithLedger(t, filepath.Join(dir, "data"), acknowledged)
			verdict := "0 doubled, 0 lost"
			if t.Failed() {
				verdict = "see the errors above"
			}
			t.Logf("creates: %s: %d processes, %d creates acknowledged in %.1f s, %d killed, %d links in the database, %s",
				strategy, creatingProcesses, len(acknowledged), took.Seconds(), kills, stored, verdict)
		})
	}
}

// createUnderKills runs the processes until so many creates were acknowledged,
// and tells how many were killed.
func createUnderKills(t *testing.T, dir, strategy string, creates int, every time.Duration) (kills int) {
	t.Helper()
	var done atomic.Int64
	var all sync.WaitGroup
	starts := 0
	start := func() *exec.Cmd {
		starts++
		c := exec.Command(os.Args[0], "-test.run=^TestCreatingProcess$")
		c.Env = append(os.Environ(),
			"KURZ_TEST_CREATING="+dir, "KURZ_TEST_STRATEGY="+strategy, "KURZ_TEST_NAME="+strconv.Itoa(starts))
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for in := bufio.NewScanner(out); in.Scan(); {
				// A line is a number of creates since the last one.
				n, err := strconv.Atoi(in.Text())
				if err == nil {
					done.Add(int64(n))
				}
			}
		})
		return c
	}
	processes := make([]*exec.Cmd, creatingProcesses)
	for i := range processes {
		processes[i] = start()
	}
	kill := func(c *exec.Cmd) {
		if err := c.Process.Kill(); err != nil {
			t.Errorf("a process ended by itself: %v", err)
		}
		// Of one that ended before, Kill knows nothing until it was waited for.
		if err := c.Wait(); runtime.GOOS != "windows" && c.ProcessState.Exited() {
			t.Errorf("a process ended by itself: %v", err)
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for done.Load() < int64(creates) {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
		victim := kills % len(processes)
		kill(processes[victim])
		kills++
		processes[victim] = start()
	}
	for _, c := range processes {
		kill(c)
	}
	all.Wait()
	return kills
}

// readLedgers gives the destinations of all codes that were acknowledged, and
// fails where one was acknowledged twice.
func readLedgers(t *testing.T, dir string) map[link.Code]link.Href {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "ledger-*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[link.Code]link.Href{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			code, destination, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if !ok || !strings.HasSuffix(line, "\n") {
				continue // the process was killed while it wrote
			}
			if other := all[link.Code(code)]; other != "" {
				t.Errorf("%s was acknowledged for %s and for %s", code, other, destination)
			}
			all[link.Code(code)] = link.Href(destination)
		}
	}
	return all
}

// compareWithLedger fails for each create that was acknowledged and is not
// there, and for each destination that has two links. It tells how many links
// there are: those that were stored and not acknowledged too.
func compareWithLedger(t *testing.T, data string, acknowledged map[link.Code]link.Href) (stored int) {
	t.Helper()
	d, err := backend.OpenData(t.Context(), load(t, data))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Integrity(t.Context()); err != nil {
		t.Error(err)
	}
	found, destinations := 0, map[link.Href]link.Code{}
	for q := (link.Query{Sort: link.OldestFirst, Limit: 500, Now: time.Now()}); ; {
		page, after, err := d.Links.Page(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page {
			l := &page[i]
			stored++
			if other := destinations[l.Destination]; other != "" {
				t.Errorf("%s has the codes %s and %s", l.Destination, other, l.Code)
			}
			destinations[l.Destination] = l.Code
			if destination := acknowledged[l.Code]; destination != "" {
				found++
				if destination != l.Destination {
					t.Errorf("%s leads to %s, and %s was acknowledged", l.Code, l.Destination, destination)
				}
			}
		}
		if q.After = after; after.IsZero() {
			break
		}
	}
	if lost := len(acknowledged) - found; lost != 0 {
		t.Errorf("%d of %d acknowledged creates are lost", lost, len(acknowledged))
	}
	return stored
}

// TestCreatingProcess is such a process, until it is killed.
func TestCreatingProcess(t *testing.T) {
	dir, name := os.Getenv("KURZ_TEST_CREATING"), os.Getenv("KURZ_TEST_NAME")
	if dir == "" {
		t.Skip("it is a process of TestCreatesAreNeverLostNorDoubled")
	}
	strategy := os.Getenv("KURZ_TEST_STRATEGY")
	s := load(t, filepath.Join(dir, "data"), "KURZ_CODE_STRATEGY="+strategy)
	data, err := backend.OpenData(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	codes, err := data.Codes(t.Context(), s, time.Now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if pool, ok := codes.(*link.PoolCodes); ok {
		go func() { _ = pool.Run(context.Background()) }()
	}
	core, err := app.NewCore(s, data.Links, codes, app.Surroundings{Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := os.OpenFile(filepath.Join(dir, "ledger-"+name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range createsAtOnce {
		all.Go(func() {
			for {
				destination := fmt.Sprintf("https://example.com/%s/%d", name, count.Add(1))
				l, _, err := core.Registry.Create(context.Background(), account.Operator(), link.Creation{LongURL: destination})
				if fault.Is(err, fault.Unavailable) {
					continue // another process wrote for long; it is not acknowledged
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				_, err = fmt.Fprintf(ledger, "%s %s\n", l.Code, destination)
				_, told := fmt.Fprintln(os.Stdout, 1)
				mu.Unlock()
				if err := errors.Join(err, told); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
