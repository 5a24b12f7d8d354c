package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/journal"
)

// modes are the ways of writing that every test of behaviour goes through.
var modes = []struct {
	name  string
	plain bool
}{{"mapped", false}, {"plain", true}}

func eachMode(t *testing.T, test func(t *testing.T, o journal.Options)) {
	t.Helper()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			if forced() && !m.plain {
				t.Skip("plain writes are forced")
			}
			test(t, journal.Options{
				SegmentSize: journal.MinSegmentSize, Sync: time.Millisecond,
				Retry: 5 * time.Millisecond, PlainWrites: m.plain,
			})
		})
	}
}

// openJournal opens a journal; where plain writes are forced, with those.
func openJournal(dir string, o journal.Options) (*journal.Journal, error) {
	o.PlainWrites = o.PlainWrites || forced()
	return journal.Open(dir, o)
}

func open(t testing.TB, dir string, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := openJournal(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// memoryDir gives a folder of a file system in memory where there is one: for
// tests that open a journal thousands of times.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func record(i int) []byte { return fmt.Appendf(nil, "record %d %s", i, strings.Repeat("x", i%300)) }

// add appends records [from, to) and gives their sequences.
func add(t testing.TB, j *journal.Journal, from, to int) []uint64 {
	t.Helper()
	var seqs []uint64
	for i := from; i < to; i++ {
		seq, err := j.Append(record(i))
		if err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
		seqs = append(seqs, seq)
	}
	return seqs
}

// read gives all records above after, whose sequences must grow.
func read(t testing.TB, j *journal.Journal, after uint64) (data []string, last uint64) {
	t.Helper()
	for {
		list, err := j.Read(context.Background(), after, nil, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return data, after
		}
		for _, r := range list {
			if r.Sequence <= after {
				t.Fatalf("sequence %d after %d", r.Sequence, after)
			}
			after = r.Sequence
			data = append(data, string(r.Data))
		}
	}
}

func texts(from, to int) []string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, string(record(i)))
	}
	return list
}

// crash gives what the death of the process would leave of a journal that is
// open: a copy of its folder.
func crash(t testing.TB, dir string) string {
	t.Helper()
	to := memoryDir(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// eventually waits for a condition that something in the background makes true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("waited in vain for: " + what)
		}
	}
}

func TestAppendReadRelease(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		dir := t.TempDir()
		j := open(t, dir, o)
		const n = 5000 // several segments
		seqs := add(t, j, 0, n)
		if seqs[0] != 1 || seqs[n-1] != n {
			t.Errorf("sequences %d to %d, want 1 to %d", seqs[0], seqs[n-1], n)
		}
		select {
		case <-j.Appended():
		default:
			t.Error("nothing on Appended")
		}
		got, last := read(t, j, 0)
		if d := cmp.Diff(texts(0, n), got); d != "" {
			t.Error(d)
		}
		if st := j.Stats(); st.Appended != n || st.Pending != n || st.Lost != 0 || st.Segments < 5 {
			t.Errorf("%+v", st)
		}
		if err := j.Release(last - 10); err != nil {
			t.Fatal(err)
		}
		if st := j.Stats(); st.Pending != 10 || st.Segments > 2 {
			t.Errorf("after release: %+v", st)
		}
		if got, _ := read(t, j, last-10); !cmp.Equal(got, texts(n-10, n)) {
			t.Errorf("the last ten again: %v", got)
		}
		add(t, j, n, n+5)
		if got, _ := read(t, j, last); !cmp.Equal(got, texts(n, n+5)) {
			t.Errorf("new ones: %v", got)
		}
	})
}

func TestReadFromBefore(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		j := open(t, t.TempDir(), o)
		add(t, j, 0, 2000)
		read(t, j, 0)
		for _, after := range []uint64{1999, 0, 1000, 1, 1500} {
			if got, _ := read(t, j, after); !cmp.Equal(got, texts(int(after), 2000)) {
				t.Errorf("after %d: %d records", after, len(got))
			}
		}
		if got, _ := read(t, j, 5000); len(got) != 0 {
			t.Errorf("above all: %d records", len(got))
		}
	})
}

func TestReadEndsWithContext(t *testing.T) {
	j := open(t, t.TempDir(), journal.Options{Sync: time.Hour})
	add(t, j, 0, 3)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := j.Read(ctx, 0, nil, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got, _ := read(t, j, 0); len(got) != 3 {
		t.Errorf("%d records afterwards", len(got))
	}
}

func TestReopen(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		dir := t.TempDir()
		j := open(t, dir, o)
		id := j.ID()
		add(t, j, 0, 1000)
		for i := range 3 {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if err := j.Close(); err != nil {
				t.Fatal("second close:", err)
			}
			j = open(t, dir, o)
			if j.ID() != id {
				t.Error("another LogID")
			}
			seqs := add(t, j, 1000+i, 1001+i)
			if want := uint64(1001 + i); seqs[0] != want {
				t.Errorf("sequence %d after an orderly close, want %d", seqs[0], want)
			}
		}
		if got, _ := read(t, j, 0); !cmp.Equal(got, texts(0, 1003)) {
			t.Errorf("%d records", len(got))
		}
		if st := j.Stats(); st.Damaged != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestReopenEmpty(t *testing.T) {
	dir := t.TempDir()
	o := journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Millisecond}
	j := open(t, dir, o)
	add(t, j, 0, 10)
	j.Close()
	j = open(t, dir, o)
	if err := j.Release(10); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		j.Close()
		j = open(t, dir, o)
	}
	if seq := add(t, j, 0, 1)[0]; seq != 11 {
		t.Errorf("sequence %d, want 11", seq)
	}
	eventually(t, "one segment and a spare", func() bool { return len(segments(t, dir)) == 2 })
}

func TestCrash(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		o.Sync = time.Hour
		dir := t.TempDir()
		n, id, last := 0, click.LogID{}, uint64(0)
		for range 5 {
			j := open(t, dir, o)
			if id == (click.LogID{}) {
				id = j.ID()
			}
			if j.ID() != id {
				t.Fatal("another LogID")
			}
			seqs := add(t, j, n, n+700)
			n += 700
			if seqs[0] <= last {
				t.Fatalf("sequence %d given twice", seqs[0])
			}
			last = seqs[len(seqs)-1]
			dir = crash(t, dir)
		}
		j := open(t, dir, o)
		if got, _ := read(t, j, 0); !cmp.Equal(got, texts(0, n)) {
			t.Errorf("%d records of %d", len(got), n)
		}
		if st := j.Stats(); st.Damaged != 0 || st.Pending != uint64(n) {
			t.Errorf("%+v", st)
		}
	})
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{})
	_, err := openJournal(dir, journal.Options{})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("second open: %v", err)
	}
	j.Close()
	open(t, dir, journal.Options{})
}

func TestRefused(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		dir := t.TempDir()
		j := open(t, dir, o)
		if _, err := j.Append(nil); !fault.Is(err, fault.ValidationFailed) {
			t.Errorf("empty: %v", err)
		}
		if _, err := j.Append(make([]byte, journal.MaxRecord+1)); !fault.Is(err, fault.PayloadTooLarge) {
			t.Errorf("too large: %v", err)
		}
		large := bytes.Repeat([]byte{7}, journal.MaxRecord)
		for range 5 {
			if _, err := j.Append(large); err != nil {
				t.Errorf("the largest: %v", err)
			}
		}
		if got, _ := read(t, j, 0); len(got) != 5 || got[4] != string(large) {
			t.Errorf("%d of the largest", len(got))
		}
		j.Close()
		if _, err := j.Append([]byte("late")); !fault.Is(err, fault.Unavailable) {
			t.Errorf("after close: %v", err)
		}
		if _, err := j.Read(context.Background(), 0, nil, 1); !fault.Is(err, fault.Unavailable) {
			t.Errorf("read after close: %v", err)
		}
		if err := j.Release(3); err != nil {
			t.Errorf("release after close: %v", err)
		}
		if st := j.Stats(); st.Lost != 3 {
			t.Errorf("lost %d, want 3", st.Lost)
		}
	})
}

func TestOptions(t *testing.T) {
	for _, o := range []journal.Options{{SegmentSize: 1000}, {Sync: -1}} {
		if _, err := openJournal(t.TempDir(), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(file, journal.Options{}); err == nil {
		t.Error("a file was taken for a folder")
	}
	if _, err := openJournal(t.TempDir(), journal.Options{Rand: strings.NewReader("short")}); err == nil {
		t.Error("opened without randomness")
	}
}

func TestConcurrent(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		j := open(t, t.TempDir(), o)
		const writers, each = 8, 2000
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for i := range each {
					if _, err := j.Append(fmt.Appendf(nil, "%d %d", w, i)); err != nil {
						t.Error(err)
						return
					}
					if i%100 == 0 {
						j.Stats()
					}
				}
			})
		}
		next := [writers]int{}
		var after uint64
		for total := 0; total < writers*each; {
			list, err := j.Read(t.Context(), after, nil, 333)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				var w, i int
				if _, err := fmt.Sscanf(string(r.Data), "%d %d", &w, &i); err != nil || next[w] != i || r.Sequence != after+1 {
					t.Fatalf("record %q, sequence %d after %d: %v", r.Data, r.Sequence, after, err)
				}
				next[w]++
				after = r.Sequence
			}
			total += len(list)
			if err := j.Release(after); err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				select {
				case <-j.Appended():
				case <-time.After(10 * time.Second):
					t.Fatalf("no wake-up after %d records", total)
				}
			}
		}
		group.Wait()
	})
}

func TestStrict(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		o.Sync = 0
		j := open(t, t.TempDir(), o)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for i := range 20 {
					seq, err := j.Append(record(i))
					if err != nil {
						t.Error(err)
					}
					if safe := journal.Durable(j); safe < seq {
						t.Errorf("record %d was acknowledged when %d were safe", seq, safe)
					}
				}
			})
		}
		group.Wait()
		if got, _ := read(t, j, 0); len(got) != 160 {
			t.Errorf("%d records", len(got))
		}
	})
}

func TestRelaxed(t *testing.T) {
	eachMode(t, func(t *testing.T, o journal.Options) {
		o.Sync = time.Hour
		j := open(t, t.TempDir(), o)
		add(t, j, 0, 10)
		if safe := journal.Durable(j); safe != 0 {
			t.Errorf("%d are safe before their time", safe)
		}
		j.Close()
		if safe := journal.Durable(j); safe != 10 {
			t.Errorf("%d of 10 are safe after the close", safe)
		}
		o.Sync = 5 * time.Millisecond
		j = open(t, t.TempDir(), o)
		last := uint64(len(add(t, j, 0, 3000))) // over several segments
		eventually(t, "all to be safe", func() bool { return journal.Durable(j) == last })
	})
}

func TestStrictOfADiskThatFails(t *testing.T) {
	j := open(t, t.TempDir(), journal.Options{})
	broken := errors.New("broken")
	journal.FailSync(j, broken)
	if _, err := j.Append([]byte("x")); err != nil && (!fault.Is(err, fault.Unavailable) || !errors.Is(err, broken)) {
		t.Errorf("error %v", err)
	}
	if _, err := j.Append([]byte("y")); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
}
