package journal_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"kurz/internal/fault"
	"kurz/internal/journal"
)

// disk is an allocator whose space can run out.
type disk struct{ full atomic.Bool }

func (d *disk) allocate(f *os.File, size int64) error {
	if d.full.Load() {
		return &fs.PathError{Op: "fallocate", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.Truncate(size)
}

func TestFullDisk(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		var d disk
		o.Allocate, o.Reserve = d.allocate, true
		dir := t.TempDir()
		j := open(t, dir, o)
		reserve := filepath.Join(dir, "reserve")
		eventually(t, "the reserve", func() bool { _, err := os.Stat(reserve); return err == nil })
		d.full.Store(true)
		kept := fill(t, j)
		if got, _ := read(t, j, 0); len(got) != kept {
			t.Errorf("%d records of %d", len(got), kept)
		}
		if st := j.Stats(); st.Lost != 1 || st.Full == nil || st.Segments != 3 {
			t.Errorf("full, present, spare and reserve used: %+v", st)
		}
		if _, err := os.Stat(reserve); err == nil {
			t.Error("the reserve is still there")
		}
		d.full.Store(false)
		eventually(t, "space to be noticed", func() bool {
			_, err := j.Append([]byte("again"))
			return err == nil
		})
		eventually(t, "the reserve again", func() bool { _, err := os.Stat(reserve); return err == nil })
		if got, _ := read(t, j, uint64(kept)); len(got) != 1 || j.Stats().Full != nil {
			t.Errorf("after the disk had space: %d records, %+v", len(got), j.Stats())
		}
	})
}

// fill appends until the journal refuses, and gives how many it took.
func fill(t *testing.T, j *journal.Journal) int {
	t.Helper()
	for kept := 0; ; kept++ {
		_, err := j.Append(record(200))
		if fault.Is(err, fault.Unavailable) && kept > 0 {
			return kept
		}
		if err != nil || kept > 100_000 {
			t.Fatalf("after %d records: %v", kept, err)
		}
	}
}

func TestOpenOnFullDisk(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		var d disk
		o.Allocate = d.allocate
		d.full.Store(true)
		if _, err := openJournal(t.TempDir(), o); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("new journal without space: %v", err)
		}
		d.full.Store(false)
		dir := t.TempDir()
		j := open(t, dir, o)
		add(t, j, 0, 10)
		j.Close()
		d.full.Store(true)
		j = open(t, dir, o)
		if got, _ := read(t, j, 0); len(got) != 10 {
			t.Errorf("%d records", len(got))
		}
		if _, err := j.Append([]byte("lost")); !fault.Is(err, fault.Unavailable) {
			t.Errorf("append: %v", err)
		}
		d.full.Store(false)
		eventually(t, "space to be noticed", func() bool {
			_, err := j.Append([]byte("kept"))
			return err == nil
		})
		if got, last := read(t, j, 10); len(got) != 1 || last != 11 {
			t.Errorf("%d records up to %d", len(got), last)
		}
	})
}

// TestFullFileSystem uses a file system of its own, which takes root.
func TestFullFileSystem(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		dir := t.TempDir()
		mountSmall(t, dir, 1<<20)
		o.Reserve = true
		j := open(t, filepath.Join(dir, "journal"), o)
		kept := fill(t, j)
		got, last := read(t, j, 0)
		if len(got) != kept || kept < 4*journal.MinSegmentSize/int(journal.RecordSize(211)) {
			t.Errorf("%d records of %d", len(got), kept)
		}
		if err := j.Release(last); err != nil {
			t.Fatal(err)
		}
		eventually(t, "space to be noticed", func() bool {
			_, err := j.Append([]byte("again"))
			return err == nil
		})
	})
}
