package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kurz/internal/sqlite"
)

// TestCheckpoints: the log is folded into the file when 4 MB of it are not
// there yet, and not again before there are as many more, however long it is.
func TestCheckpoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, sqlite.Options{})
	notes(t, db)
	write := func(n int) {
		t.Helper()
		for range n {
			if err := sqlite.Write(db, t.Context(), run("INSERT INTO note (who) VALUES (hex(zeroblob(30000)))")); err != nil {
				t.Fatal(err)
			}
		}
	}
	folded := func() time.Time {
		t.Helper()
		write(1) // after what the writer did when the one before was answered
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	// Each is 17 pages, so that 61 are 4 MB.
	write(70)
	first := folded()
	write(20)
	if again := folded(); !again.Equal(first) {
		t.Error("the log is folded although little is new in it")
	}
	write(50)
	if again := folded(); again.Equal(first) {
		t.Error("the log is not folded although much is new in it")
	}
}
