package journal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/journal"
)

// TestWalkLive walks a journal again and again while others append to it and
// the reader releases: what is on its way is never taken for damage, and what
// was there before the walk is seen.
func TestWalkLive(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		dir := t.TempDir()
		j := open(t, dir, o)
		add(t, j, 0, 10)
		stop := make(chan struct{})
		var writers sync.WaitGroup
		for range 3 {
			writers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := j.Append(record(i % 1000)); err != nil {
						t.Error(err)
						return
					}
					if st := j.Stats(); i%1000 == 999 {
						if err := j.Release(st.Appended - min(st.Appended, 3000)); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		for range 200 {
			before := j.Stats().Appended
			report, err := journal.Walk(dir, journal.WalkOptions{Live: true})
			if err != nil {
				t.Error(err)
				break
			}
			if !report.Intact() || report.Last() < before || report.Log != j.ID() {
				t.Errorf("%d were appended; found %d to %d, %d damaged", before, report.First(), report.Last(), report.Damaged)
			}
		}
		close(stop)
		writers.Wait()
	})
}

// TestWalkLiveFindsDamage shows that damage before the last intact record
// counts in a journal that is open, too.
func TestWalkLiveFindsDamage(t *testing.T) {
	dir, path, ends := orderly(t, 10, true)
	overwriteAt(t, path, ends[4]+30, 4)
	for _, live := range []bool{false, true} {
		report, err := journal.Walk(dir, journal.WalkOptions{Live: live})
		if err != nil || report.Damaged != 1 || report.Records != 9 || report.Intact() {
			t.Errorf("live %v: %+v, %v", live, report, err)
		}
	}
	// The last record torn: damage, or on its way.
	overwriteAt(t, path, ends[8]+30, 4)
	for live, want := range map[bool]uint64{false: 2, true: 1} {
		if report, err := journal.Walk(dir, journal.WalkOptions{Live: live}); err != nil || report.Damaged != want {
			t.Errorf("torn, live %v: %+v, %v", live, report, err)
		}
	}
}

func TestWalkTellsProgress(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{SegmentSize: 6 << 20, Sync: time.Hour})
	large := bytes.Repeat([]byte{1}, journal.MaxRecord)
	for range 250 {
		if _, err := j.Append(large); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	var told []int64
	var all int64
	report, err := journal.Walk(dir, journal.WalkOptions{Progress: func(done, total int64) {
		told, all = append(told, done), total
	}})
	if err != nil || report.Records != 250 {
		t.Fatal(report.Records, err)
	}
	for i := range told {
		if i > 0 && told[i] <= told[i-1] || told[i] > all {
			t.Fatalf("told of %d of %d", told, all)
		}
	}
	if len(told) < 3 || told[len(told)-1] != all {
		t.Errorf("told of %d of %d", told, all)
	}
}

// TestOtherVersion shows that a journal of a later kurz is refused, and left as
// it is.
func TestOtherVersion(t *testing.T) {
	dir, path, _ := orderly(t, 10, false)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := journal.Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	journal.SetVersion(data, report.Log, 2)
	write(t, path, data)
	_, err = journal.Verify(dir)
	if err == nil || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), path) {
		t.Errorf("verify: %v", err)
	}
	if j, err := openJournal(dir, journal.Options{}); err == nil || !strings.Contains(err.Error(), "version 2") {
		j.Close()
		t.Errorf("open: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, data) {
		t.Errorf("the segment was changed: %v", err)
	}
}

// TestForeignSegment shows that a segment of another journal, as after a copy to
// the wrong place, is neither read nor removed nor counted as damage of this
// one.
func TestForeignSegment(t *testing.T) {
	dir, path, _ := orderly(t, 10, false)
	_, other, _ := orderly(t, 20, false)
	foreign := filepath.Join(dir, "0000000000000abc.segment")
	data, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	write(t, foreign, data)
	report, err := journal.Verify(dir)
	if err != nil || report.Records != 10 || report.Damaged != 0 || report.Intact() ||
		len(report.Foreign) != 1 || report.Foreign[0] != foreign || len(report.Segments) != 1 || report.Segments[0].Path != path {
		t.Errorf("%+v, %v", report, err)
	}
	for range 2 {
		j, err := openJournal(dir, journal.Options{SegmentSize: journal.MinSegmentSize})
		if err != nil {
			t.Fatal(err)
		}
		seq := add(t, j, 10, 11)[0]
		got, last := read(t, j, 0)
		if got[len(got)-1] != string(record(10)) || last != seq || j.Stats().Damaged != 0 {
			t.Errorf("%d records to %d, %+v", len(got), last, j.Stats())
		}
		if err := errors.Join(j.Release(last), j.Close()); err != nil {
			t.Error(err)
		}
	}
	if after, err := os.ReadFile(foreign); err != nil || !bytes.Equal(after, data) {
		t.Errorf("the other journal's segment was changed: %v", err)
	}
}

func TestVerifyWhatCanNotBeRead(t *testing.T) {
	if _, err := journal.Verify(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	if _, err := journal.Verify(file); err == nil {
		t.Error("a file was taken for a journal")
	}
	report, err := journal.Verify(t.TempDir())
	if err != nil || len(report.Segments) != 0 || !report.Intact() || report.First() != 0 || report.Log != (click.LogID{}) {
		t.Errorf("an empty folder: %+v, %v", report, err)
	}
}
