package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kurz/internal/click"
	"kurz/internal/journal"
)

// filesOf gives the files of a folder that this process has open.
func filesOf(t *testing.T, dir string) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// One of them is gone: that of the listing.
		if path, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(path, dir) {
			open = append(open, filepath.Base(path))
		}
	}
	return open
}

// TestManySegments has more segments than many processes may have open files:
// of those that wait to be read one is open at a time.
func TestManySegments(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize}) // each append is synced
	const records = 400
	record := make([]byte, journal.MaxRecord/2)
	for i := range records {
		record[0] = byte(i)
		if _, err := j.Append(record); err != nil {
			t.Fatal(err)
		}
	}
	// lock, the active segment, the spare one, and one that is not yet synced
	const few = 5
	check := func(when string) {
		t.Helper()
		if n := j.Stats().Segments; n < 10*few {
			t.Fatalf("%s: only %d segments", when, n)
		}
		if files := filesOf(t, dir); len(files) > few {
			t.Errorf("%s: %d files are open: %q", when, len(files), files)
		}
	}
	check("appended")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize})
	check("opened again")
	var got []click.Record
	var after uint64
	for range records {
		var err error
		if got, err = j.Read(t.Context(), after, got[:0], 1); err != nil || len(got) != 1 {
			t.Fatalf("%d records after %d, %v", len(got), after, err)
		}
		after = got[0].Sequence
	}
	check("read")
	if err := j.Release(after); err != nil {
		t.Fatal(err)
	}
	if n := j.Stats().Segments; n != 1 {
		t.Errorf("%d segments after all was released", n)
	}
}
