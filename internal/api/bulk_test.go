package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/api"
	"kurz/internal/job"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/ratelimit"
)

const bulk = "/api/v1/bulk"

func asCSV(extra ...string) http.Header {
	h := http.Header{"Content-Type": {"text/csv"}}
	for i := 0; i < len(extra); i += 2 {
		h.Set(extra[i], extra[i+1])
	}
	return h
}

// work has the worker do all that waits.
func (w *world) work(tb testing.TB) {
	tb.Helper()
	ctx, end := context.WithTimeout(tb.Context(), 30*time.Second)
	defer end()
	worked := make(chan struct{})
	go func() { defer close(worked); _ = w.worker.Run(ctx) }()
	for ctx.Err() == nil {
		counts, err := w.jobs.Counts(ctx, job.Kind)
		if err != nil {
			tb.Fatal(err)
		}
		if counts[job.Queued]+counts[job.Running] == 0 {
			end()
			<-worked
			return
		}
		<-time.After(time.Millisecond)
	}
	tb.Fatal("the jobs do not end")
}

// upload sends CSV and gives the job.
func (w *world) upload(tb testing.TB, who, text string, extra ...string) bulkJob {
	tb.Helper()
	var j bulkJob
	w.must(tb, 202, ask{Method: "POST", Path: bulk, Who: who, Body: text, Header: asCSV(extra...)}).decode(tb, &j)
	return j
}

type bulkJob struct {
	ID, Status, Format, Owner string
	Rows, Done, Failed        int
	Error                     *string
	CreatedAt                 string  `json:"created_at"`
	FinishedAt                *string `json:"finished_at"`
}

func (w *world) job(tb testing.TB, who, id string) bulkJob {
	tb.Helper()
	var j bulkJob
	w.must(tb, 200, ask{Method: "GET", Path: bulk + "/" + id, Who: who}).decode(tb, &j)
	return j
}

// table reads CSV of a job.
func (w *world) table(tb testing.TB, who, path string) [][]string {
	tb.Helper()
	got := w.must(tb, 200, ask{Method: "GET", Path: bulk + "/" + path, Who: who})
	rows, err := csv.NewReader(strings.NewReader(got.Body)).ReadAll()
	if err != nil {
		tb.Fatalf("%v in %q", err, got.Body)
	}
	return rows
}

func TestBulk(t *testing.T) {
	w := newWorld(t)
	w.link(t, "bob", `{"long_url":"https://example.com","custom_alias":"taken"}`)
	sent := w.must(t, 202, ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV(), Body: "long_url,custom_alias,title\r\n" +
		"https://example.com/1,one,\r\nhttps://example.com/2,taken,=1+1\r\nftp://example.com,,\r\nhttps://example.com/4,,\"a, b\"\r\n"})
	var j bulkJob
	sent.decode(t, &j)
	if j.Status != "queued" || j.Rows != 4 || j.Done+j.Failed != 0 || j.Format != "csv" || j.Owner != w.users["ann"].ID.String() || j.FinishedAt != nil ||
		sent.Header.Get("Location") != bulk+"/"+j.ID || sent.Header.Get("RateLimit") != `"bulk-free";r=996;t=346` {
		t.Errorf("job %+v, header %v", j, sent.Header)
	}
	if got := w.table(t, "ann", j.ID+"/results.csv"); len(got) != 5 || got[1][1] != "waiting" {
		t.Errorf("results before the work: %q", got)
	}
	w.work(t)
	if j = w.job(t, "ann", j.ID); j.Status != "done" || j.Done != 2 || j.Failed != 2 || j.FinishedAt == nil || j.Error != nil {
		t.Errorf("job %+v", j)
	}
	results := w.table(t, "ann", j.ID+"/results.csv")
	code := results[4][3]
	want := [][]string{
		{"row", "status", "long_url", "short_code", "short_url", "code", "error"},
		{"1", "created", "https://example.com/1", "one", "https://kurz.example/one", "", ""},
		{"2", "failed", "https://example.com/2", "", "", "ALIAS_TAKEN", results[2][6]},
		{"3", "failed", "ftp://example.com", "", "", "INVALID_URL", results[3][6]},
		{"4", "created", "https://example.com/4", code, "https://kurz.example/" + code, "", ""},
	}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	var made struct{ Title, LongURL string }
	w.must(t, 200, ask{Method: "GET", Path: urls + "/" + code, Who: "ann"}).decode(t, &made)
	if made.Title != "a, b" {
		t.Errorf("made %+v", made)
	}
	failures := w.table(t, "ann", j.ID+"/failures.csv")
	want = [][]string{
		{"long_url", "custom_alias", "title", "row", "code", "error"},
		{"https://example.com/2", "taken", "'=1+1", "2", "ALIAS_TAKEN", results[2][6]},
		{"ftp://example.com", "", "", "3", "INVALID_URL", results[3][6]},
	}
	if diff := cmp.Diff(want, failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	w.must(t, 200, ask{Method: "HEAD", Path: bulk + "/" + j.ID + "/failures.csv", Who: "ann"})
	w.must(t, 200, ask{Method: "HEAD", Path: bulk + "/" + j.ID + "/results.csv", Who: "ann"})

	// Corrected and sent again.
	text := w.must(t, 200, ask{Method: "GET", Path: bulk + "/" + j.ID + "/failures.csv", Who: "ann"}).Body
	text = strings.NewReplacer("taken", "free", "ftp:", "https:").Replace(text)
	again := w.upload(t, "ann", text)
	w.work(t)
	if again = w.job(t, "ann", again.ID); again.Done != 2 || again.Failed != 0 {
		t.Errorf("corrected: %+v, %q", again, w.table(t, "ann", again.ID+"/failures.csv"))
	}
	w.must(t, 200, ask{Method: "GET", Path: urls + "/free", Who: "ann"}).decode(t, &made)
	if made.Title != "=1+1" {
		t.Errorf("title %q", made.Title)
	}
}

func TestBulkFormats(t *testing.T) {
	w := newWorld(t)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	fmt.Fprint(z, "long_url\nhttps://example.com/1\nhttps://example.com/2\n")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ kind, encoding, body, format string }{
		"CSV":        {"text/csv; charset=utf-8; header=present", "", "long_url\nhttps://example.com/1\nhttps://example.com/2", "csv"},
		"BOM":        {"text/csv", "", "\ufefflong_url\nhttps://example.com/1\nhttps://example.com/2\n", "csv"},
		"gzip":       {"text/csv", "gzip", zipped.String(), "csv"},
		"JSON":       {"application/json", "", `[{"long_url":"https://example.com/1"}, {"long_url":"https://example.com/2","tags":["a"]}]`, "json"},
		"JSON lines": {"application/x-ndjson", "identity", "{\"long_url\":\"https://example.com/1\"}\n{\"long_url\":\"https://example.com/2\"}\n", "ndjson"},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{"Content-Type": {c.kind}}
			if c.encoding != "" {
				h.Set("Content-Encoding", c.encoding)
			}
			var j bulkJob
			w.must(t, 202, ask{Method: "POST", Path: bulk, Who: "ann", Header: h, Body: c.body}).decode(t, &j)
			w.work(t)
			if j = w.job(t, "ann", j.ID); j.Rows != 2 || j.Done != 2 || j.Failed != 0 || j.Format != c.format {
				t.Errorf("job %+v, failures %q", j, w.table(t, "ann", j.ID+"/failures.csv"))
			}
		})
	}
}

func TestBulkRefused(t *testing.T) {
	w := newWorld(t)
	const good = "long_url\nhttps://example.com\n"
	for _, c := range []struct {
		name, body, code string
		header           http.Header
	}{
		{"no body", "", "VALIDATION_FAILED", asCSV()},
		{"only a header", "long_url\n", "VALIDATION_FAILED", asCSV()},
		{"no rows in JSON", "[]", "VALIDATION_FAILED", http.Header{"Content-Type": {"application/json"}}},
		{"unknown column", "long_url,colour\nhttps://example.com,red\n", "VALIDATION_FAILED", asCSV()},
		{"no destination", "title\nx\n", "VALIDATION_FAILED", asCSV()},
		{"no header", "https://example.com\nhttps://example.org\n", "VALIDATION_FAILED", asCSV()},
		{"NUL bytes", good + "https://example.com/\x00\n", "VALIDATION_FAILED", asCSV()},
		{"UTF-16", "\xff\xfel\x00o\x00n\x00g\x00", "VALIDATION_FAILED", asCSV()},
		{"gzip that is not said", "\x1f\x8b\x08\x00\x00\x00\x00\x00", "VALIDATION_FAILED", asCSV()},
		{"gzip that is none", good, "BAD_REQUEST", asCSV("Content-Encoding", "gzip")},
		{"other encoding", good, "UNSUPPORTED_MEDIA_TYPE", asCSV("Content-Encoding", "br")},
		{"other charset", good, "UNSUPPORTED_MEDIA_TYPE", asCSV("Content-Type", "text/csv; charset=latin1")},
		{"other type", good, "UNSUPPORTED_MEDIA_TYPE", http.Header{"Content-Type": {"text/plain"}}},
		{"no type", good, "UNSUPPORTED_MEDIA_TYPE", http.Header{"Content-Type": nil}},
		{"more rows than the limit", "long_url\n" + strings.Repeat("https://example.com\n", 1001), "RATE_LIMIT_EXCEEDED", asCSV()},
		{"key twice", good, "VALIDATION_FAILED", http.Header{"Content-Type": {"text/csv"}, "Idempotency-Key": {"a", "b"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := w.do(t, ask{Method: "POST", Path: bulk, Who: "ann", Header: c.header, Body: c.body})
			if f := got.fault(t); f.Code != c.code {
				t.Errorf("%s %q, want %s", f.Code, f.Message, c.code)
			} else {
				t.Log(f.Message)
			}
		})
	}
	w.refused(t, "UNAUTHORIZED", ask{Method: "POST", Path: bulk, Header: asCSV(), Body: good})
	counts, err := w.jobs.Counts(t.Context(), job.Kind)
	if err != nil || len(counts) != 0 {
		t.Errorf("left behind: %v, error %v", counts, err)
	}
	if got := w.do(t, ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV(), Body: "colour\nred\n"}).fault(t); !strings.Contains(got.Message, "custom_alias") {
		t.Errorf("a wrong header is refused with %q, which does not name the columns", got.Message)
	}
}

func TestBulkLimit(t *testing.T) {
	w := newWorld(t)
	text := func(rows int) string { return "long_url\n" + strings.Repeat("https://example.com\n", rows) }
	w.upload(t, "ann", text(900), "Idempotency-Key", "first")
	got := w.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV(), Body: text(101)})
	if got.Header.Get("Retry-After") != "87" || !strings.Contains(got.Body, "100 are left") {
		t.Errorf("Retry-After %q, %s", got.Header.Get("Retry-After"), got.Body)
	}
	w.upload(t, "ann", text(100))
	w.upload(t, "bob", text(1000))
	w.upload(t, "root", text(1000))
	w.upload(t, "pam", text(2000)) // off
	got = w.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV(), Body: text(1)})
	if got.Header.Get("Retry-After") != "87" || !strings.Contains(got.Body, "none is left") {
		t.Errorf("Retry-After %q, %s", got.Header.Get("Retry-After"), got.Body)
	}
	// Whoever lost the answer can have it all the same.
	again := w.must(t, 202, ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV("Idempotency-Key", "first"), Body: text(900)})
	if again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("header %v", again.Header)
	}
	// Creates are counted apart.
	w.link(t, "ann", `{"long_url":"https://example.com"}`)
	w.pass(87 * time.Second)
	w.upload(t, "ann", text(1))
}

func TestBulkOnce(t *testing.T) {
	w := newWorld(t)
	const text = "long_url\nhttps://example.com\n"
	first := w.upload(t, "ann", text, "Idempotency-Key", "k")
	for range 3 {
		if again := w.upload(t, "ann", text, "Idempotency-Key", "k"); again.ID != first.ID {
			t.Errorf("again: %+v", again)
		}
	}
	w.refused(t, "IDEMPOTENCY_KEY_REUSED", ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV("Idempotency-Key", "k"), Body: text + "https://example.org\n"})
	if other := w.upload(t, "bob", text, "Idempotency-Key", "k"); other.ID == first.ID {
		t.Error("another's key is the same")
	}
	w.work(t)
	counts, err := w.jobs.Counts(t.Context(), job.Kind)
	if err != nil || counts[job.Done] != 2 || len(counts) != 1 {
		t.Errorf("jobs %v, error %v", counts, err)
	}
	retry := ask{Method: "POST", Path: bulk + "/" + first.ID + "/retry", Who: "ann", Header: http.Header{"Idempotency-Key": {"r"}}}
	w.must(t, 202, retry)
	if got := w.must(t, 202, retry); got.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("header %v", got.Header)
	}
}

func TestBulkList(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for i := range 5 {
		who := []string{"ann", "bob"}[i%2]
		ids = append([]string{w.upload(t, who, "long_url\nhttps://example.com\n").ID}, ids...)
		w.pass(time.Second)
	}
	list := func(who, query string) (got []string) {
		for cursor := ""; ; {
			var page struct {
				Items []bulkJob
				Next  *string `json:"next_cursor"`
			}
			w.must(t, 200, ask{Method: "GET", Path: bulk + "?limit=2" + query + cursor, Who: who}).decode(t, &page)
			for _, j := range page.Items {
				got = append(got, j.ID)
			}
			if page.Next == nil {
				return got
			}
			cursor = "&cursor=" + *page.Next
		}
	}
	for _, c := range []struct {
		who, query string
		want       []string
	}{
		{"ann", "", []string{ids[0], ids[2], ids[4]}},
		{"bob", "", []string{ids[1], ids[3]}},
		{"pam", "", nil},
		{"root", "", ids},
		{"root", "&owner=" + w.users["bob"].ID.String(), []string{ids[1], ids[3]}},
	} {
		if diff := cmp.Diff(c.want, list(c.who, c.query)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.who, c.query, diff)
		}
	}
	w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Path: bulk + "?cursor=abc&limit=0", Who: "ann"}, "limit", "cursor")
	w.refused(t, "FORBIDDEN", ask{Method: "GET", Path: bulk + "?owner=" + w.users["bob"].ID.String(), Who: "ann"})
}

func TestBulkIsTheOwners(t *testing.T) {
	w := newWorld(t)
	j := w.upload(t, "ann", "long_url\nhttps://example.com\n")
	for _, r := range []struct{ method, path string }{
		{"GET", ""}, {"GET", "/results.csv"}, {"GET", "/failures.csv"}, {"POST", "/retry"}, {"DELETE", ""},
	} {
		w.refused(t, "UNAUTHORIZED", ask{Method: r.method, Path: bulk + "/" + j.ID + r.path})
		w.refused(t, "FORBIDDEN", ask{Method: r.method, Path: bulk + "/" + j.ID + r.path, Who: "bob"})
		w.refused(t, "NOT_FOUND", ask{Method: r.method, Path: bulk + "/job_no" + r.path, Who: "ann"})
		if got := w.do(t, ask{Method: r.method, Path: bulk + "/" + j.ID + r.path, Who: "root"}); got.Status >= 300 {
			t.Errorf("admin's %s %s: %d", r.method, r.path, got.Status)
		}
	}
	for range 2 {
		w.must(t, 204, ask{Method: "DELETE", Path: bulk + "/" + j.ID, Who: "ann"})
	}
	w.work(t)
	if got := w.job(t, "ann", j.ID); got.Status != "cancelled" || got.Done != 0 {
		t.Errorf("job %+v", got)
	}
	w.must(t, 202, ask{Method: "POST", Path: bulk + "/" + j.ID + "/retry", Who: "ann"})
	w.work(t)
	if got := w.job(t, "ann", j.ID); got.Status != "done" || got.Done != 1 {
		t.Errorf("job %+v", got)
	}
	w.refused(t, "VALIDATION_FAILED", ask{Method: "POST", Path: bulk + "/" + j.ID + "/retry", Who: "ann", Body: "{}"}, "body")
}

func TestBulkRetry(t *testing.T) {
	w := newWorld(t, func(_ *api.Settings, ls *link.Settings) { ls.Policy.Blocklist = link.NewBlocklist(nil) })
	w.link(t, "ann", `{"long_url":"https://example.com","content_id":"c"}`)
	j := w.upload(t, "ann", "long_url,custom_alias\nhttps://example.com/a,mine\nhttps://example.com/b,mine\nhttps://example.com/c,\n")
	w.work(t)
	if j = w.job(t, "ann", j.ID); j.Done != 2 || j.Failed != 1 {
		t.Fatalf("job %+v", j)
	}
	w.must(t, 202, ask{Method: "POST", Path: bulk + "/" + j.ID + "/retry", Who: "ann"})
	w.work(t)
	if j = w.job(t, "ann", j.ID); j.Status != "done" || j.Done != 2 || j.Failed != 1 {
		t.Errorf("job %+v", j)
	}
}

// endless is a body without end.
type endless struct {
	header io.Reader
	wide   bool
}

func (e endless) Read(p []byte) (int, error) {
	if n, _ := e.header.Read(p); n > 0 {
		return n, nil
	}
	row := "https://example.com/0123456789\n"
	if e.wide {
		row = "https://example.com/0123456789," + strings.Repeat("0", 1000) + "\n"
	}
	n := 0
	for len(p)-n >= len(row) {
		n += copy(p[n:], row)
	}
	if n == 0 {
		p[0] = '\n'
		n = 1 // an empty line, which is no row
	}
	return n, nil
}

// broken ends before its time.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestBulkTooLargeOrBroken(t *testing.T) {
	var jobs job.Queue
	w := newWorld(t, func(s *api.Settings, _ *link.Settings) {
		s.Rates.BulkFree = ratelimit.Limit{}
		jobs = memory.NewJobs()
		s.Bulk = job.NewBulk(job.BulkSettings{Queue: jobs, Reader: api.BulkFiles{}, Now: time.Now, Rand: rand.Reader, MaxRows: 60_000, MaxBytes: 4 << 20})
	})
	send := func(body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "POST", bulk, body)
		r.Header.Set("Content-Type", "text/csv")
		r.Header.Set("Authorization", "Bearer "+w.keys["ann"])
		rec := httptest.NewRecorder()
		w.front.ServeHTTP(rec, r)
		return rec
	}
	for name, c := range map[string]struct {
		body   io.Reader
		status int
	}{
		"too many rows":  {endless{strings.NewReader("long_url\n"), false}, 413},
		"too many bytes": {endless{strings.NewReader("long_url,notes\n"), true}, 413},
		"huge row":       {strings.NewReader("long_url\n\"" + strings.Repeat("0", 200_000) + "\"\n"), 400},
		"broken":         {broken{strings.NewReader("long_url\n" + strings.Repeat("https://example.com/\n", 50_000))}, 400},
	} {
		rec := send(c.body)
		if rec.Code != c.status {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		counts, err := jobs.Counts(t.Context(), job.Kind)
		if err != nil || len(counts) != 0 {
			t.Errorf("%s left behind: %v, error %v", name, counts, err)
		}
	}
}
