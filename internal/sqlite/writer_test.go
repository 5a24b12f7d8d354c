package sqlite_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	zombiezen "zombiezen.com/go/sqlite"

	"kurz/internal/fault"
	"kurz/internal/link"
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

// TestManyLetOthersWrite: who makes one link among many waits for a thousand of
// them, whether they share a transaction or not.
func TestManyLetOthersWrite(t *testing.T) {
	const many = 20_000
	for name, later := range map[string]time.Duration{"at once": 0, "meanwhile": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			db := open(t, filepath.Join(t.TempDir(), "db"), sqlite.Options{})
			s := sqlite.NewLinks(db)
			list := make([]link.New, many)
			for i := range list {
				list[i].Link = someLink(i)
			}
			var group sync.WaitGroup
			defer group.Wait()
			begin := make(chan struct{})
			group.Go(func() { // so that both wait for the same transaction
				if err := sqlite.Write(db, t.Context(), func(*zombiezen.Conn) error { <-begin; return nil }); err != nil {
					t.Error(err)
				}
			})
			group.Go(func() {
				if made, err := s.InsertMany(t.Context(), list); err != nil || made[many-1].Outcome != link.Inserted {
					t.Errorf("made %d, error %v", len(made), err)
				}
			})
			release := time.AfterFunc(100*time.Millisecond-later, func() { close(begin) })
			defer release.Stop()
			<-time.After(100 * time.Millisecond / 2)
			if later > 0 {
				<-begin
				<-time.After(later)
			}
			if _, _, err := s.Insert(t.Context(), link.New{Link: someLink(many)}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Get(t.Context(), someLink(many-1).Key); !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.URLNotFound) {
				t.Errorf("the last of %d links was there when one had been made beside them: %v", many, err)
			}
		})
	}
}
