package journal_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/journal"
)

// orderly makes a journal of one segment with n records, closed or as a crash
// leaves it, and gives its folder, the segment's path, and where records end.
func orderly(t testing.TB, n int, crashed bool) (dir, path string, ends []int64) {
	t.Helper()
	dir = memoryDir(t)
	j := open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	end := int64(journal.HeaderSize)
	for i := range n {
		add(t, j, i, i+1)
		end += journal.RecordSize(len(record(i)))
		ends = append(ends, end)
	}
	if crashed {
		dir = crash(t, dir)
	} else if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, segments(t, dir)[0], ends
}

func TestTruncatedAnywhere(t *testing.T) {
	const n = 4
	for _, crashed := range []bool{true, false} {
		dir, path, ends := orderly(t, n, crashed)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		id, err := os.ReadFile(filepath.Join(dir, "id"))
		if err != nil {
			t.Fatal(err)
		}
		sub := filepath.Join(dir, "sub")
		for size := range ends[n-1] + 1 {
			intact := 0
			for intact < n && ends[intact]-padding(intact, crashed) <= size {
				intact++
			}
			write(t, filepath.Join(sub, "id"), id)
			write(t, filepath.Join(sub, filepath.Base(path)), whole[:size])
			report, err := journal.Verify(sub)
			if err != nil || report.Records != uint64(intact) {
				t.Fatalf("cut at %d: %d records of %d, %v", size, report.Records, intact, err)
			}
			if size%32 != 3 && size < ends[n-1]-8 {
				continue // opening takes longer
			}
			checkAfterDamage(t, sub, texts(0, intact), n)
			if t.Failed() {
				t.Fatalf("crashed %v, cut at %d of %d", crashed, size, len(whole))
			}
			if err := os.RemoveAll(sub); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// padding gives how many bytes of a record can be cut off without harm: none
// where the file's size is all that tells where records end.
func padding(i int, crashed bool) int64 {
	if crashed {
		return 0
	}
	return journal.RecordSize(len(record(i))) - 16 - int64(len(record(i)))
}

// checkAfterDamage opens a journal and expects these records in it and, of the
// records to come, sequences above used, or another LogID.
func checkAfterDamage(t *testing.T, dir string, want []string, used uint64) {
	t.Helper()
	before, err := journal.Verify(dir)
	if err != nil {
		t.Error(err)
	}
	j, err := openJournal(dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	if err != nil {
		t.Error(err)
		return
	}
	defer j.Close()
	seq, err := j.Append([]byte("after"))
	if err != nil || (seq <= used && j.ID() == before.Log) {
		t.Errorf("sequence %d again: %v", seq, err)
	}
	got, _ := read(t, j, 0)
	if d := cmp.Diff(append(want[:len(want):len(want)], "after"), got); d != "" {
		t.Error(d)
	}
	if before.Records != uint64(len(want)) {
		t.Errorf("Verify saw %d records of %d", before.Records, len(want))
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBitFlips(t *testing.T) {
	const n, rounds = 60, 10_000
	dir, path, ends := orderly(t, n, true)
	if err := os.Truncate(path, ends[n-1]+512); err != nil { // it is scanned often
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	random := rand.New(rand.NewPCG(1, 2))
	all := texts(0, n)
	for round := range rounds {
		hit := map[int]bool{}
		var places []int64
		for range 1 + random.IntN(4) {
			at := random.Int64N(ends[n-1] + 64)
			places = append(places, at)
			if i, ok := recordAt(ends, at); ok {
				hit[i] = true
			}
			flip(t, file, whole, at, 1<<random.IntN(8))
		}
		var want []string
		for i := range n {
			if !hit[i] {
				want = append(want, all[i])
			}
		}
		var got []string
		report, err := journal.Walk(dir, journal.WalkOptions{Visit: func(r click.Record) error {
			got = append(got, string(r.Data))
			return nil
		}})
		if err != nil || !slices.Equal(want, got) {
			t.Fatalf("round %d, %v flipped: %v %s", round, places, err, cmp.Diff(want, got))
		}
		if (report.Damaged > 0) != (len(hit) > 0) && !beyond(places, ends[n-1]) {
			t.Fatalf("round %d, %v flipped: %d damaged, %d were hit", round, places, report.Damaged, len(hit))
		}
		if round%100 == 0 {
			checkAfterDamage(t, crash(t, dir), want, n)
		}
		for _, at := range places {
			flip(t, file, whole, at, 0)
		}
	}
}

func beyond(places []int64, end int64) bool {
	for _, at := range places {
		if at >= end {
			return true
		}
	}
	return false
}

// flip writes the byte at a place as it was, but for some bits.
func flip(t *testing.T, f *os.File, whole []byte, at int64, bits byte) {
	t.Helper()
	if _, err := f.WriteAt([]byte{whole[at] ^ bits}, at); err != nil {
		t.Fatal(err)
	}
}

// recordAt tells which record has the byte at a place; its padding is nobody's.
func recordAt(ends []int64, at int64) (int, bool) {
	start := int64(journal.HeaderSize)
	for i, end := range ends {
		if at >= start && at < start+16+int64(len(record(i))) {
			return i, true
		}
		start = end
	}
	return 0, false
}

func TestDamageIsCountedOnce(t *testing.T) {
	dir, path, ends := orderly(t, 10, false)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[ends[3]+20] ^= 1 // the fifth
	b[ends[4]+5] ^= 1  // the sixth, its length
	b[ends[8]+20] ^= 1 // the last
	write(t, path, b)
	j := open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	for range 3 {
		if got, _ := read(t, j, 0); !cmp.Equal(got, append(texts(0, 4), texts(6, 9)...)) {
			t.Errorf("%d records", len(got))
		}
		if st := j.Stats(); st.Damaged != 3 {
			t.Errorf("%d damaged, want 3", st.Damaged)
		}
	}
	if seq := add(t, j, 0, 1)[0]; seq != 11 {
		t.Errorf("sequence %d, want 11", seq)
	}
}

func TestTornTailIsCounted(t *testing.T) {
	dir, path, ends := orderly(t, 10, true)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[ends[8] : ends[8]+8]) // as when killed before the length was written
	write(t, path, b)
	j := open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	// Even where all before was counted in a former life.
	if got, _ := read(t, j, 9); len(got) != 0 || j.Stats().Damaged != 1 {
		t.Errorf("%d records, %d damaged", len(got), j.Stats().Damaged)
	}
	if seq := add(t, j, 0, 1)[0]; seq <= 10 {
		t.Errorf("sequence %d was given before", seq)
	}
	if got, last := read(t, j, 9); len(got) != 1 || j.Release(last) != nil || len(segments(t, dir)) > 2 {
		t.Errorf("%d new records, %d segments", len(got), len(segments(t, dir)))
	}
}

func TestLostID(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, dir, path string)
		same   bool // the LogID stays
		want   int  // records
	}{
		{"no damage", func(*testing.T, string, string) {}, true, 10},
		{"no file", func(t *testing.T, dir, _ string) { remove(t, filepath.Join(dir, "id")) }, true, 10},
		{"another text", func(t *testing.T, dir, _ string) { write(t, filepath.Join(dir, "id"), []byte("?")) }, true, 10},
		{"no segments", func(t *testing.T, _, path string) { remove(t, path) }, false, 0},
		{"no header", func(t *testing.T, _, path string) { overwrite(t, path, journal.HeaderSize) }, true, 10},
		{"neither", func(t *testing.T, dir, path string) {
			overwrite(t, path, journal.HeaderSize)
			remove(t, filepath.Join(dir, "id"))
		}, false, 0},
		{"nothing legible", func(t *testing.T, _, path string) { overwrite(t, path, 100_000) }, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, path, _ := orderly(t, 10, false)
			before, err := journal.Verify(dir)
			if err != nil {
				t.Fatal(err)
			}
			tt.damage(t, dir, path)
			o := journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour}
			j := open(t, dir, o)
			id := j.ID()
			if (id == before.Log) != tt.same {
				t.Errorf("the same LogID: %v, want %v", !tt.same, tt.same)
			}
			add(t, j, 10, 11)
			if got, _ := read(t, j, 0); !cmp.Equal(got, append(texts(0, tt.want), texts(10, 11)...)) {
				t.Errorf("%d records", len(got))
			}
			j.Close()
			if j = open(t, dir, o); j.ID() != id {
				t.Error("another LogID at the next open")
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// overwrite puts rubbish over the first n bytes of a file.
func overwrite(t *testing.T, path string, n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range min(n, len(b)) {
		b[i] = 0x1d
	}
	write(t, path, b)
}

func TestVerify(t *testing.T) {
	dir, path, ends := orderly(t, 10, true)
	overwriteAt(t, path, ends[4]+30, 4)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := journal.Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	if report.Records != 9 || report.Damaged != 1 || report.Log == (click.LogID{}) {
		t.Errorf("%+v", report)
	}
	want := journal.SegmentReport{
		Path: path, Bytes: journal.MinSegmentSize, First: 1, Last: 10, Records: 9, Damaged: 1, Header: true,
	}
	if d := cmp.Diff(want, report.Segments[0]); d != "" {
		t.Error(d)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("Verify changed the segment", err)
	}
	stop := errors.New("enough")
	if _, err := journal.Walk(dir, journal.WalkOptions{Visit: func(click.Record) error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	if _, err := journal.Verify(filepath.Join(dir, "none")); err == nil {
		t.Error("no folder, no error")
	}
}

func overwriteAt(t *testing.T, path string, at, n int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, int(n)), at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestHostileData holds whole segments as data: when the record around one is
// damaged, what it holds must not come to light as a record.
func TestHostileData(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	var other click.LogID
	inner := journal.EncodeSegment(other, 2, []byte("forged"), []byte("forged"), []byte("forged"))[journal.HeaderSize:]
	for range 3 {
		if _, err := j.Append(inner); err != nil {
			t.Fatal(err)
		}
	}
	dir = crash(t, dir)
	overwriteAt(t, segments(t, dir)[0], journal.HeaderSize+journal.RecordSize(len(inner)), 4)
	j = open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	if got, _ := read(t, j, 0); len(got) != 2 || strings.HasPrefix(got[0], "forged") || got[1] != got[0] {
		t.Errorf("%d records: %q", len(got), got)
	}
}

func TestForgottenSegmentInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	o := journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour}
	j := open(t, dir, o)
	add(t, j, 0, 3000)
	j.Close()
	remove(t, segments(t, dir)[1])
	j = open(t, dir, o)
	got, last := read(t, j, 0)
	if len(got) >= 3000 || len(got) < 1000 || last != 3000 {
		t.Errorf("%d records up to %d", len(got), last)
	}
}

func FuzzScan(f *testing.F) {
	id := click.LogID{1, 2, 3}
	good := journal.EncodeSegment(id, 7, []byte("one"), []byte("two"), bytes.Repeat([]byte("three"), 100))
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(good[journal.HeaderSize:])
	f.Add(bytes.Repeat([]byte{0x1d}, 9000))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) < journal.HeaderSize || len(b)%8 != 0 {
			b = append(b, 0)
		}
		records, _ := journal.ScanBytes(b, id)
		last := uint64(0)
		for _, r := range records {
			if r.Sequence <= last || len(r.Data) == 0 || len(r.Data) > journal.MaxRecord {
				t.Fatalf("sequence %d after %d, %d bytes", r.Sequence, last, len(r.Data))
			}
			last = r.Sequence
		}
		// A record after any bytes is found, if its sequence can follow.
		if len(records) == 0 {
			return
		}
		b = append(b, journal.EncodeSegment(id, last+1, []byte("the end"))[journal.HeaderSize:]...)
		again, _ := journal.ScanBytes(b, id)
		if len(again) != len(records)+1 || string(again[len(again)-1].Data) != "the end" {
			t.Fatalf("%d records, then %d", len(records), len(again))
		}
	})
}

func TestReadError(t *testing.T) {
	// A folder in place of a segment is not one.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "0000000000000001.segment"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "no number.segment"), nil)
	j := open(t, dir, journal.Options{Sync: time.Hour})
	if list, err := j.Read(context.Background(), 0, nil, 1); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestLostMapping takes the file from under its mapping, as a failing disk
// does with a page of it.
func TestLostMapping(t *testing.T) {
	if runtime.GOOS != "linux" || forced() {
		t.Skip("what happens then is different here")
	}
	dir := t.TempDir()
	j := open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	add(t, j, 0, 10)
	if err := os.Truncate(segments(t, dir)[0], 8192); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for i := range 200 {
		switch _, err := j.Append(record(i)); {
		case fault.Is(err, fault.Unavailable):
			lost++
		case err != nil:
			t.Fatal(err)
		}
	}
	if lost == 0 || j.Stats().Lost != uint64(lost) {
		t.Errorf("%d lost, %+v", lost, j.Stats())
	}
	if got, _ := read(t, j, 0); len(got) != 210-lost {
		t.Errorf("%d records of %d", len(got), 210-lost)
	}
}
