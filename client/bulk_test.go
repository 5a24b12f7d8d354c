package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/client"
)

// asJob answers with a job.
func asJob(id, status string, done int) answer {
	return answer{status: 200, body: fmt.Sprintf(`{"id":%q,"status":%q,"rows":9,"done":%d,"failed":1,"error":null,"started_at":null,"created_at":"2026-11-22T00:00:00.5Z"}`, id, status, done)}
}

func TestWaitBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &script{answers: []answer{asJob("j/1", "queued", 0), refused(503, "UNAVAILABLE", "2"), asJob("j/1", "running", 4), asJob("j/1", "done", 8)}}
		var told []int64
		j, err := s.client(t).WaitBulk(t.Context(), "j/1", func(j *client.BulkJob) { told = append(told, j.Done) })
		if err != nil || j.Status != "done" || j.Rows != 9 || j.Failed != 1 || !j.Ended() || !slices.Equal(told, []int64{0, 4, 8}) {
			t.Errorf("%+v, told of %v, error %v", j, told, err)
		}
		if took := time.Since(began); took != 50*time.Millisecond+2*time.Second+100*time.Millisecond {
			t.Errorf("after %v", took)
		}
		for _, r := range s.asked {
			if r.Method != "GET" || r.URL.EscapedPath() != "/api/v1/bulk/j%2F1" {
				t.Errorf("asked %s %s", r.Method, r.URL)
			}
		}
	})
}

func TestWaitBulkAsksOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		for range 100 {
			s.answers = append(s.answers, asJob("j", "running", 1))
		}
		s.answers = append(s.answers, asJob("j", "cancelled", 1))
		began := time.Now()
		j, err := s.client(t).WaitBulk(t.Context(), "j", nil)
		if took := time.Since(began); err != nil || j.Status != "cancelled" || took < 95*time.Second || took > 100*time.Second {
			t.Errorf("%+v after %v, error %v", j, took, err)
		}
	})
}

func TestWaitBulkEndsEarly(t *testing.T) {
	waits := []answer{asJob("j", "running", 1), asJob("j", "running", 2)}
	why := errors.New("why")
	for name, c := range map[string]struct {
		ctx  func(context.Context) (context.Context, func())
		want error
	}{
		"its time is over": {func(ctx context.Context) (context.Context, func()) {
			return context.WithTimeout(ctx, 120*time.Millisecond)
		}, context.DeadlineExceeded},
		"cancelled": {func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(120*time.Millisecond, func() { cancel(why) })
			return ctx, func() { cancel(nil) }
		}, why},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := c.ctx(t.Context())
				defer end()
				s := &script{answers: waits}
				j, err := s.client(t).WaitBulk(ctx, "j", nil)
				if !errors.Is(err, c.want) || j == nil || j.Done != 2 {
					t.Errorf("%+v, error %v", j, err)
				}
			})
		})
	}
	s := &script{answers: []answer{asJob("j", "running", 1), refused(404, "NOT_FOUND", "")}}
	if j, err := s.client(t).WaitBulk(t.Context(), "j", nil); !client.Is(err, "NOT_FOUND") || j != nil {
		t.Errorf("%+v, error %v", j, err)
	}
}

func TestBulkSendsTheFileAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{err: errors.New("broken")}, refused(409, "IDEMPOTENCY_IN_PROGRESS", "1"), asJob("j", "queued", 0)}}
		file := strings.NewReader("before long_url\nhttps://example.org/\n")
		if _, err := file.Seek(7, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		j, err := s.client(t).Bulk(t.Context(), client.BulkCSV, file)
		if err != nil || j.ID != "j" {
			t.Fatalf("%+v, error %v", j, err)
		}
		keys := map[string]bool{}
		for i, r := range s.asked {
			keys[r.Header.Get("Idempotency-Key")] = true
			if s.bodies[i] != "long_url\nhttps://example.org/\n" || r.Header.Get("Content-Type") != "text/csv" || r.Method != "POST" {
				t.Errorf("sent %s %v %q", r.Method, r.Header, s.bodies[i])
			}
		}
		if len(keys) != 1 || keys[""] {
			t.Errorf("keys %v", keys)
		}

		// What can't be read again is sent once.
		s = &script{answers: []answer{refused(503, "UNAVAILABLE", "1")}}
		_, err = s.client(t).BulkOnce(t.Context(), client.BulkNDJSON, io.MultiReader(strings.NewReader("{}")), "name")
		if !client.Is(err, client.CodeUnavailable) || s.asked[0].Header.Get("Idempotency-Key") != "name" {
			t.Error(err)
		}
		s = &script{answers: []answer{refused(413, "PAYLOAD_TOO_LARGE", "")}}
		if _, err = s.client(t).Bulk(t.Context(), client.BulkJSON, strings.NewReader("[]")); !client.Is(err, "PAYLOAD_TOO_LARGE") {
			t.Error(err)
		}
	})
}

// TestBulkAnsweredEarly has the server answer before it has read the file: what
// is sent then is whole.
func TestBulkAnsweredEarly(t *testing.T) {
	text := bytes.Repeat([]byte("https://example.org/0123456789\n"), 200_000)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if asked++; asked < 4 {
			w.WriteHeader(503)
			_, _ = fmt.Fprintf(w, refusal, "UNAVAILABLE", 503)
			return
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d of %d bytes, error %v", len(got), len(text), err)
		}
		_, _ = io.WriteString(w, asJob("j", "queued", 0).body)
	}))
	defer server.Close()
	c, err := client.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if j, err := c.Bulk(t.Context(), client.BulkCSV, bytes.NewReader(text)); err != nil || j.ID != "j" {
		t.Errorf("%+v, error %v", j, err)
	}
}

func TestBulkJobs(t *testing.T) {
	page := func(next string, ids ...string) answer {
		items := make([]string, len(ids))
		for i, id := range ids {
			items[i] = asJob(id, "done", 1).body
		}
		return answer{status: 200, body: `{"items":[` + strings.Join(items, ",") + `],"next_cursor":` + next + `}`}
	}
	s := &script{answers: []answer{page(`"a&b"`, "1", "2"), page(`"c"`, "3"), refused(403, "FORBIDDEN", "")}}
	var got []string
	var failed error
	for j, err := range s.client(t).BulkJobs(t.Context()) {
		if err != nil {
			failed = err
			continue
		}
		got = append(got, j.ID)
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, got); diff != "" || !client.Is(failed, client.CodeForbidden) || len(s.asked) != 3 {
		t.Errorf("%s, error %v, %d requests", diff, failed, len(s.asked))
	}
	var cursors []string
	for _, r := range s.asked {
		cursors = append(cursors, r.URL.Query().Get("cursor"))
	}
	if diff := cmp.Diff([]string{"", "a&b", "c"}, cursors); diff != "" {
		t.Error(diff)
	}
	s = &script{answers: []answer{page(`"a"`, "1", "2")}}
	for range s.client(t).BulkJobs(t.Context()) {
		break // asks for no other page
	}
	s = &script{answers: []answer{page("null")}}
	for j, err := range s.client(t).BulkJobs(t.Context()) {
		t.Errorf("%+v, error %v", j, err)
	}
}

func TestBulkFiles(t *testing.T) {
	const text = "row,status\r\n1,created\r\n"
	file := answer{status: 200, header: http.Header{"Content-Type": {"text/csv"}}, body: text}
	s := &script{answers: []answer{file, file, refused(404, "NOT_FOUND", ""), {status: 204}, asJob("j", "queued", 0)}}
	c := s.client(t)
	var results, failures, none bytes.Buffer
	if err := errors.Join(c.BulkResults(t.Context(), "j", &results), c.BulkFailures(t.Context(), "j", &failures)); err != nil {
		t.Error(err)
	}
	if err := c.BulkResults(t.Context(), "k", &none); !client.Is(err, "NOT_FOUND") {
		t.Error(err)
	}
	if results.String() != text || failures.String() != text || none.Len() != 0 {
		t.Errorf("%q, %q, %q", results.String(), failures.String(), none.String())
	}
	if err := c.CancelBulk(t.Context(), "j"); err != nil {
		t.Error(err)
	}
	if j, err := c.RetryBulk(t.Context(), "j"); err != nil || j.Status != "queued" {
		t.Errorf("%+v, error %v", j, err)
	}
	var asked []string
	for _, r := range s.asked {
		asked = append(asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v1/bulk/"))
	}
	want := []string{"GET j/results.csv", "GET j/failures.csv", "GET k/results.csv", "DELETE j", "POST j/retry"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
}
