package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"kurz/internal/contracttest"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/sqlite"
)

const minute = time.Minute

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func TestJobs(t *testing.T) {
	contracttest.Jobs(t, func(t *testing.T) job.Queue {
		return sqlite.NewJobs(open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{}))
	})
}

// Two processes work on one file.
func TestJobsAreLeasedOnceAmongProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	a := sqlite.NewJobs(open(t, path, sqlite.Options{}))
	b := sqlite.NewJobs(open(t, path, sqlite.Options{}))
	if err := a.Add(t.Context(), job.Job{ID: "job_1", Kind: "bulk", Status: job.Queued, CreatedAt: day}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Acquire(t.Context(), "bulk", "b", day, minute); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Acquire(t.Context(), "bulk", "a", day, minute); !fault.Is(err, fault.NotFound) {
		t.Errorf("second lease: %v", err)
	}
	if l, err := a.Acquire(t.Context(), "bulk", "a", day.Add(minute), minute); err != nil || l.Job.Attempts != 2 {
		t.Errorf("lease after the first: %+v, error %v", l.Job, err)
	}
}
