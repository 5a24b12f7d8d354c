package e2e_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/client"
)

// bulkFile gives a file of so many rows, of which every hundredth is wrong.
func bulkFile(rows int) *strings.Reader {
	var b strings.Builder
	b.WriteString("long_url,title\r\n")
	for i := 1; i <= rows; i++ {
		if i%100 == 0 {
			b.WriteString("ftp://example.com/,=1+1\r\n")
			continue
		}
		fmt.Fprintf(&b, "https://example.com/page/%d,\r\n", i)
	}
	return strings.NewReader(b.String())
}

func (s *server) api(t *testing.T, key string) *client.Client {
	t.Helper()
	c, err := client.New(s.URL, client.WithKey(key))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// resultsOf reads what became of the rows: how many have each status, checking
// that each row is there once, in order, and that no link is told twice.
func resultsOf(t *testing.T, c *client.Client, id string) map[string]int {
	t.Helper()
	counts, codes := map[string]int{}, map[string]bool{}
	r, w := io.Pipe()
	go func() { w.CloseWithError(c.BulkResults(context.WithoutCancel(t.Context()), id, w)) }()
	in := csv.NewReader(r)
	for row := 0; ; row++ {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return counts
		}
		if err != nil {
			t.Fatal(err)
		}
		if row == 0 {
			continue
		}
		if cells[0] != strconv.Itoa(row) {
			t.Fatalf("row %s where %d is due", cells[0], row)
		}
		counts[cells[1]]++
		if code := cells[3]; code != "" && codes[code] {
			t.Errorf("row %d: link %s is another row's", row, code)
		} else if code != "" {
			codes[code] = true
		}
	}
}

// fewRows is how many rows of a file are made where nobody says.
func fewRows() int {
	if testing.Short() {
		return 10_000
	}
	return 30_000
}

// TestBulk sends a file, kills the server while it makes links of it, and counts
// them in the end: each row has its link, and none has two. What failed is
// corrected and sent again. KURZ_ROWS says how many rows there are.
func TestBulk(t *testing.T) {
	rows, _ := times(t, "KURZ_ROWS", fewRows())
	s := start(t, append(unlimited(), "KURZ_RATE_BULK_FREE=off")...)
	key := s.key(t, "ann@example.org")
	c := s.api(t, key)
	j, err := c.Bulk(t.Context(), client.BulkCSV, bulkFile(rows))
	if err != nil || j.Rows != int64(rows) {
		t.Fatalf("job %+v, error %v", j, err)
	}
	random := seeded(t)
	for range 3 {
		// In the end, all kills together take less than the rows do.
		<-time.After(between(random, 0, time.Duration(10*rows)*time.Microsecond))
		j, err = c.BulkJob(t.Context(), j.ID)
		if s.Kill(); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed after %d rows", j.Done+j.Failed)
		s.again(t)
	}
	if j, err = c.WaitBulk(t.Context(), j.ID, nil); err != nil {
		t.Fatal(err)
	}
	bad := rows / 100
	if j.Status != "done" || j.Done != int64(rows-bad) || j.Failed != int64(bad) {
		t.Errorf("job %+v", j)
	}
	t.Logf("bulk: %d rows in %v with restarts", rows, j.FinishedAt.Sub(j.StartedAt))
	if got := resultsOf(t, c, j.ID); got["created"] != rows-bad || got["failed"] != bad || len(got) != 2 {
		t.Errorf("results %v", got)
	}
	if n := s.countLinks(t, key, rows-bad); n != rows-bad {
		t.Errorf("%d links of %d rows", n, rows-bad)
	}

	var failures bytes.Buffer
	if err := c.BulkFailures(t.Context(), j.ID, &failures); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(failures.String(), "ftp://example.com/,'=1+1,100,INVALID_URL,") {
		t.Errorf("failures %.200q", failures.String())
	}
	corrected, err := c.Bulk(t.Context(), client.BulkCSV, strings.NewReader(strings.ReplaceAll(failures.String(), "ftp:", "https:")))
	if err == nil {
		corrected, err = c.WaitBulk(t.Context(), corrected.ID, nil)
	}
	if err != nil || corrected.Done != int64(bad) || corrected.Failed != 0 {
		t.Errorf("corrected: %+v, error %v", corrected, err)
	}
	// As they are, they fail again, and only they are tried.
	if _, err = c.RetryBulk(t.Context(), j.ID); err == nil {
		j, err = c.WaitBulk(t.Context(), j.ID, nil)
	}
	if err != nil || j.Status != "done" || j.Done != int64(rows-bad) || j.Failed != int64(bad) {
		t.Errorf("retried: %+v, error %v", j, err)
	}
	if n := s.countLinks(t, key, rows); n != rows {
		t.Errorf("%d links in the end, want %d", n, rows)
	}
}

// countLinks counts the links of a user.
func (s *server) countLinks(t *testing.T, key string, most int) (n int) {
	t.Helper()
	for _, err := range s.api(t, key).List(t.Context(), client.Filter{PageSize: 500}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n > most+10 {
			break
		}
	}
	return n
}

// TestBulkRetriedToNothing has rows fail by what is in their way, takes that
// away, and tries them again.
func TestBulkRetriedToNothing(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "blocked")
	if err := os.WriteFile(blocked, []byte("example.net\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, append(unlimited(), "KURZ_BLOCKLIST="+blocked)...)
	c := s.api(t, s.key(t, "ann@example.org"))
	j, err := c.Bulk(t.Context(), client.BulkNDJSON, strings.NewReader(strings.Repeat("{\"long_url\":\"https://example.com/\"}\n{\"long_url\":\"https://example.net/\"}\n", 2000)))
	if err == nil {
		j, err = c.WaitBulk(t.Context(), j.ID, nil)
	}
	if err != nil || j.Done != 2000 || j.Failed != 2000 {
		t.Fatalf("job %+v, error %v", j, err)
	}
	if err := os.WriteFile(blocked, []byte("example.org\n# nothing else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if _, err = c.RetryBulk(t.Context(), j.ID); err == nil {
			j, err = c.WaitBulk(t.Context(), j.ID, nil)
		}
		if err != nil || j.Failed > 0 {
			return fmt.Sprintf("job %+v, error %v", j, err)
		}
		return ""
	})
	if got := resultsOf(t, c, j.ID); got["created"] != 4000 || len(got) != 1 {
		t.Errorf("results %v", got)
	}
}

// TestBulkCancelled cancels a job in its middle: what is made stays, and is told.
func TestBulkCancelled(t *testing.T) {
	s := start(t, append(unlimited(), "KURZ_RATE_BULK_FREE=off")...)
	key := s.key(t, "ann@example.org")
	c := s.api(t, key)
	const rows = 50_000
	j, err := c.Bulk(t.Context(), client.BulkCSV, bulkFile(rows))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		if j, err = c.BulkJob(t.Context(), j.ID); err != nil || j.Status != "running" {
			return fmt.Sprintf("job %+v, error %v", j, err)
		}
		return ""
	})
	for range 2 {
		if err := c.CancelBulk(t.Context(), j.ID); err != nil {
			t.Fatal(err)
		}
		// All that was begun is told.
		if j, err = c.BulkJob(t.Context(), j.ID); err != nil || j.Status != "cancelled" {
			t.Fatalf("job %+v, error %v", j, err)
		}
		if n := s.countLinks(t, key, rows); int64(n) != j.Done {
			t.Errorf("%d links, of which %d are told", n, j.Done)
		}
	}
	if _, err = c.RetryBulk(t.Context(), j.ID); err == nil {
		j, err = c.WaitBulk(t.Context(), j.ID, nil)
	}
	if err != nil || j.Done != rows-rows/100 || j.Status != "done" {
		t.Errorf("gone on: %+v, error %v", j, err)
	}
}

// TestBulkLimitOutlivesKill kills the server: what was used of the limit of rows
// is used still.
func TestBulkLimitOutlivesKill(t *testing.T) {
	s := start(t, append(unlimited(), "KURZ_RATE_BULK_FREE=1000/d")...)
	key := s.key(t, "ann@example.org")
	c := s.api(t, key)
	j, err := c.Bulk(t.Context(), client.BulkCSV, bulkFile(700))
	if err == nil {
		_, err = c.WaitBulk(t.Context(), j.ID, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.again(t)
	if _, err := c.Bulk(t.Context(), client.BulkCSV, bulkFile(400)); !client.Is(err, client.CodeRateLimitExceeded) {
		t.Errorf("after the kill: %v", err)
	}
	if _, err := c.Bulk(t.Context(), client.BulkCSV, bulkFile(300)); err != nil {
		t.Errorf("what is left: %v", err)
	}
}

// TestBulkRepeatedAtOnce sends one file twelve times at once, with one
// Idempotency-Key: it becomes one job, and nobody is told to send less.
func TestBulkRepeatedAtOnce(t *testing.T) {
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	var text strings.Builder
	if _, err := bulkFile(5000).WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	send := ask{method: "POST", path: "/api/v1/bulk", key: key, body: text.String(), header: map[string]string{"Content-Type": "text/csv", "Idempotency-Key": "k"}}
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			got, err := s.do(t.Context(), send)
			if err != nil || got.status != 202 && got.status != 409 {
				t.Errorf("%d %s, error %v", got.status, got.body, err)
			}
		})
	}
	group.Wait()
	s.must(t, 202, send)
	if n := s.metric(t, "kurz_bulk_jobs"); n != 1 {
		t.Errorf("%v jobs", n)
	}
}

// slowFile comes in small pieces.
type slowFile struct {
	r     io.Reader
	pause time.Duration
}

func (f slowFile) Read(p []byte) (int, error) {
	<-time.After(f.pause)
	return f.r.Read(p[:min(len(p), 8<<10)])
}

// TestBulkBroken sends files that break off, and one slowly: the first leave
// nothing behind.
func TestBulkBroken(t *testing.T) {
	s := start(t, append(unlimited(), "KURZ_RATE_BULK_FREE=off")...)
	key := s.key(t, "ann@example.org")
	c := s.api(t, key)
	ctx, cut := context.WithCancel(t.Context())
	defer cut()
	broken := io.MultiReader(io.LimitReader(bulkFile(20_000), 400_000), readerFunc(func([]byte) (int, error) {
		cut()
		<-ctx.Done()
		return 0, errors.New("cut")
	}))
	if j, err := c.Bulk(ctx, client.BulkCSV, struct{ io.Reader }{broken}); err == nil {
		t.Errorf("a broken upload gives %+v", j)
	}
	eventually(t, 20*time.Second, func() string {
		if n := s.metric(t, "kurz_bulk_jobs"); n != 0 {
			return fmt.Sprintf("%v uploads left behind", n)
		}
		return ""
	})
	j, err := c.Bulk(t.Context(), client.BulkCSV, slowFile{bulkFile(5000), 20 * time.Millisecond})
	if err == nil {
		j, err = c.WaitBulk(t.Context(), j.ID, nil)
	}
	if err != nil || j.Done != 4950 {
		t.Errorf("slowly: %+v, error %v", j, err)
	}
	n := 0
	for _, err := range c.BulkJobs(t.Context()) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 {
		t.Errorf("%d jobs", n)
	}
	// By the command line.
	file := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(file, []byte("long_url\nhttps://example.com/\nftp://example.com/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Env = append(s.Env, "KURZ_API_KEY="+key)
	if out, err := s.Run(t.Context(), "import", file, "--server", s.URL); err == nil || !strings.Contains(out, "2 rows: 1 links made, 1 failed: see "+file+".failures.csv") {
		t.Errorf("kurz import: %q, error %v", out, err)
	}
	if b, err := os.ReadFile(file + ".failures.csv"); err != nil || !strings.Contains(string(b), "ftp://example.com/,2,INVALID_URL,") {
		t.Errorf("failures %q, error %v", b, err)
	}
	// The same file again is the same job.
	before := len(s.list(t, key, "limit=500", nil))
	if out, err := s.Run(t.Context(), "import", file, "--server", s.URL); err == nil || !strings.Contains(out, "2 rows: 1 links made, 1 failed") {
		t.Errorf("kurz import again: %q, error %v", out, err)
	}
	if after := len(s.list(t, key, "limit=500", nil)); after != before {
		t.Errorf("%d links after the same file again, %d before", after, before)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
