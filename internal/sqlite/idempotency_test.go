package sqlite_test

import (
	"path/filepath"
	"testing"

	"kurz/internal/contracttest"
	"kurz/internal/idempotency"
	"kurz/internal/sqlite"
)

func TestIdempotency(t *testing.T) {
	contracttest.Idempotency(t, func(t *testing.T) idempotency.Store {
		return sqlite.NewIdempotency(open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{}))
	})
}

func TestIdempotencySurvivesAClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	begun := idempotency.Attempt{
		ID: idempotency.ID{1}, Operation: idempotency.Operation{2}, Holder: [16]byte{3}, Now: day, Lease: minute, Keep: 24 * 60 * minute,
	}
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if outcome, _, err := sqlite.NewIdempotency(db).Begin(t.Context(), begun); err != nil || outcome != idempotency.Started {
		t.Fatalf("outcome %d, error %v", outcome, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := begun
	again.Operation, again.Holder, again.Now = idempotency.Operation{8}, [16]byte{9}, day.Add(minute)
	outcome, r, err := sqlite.NewIdempotency(open(t, path, sqlite.Options{})).Begin(t.Context(), again)
	if err != nil || outcome != idempotency.Started || r.Operation != begun.Operation {
		t.Errorf("outcome %d, operation %x, error %v; want the first one's operation", outcome, r.Operation, err)
	}
}
