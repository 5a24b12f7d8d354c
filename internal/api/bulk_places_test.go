package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"kurz/internal/job"
)

// held is a body that comes only once it is let go.
type held struct {
	io.Reader
	begun, gone chan struct{}
	once        sync.Once
}

func (h *held) Read(p []byte) (int, error) {
	h.once.Do(func() { close(h.begun) })
	<-h.gone
	return h.Reader.Read(p)
}

// TestBulkRepeatedAtOnce fills a user's places with uploads that have one
// Idempotency-Key: one more of them is told that the first is still running, any
// other that there are too many.
func TestBulkRepeatedAtOnce(t *testing.T) {
	w := newWorld(t)
	const text = "long_url\nhttps://example.com\n"
	gone := make(chan struct{})
	var group sync.WaitGroup
	var answers [4]*httptest.ResponseRecorder
	for i := range answers {
		body := &held{Reader: strings.NewReader(text), begun: make(chan struct{}), gone: gone}
		r := httptest.NewRequestWithContext(t.Context(), "POST", bulk, body)
		r.Header = asCSV("Authorization", "Bearer "+w.keys["ann"], "Idempotency-Key", "k")
		answers[i] = httptest.NewRecorder()
		group.Go(func() { w.front.ServeHTTP(answers[i], r) })
		<-body.begun
	}
	same := ask{Method: "POST", Path: bulk, Who: "ann", Body: text, Header: asCSV("Idempotency-Key", "k")}
	if got := w.refused(t, "IDEMPOTENCY_IN_PROGRESS", same); got.Header.Get("Retry-After") != "1" {
		t.Errorf("header %v", got.Header)
	}
	w.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "POST", Path: bulk, Who: "ann", Body: text, Header: asCSV("Idempotency-Key", "other")})
	w.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "POST", Path: bulk, Who: "ann", Body: text, Header: asCSV()})
	w.upload(t, "bob", text, "Idempotency-Key", "k")
	close(gone)
	group.Wait()
	made := 0
	for _, a := range answers {
		if a.Code != http.StatusAccepted && a.Code != http.StatusConflict {
			t.Errorf("%d %s", a.Code, a.Body)
		}
		if a.Code == http.StatusAccepted && a.Header().Get("Idempotency-Replayed") == "" {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d jobs made", made)
	}
	if again := w.must(t, 202, same); again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("header %v", again.Header)
	}
	if counts, err := w.jobs.Counts(t.Context(), job.Kind); err != nil || counts[job.Queued] != 2 || len(counts) != 1 {
		t.Errorf("jobs %v, error %v", counts, err)
	}
}
