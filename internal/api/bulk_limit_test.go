package api_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"kurz/internal/api"
	"kurz/internal/idempotency"
	"kurz/internal/job"
	"kurz/internal/link"
	"kurz/internal/memory"
)

// rowsOf is an upload of so many rows.
func rowsOf(rows int) string { return "long_url\n" + strings.Repeat("https://example.com\n", rows) }

// left gives how many rows the limit has left, by an upload of one row.
func (w *world) left(tb testing.TB, who string) string {
	tb.Helper()
	got := w.do(tb, ask{Method: "POST", Path: bulk, Who: who, Header: asCSV(), Body: rowsOf(1)})
	_, rest, _ := strings.Cut(got.Header.Get("RateLimit"), ";r=")
	n, _, _ := strings.Cut(rest, ";")
	return n
}

func TestBulkLimitOutlivesTheProgram(t *testing.T) {
	w := newWorld(t)
	w.upload(t, "ann", rowsOf(300))
	w.pass(6 * time.Hour) // 250 are there again
	for range 2 {
		w.upload(t, "ann", rowsOf(300))
	}
	w.upload(t, "bob", rowsOf(10))
	for range 3 {
		w.restart()
		got := w.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV(), Body: rowsOf(351)})
		if !strings.Contains(got.Body, "350 are left") {
			t.Error(got.Body)
		}
	}
	w.upload(t, "ann", rowsOf(350))
	if got := w.left(t, "ann"); got != "0" {
		t.Errorf("%s left", got)
	}
	if got := w.left(t, "bob"); got != "989" {
		t.Errorf("%s left of another's", got)
	}
	w.pass(24 * time.Hour)
	w.restart()
	if got := w.left(t, "ann"); got != "999" {
		t.Errorf("%s left after a day", got)
	}
}

// TestBulkLimitOfCancelled: what was not begun of a cancelled job counts no
// longer, unless it is retried.
func TestBulkLimitOfCancelled(t *testing.T) {
	for name, restart := range map[string]func(*world){"at once": func(*world) {}, "after a restart": (*world).restart} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			j := w.upload(t, "ann", rowsOf(900))
			path := bulk + "/" + j.ID
			for range 2 { // the second changes nothing
				restart(w)
				w.must(t, 204, ask{Method: "DELETE", Path: path, Who: "root"})
			}
			restart(w)
			other := w.upload(t, "ann", rowsOf(950))
			restart(w)
			w.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "POST", Path: path + "/retry", Who: "ann"})
			if got := w.job(t, "ann", j.ID); got.Status != "cancelled" {
				t.Errorf("refused, but done: %+v", got)
			}
			w.must(t, 204, ask{Method: "DELETE", Path: bulk + "/" + other.ID, Who: "ann"})
			restart(w)
			w.must(t, 202, ask{Method: "POST", Path: path + "/retry", Who: "root"})
			restart(w)
			if got := w.left(t, "ann"); got != "99" {
				t.Errorf("%s left", got)
			}
			// One that was worked on counts.
			w.work(t)
			w.must(t, 204, ask{Method: "DELETE", Path: path, Who: "ann"})
			restart(w)
			if got := w.left(t, "ann"); got != "98" {
				t.Errorf("%s left", got)
			}
		})
	}
}

// TestBulkLimitGivesBackNoMore cancels a job whose rows the limit has let go of
// already.
func TestBulkLimitGivesBackNoMore(t *testing.T) {
	w := newWorld(t)
	j := w.upload(t, "ann", rowsOf(500))
	w.pass(12 * time.Hour)
	w.upload(t, "ann", rowsOf(600))
	w.must(t, 204, ask{Method: "DELETE", Path: bulk + "/" + j.ID, Who: "ann"})
	if got := w.left(t, "ann"); got != "399" {
		t.Errorf("%s left", got)
	}
}

// forgetful keeps no answer while it is told so.
type forgetful struct {
	idempotency.Store
	forgets bool
}

func (f *forgetful) Finish(ctx context.Context, id idempotency.ID, holder [16]byte, a idempotency.Answer) error {
	if f.forgets {
		return errors.New("no")
	}
	return f.Store.Finish(ctx, id, holder, a)
}

// TestBulkCountsOnce loses the answer to an upload that was submitted.
func TestBulkCountsOnce(t *testing.T) {
	f := &forgetful{Store: memory.NewIdempotency(), forgets: true}
	w := newWorld(t, func(s *api.Settings, _ *link.Settings) {
		s.Once = idempotency.NewOnce(f, s.Now, rand.Reader, []byte("secret"))
	})
	send := ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV("Idempotency-Key", "k"), Body: rowsOf(600)}
	w.refused(t, "INTERNAL", send)
	f.forgets = false
	w.restart()
	w.must(t, http.StatusAccepted, send)
	if got := w.left(t, "ann"); got != "399" {
		t.Errorf("%s left", got)
	}
	if counts, err := w.jobs.Counts(t.Context(), job.Kind); err != nil || counts[job.Queued] != 2 || len(counts) != 1 {
		t.Errorf("jobs %v, error %v", counts, err)
	}
}
