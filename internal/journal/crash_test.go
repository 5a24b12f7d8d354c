package journal_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kurz/internal/journal"
)

// childDir names, for a copy of the test program, the journal to write to;
// childSync, unless "", how: then the power will be cut.
const (
	childDir  = "KURZ_TEST_JOURNAL"
	childSync = "KURZ_TEST_SYNC"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if sync := os.Getenv(childSync); sync != "" {
			fmt.Fprintln(os.Stderr, cutChild(dir, sync))
			os.Exit(1)
		}
		child(dir)
	}
	os.Exit(m.Run())
}

// child appends, and says so of each record, until it is killed.
func child(dir string) {
	j, err := openJournal(dir, journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour})
	for i := 0; err == nil; i++ {
		var seq uint64
		if seq, err = j.Append(record(i)); err == nil {
			_, err = fmt.Println(seq)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// cutChild reads what is there, then appends and releases, and says so, until
// the power is cut: "h SEQ SUM" found, "a SEQ I" appended, "d SEQ" durable up
// to there, "r SEQ" to be released up to there.
func cutChild(dir, sync string) error {
	o := journal.Options{SegmentSize: journal.MinSegmentSize, Reserve: true}
	if sync != "strict" {
		var err error
		if o.Sync, err = time.ParseDuration(sync); err != nil {
			return err
		}
	}
	j, err := openJournal(dir, o)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	var last uint64
	for {
		list, err := j.Read(context.Background(), last, nil, 500)
		if err != nil {
			return err
		}
		for _, r := range list {
			fmt.Fprintf(out, "h %d %s\n", r.Sequence, sumOf(r.Data))
			last = r.Sequence
		}
		if len(list) == 0 {
			break
		}
	}
	for i := 0; ; i++ {
		seq, err := j.Append(cutRecord(i))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "a %d %d\n", seq, i)
		if i%10 == 0 {
			fmt.Fprintf(out, "d %d\n", journal.Durable(j))
		}
		if seq > 1000 && i%400 == 399 {
			fmt.Fprintf(out, "r %d\n", seq-1000)
			if err := errors.Join(out.Flush(), j.Release(seq-1000)); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

// cutRecord is large, so that segments are full soon.
func cutRecord(i int) []byte { return bytes.Repeat(record(i), 8) }

func sumOf(data []byte) string { return strconv.FormatUint(uint64(crc32.ChecksumIEEE(data)), 16) }

func TestKill(t *testing.T) {
	dir, self := t.TempDir(), executable(t)
	said, next := 0, uint64(1)
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			seq, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil || seq < next {
				t.Fatalf("round %d: sequence %q where %d is the least", round, lines.Text(), next)
			}
			next = seq + 1
			said++
			if n == 1000+round*500 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
	}
	j := open(t, dir, journal.Options{SegmentSize: journal.MinSegmentSize})
	got, _ := read(t, j, 0)
	// The child may die between an append and saying so.
	if len(got) < said || len(got) > said+5 || j.Stats().Damaged > 5 {
		t.Errorf("%d records of %d, %+v", len(got), said, j.Stats())
	}
}

func executable(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// TestHeadersLost shows that records are found whose segments have lost, in a
// power cut, at which sequence they begin; and that no sequence is used again.
func TestHeadersLost(t *testing.T) {
	for _, lost := range [][]int{{0}, {1}, {0, 1}, {1, 2}, {0, 1, 2, 3}} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			dir := memoryDir(t)
			o := journal.Options{SegmentSize: journal.MinSegmentSize, Sync: time.Hour}
			j := open(t, dir, o)
			const n = 2600 // four segments, at least
			add(t, j, 0, n)
			dir = crash(t, dir)
			for _, i := range lost {
				path := segments(t, dir)[i]
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				journal.Forget(b)
				write(t, path, b)
			}
			checkAfterDamage(t, dir, texts(0, n), n)
		})
	}
}

// TestModel compares a journal with a list, through closes and crashes.
func TestModel(t *testing.T) {
	base := memoryDir(t)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			rt.Fatal(err)
		}
		o := journal.Options{
			SegmentSize: journal.MinSegmentSize, Sync: time.Hour,
			PlainWrites: rapid.Bool().Draw(rt, "plain"),
		}
		j, err := openJournal(dir, o)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { j.Close() }()
		type entry struct {
			seq  uint64
			data string
		}
		var kept []entry
		var last, released uint64
		reopen := func() {
			j.Close()
			if j, err = openJournal(dir, o); err != nil {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				size := rapid.OneOf(rapid.IntRange(1, 500), rapid.IntRange(1, journal.MaxRecord)).Draw(rt, "size")
				for range rapid.IntRange(1, 20).Draw(rt, "times") {
					data := make([]byte, size)
					copy(data, strconv.FormatUint(last, 10))
					seq, err := j.Append(data)
					if err != nil || seq <= last {
						rt.Fatalf("sequence %d after %d: %v", seq, last, err)
					}
					last = seq
					kept = append(kept, entry{seq, string(data)})
				}
			},
			"release": func(rt *rapid.T) {
				if len(kept) == 0 {
					return
				}
				n := rapid.IntRange(1, len(kept)).Draw(rt, "n")
				released = kept[n-1].seq
				kept = kept[n:]
				if err := j.Release(released); err != nil {
					rt.Fatal(err)
				}
			},
			"close": func(*rapid.T) { reopen() },
			"crash": func(*rapid.T) {
				to := crash(t, dir)
				j.Close()
				if err := errors.Join(os.RemoveAll(dir), os.Rename(to, dir)); err != nil {
					rt.Fatal(err)
				}
				reopen()
			},
			"": func(rt *rapid.T) {
				list, err := j.Read(t.Context(), released, nil, 1<<20)
				if err != nil {
					rt.Fatal(err)
				}
				var got []entry
				for _, r := range list {
					got = append(got, entry{r.Sequence, string(r.Data)})
				}
				if len(got) != len(kept) || (len(got) > 0 && !cmp.Equal(got[len(got)-1].data, kept[len(kept)-1].data)) {
					rt.Fatalf("%d records, want %d", len(got), len(kept))
				}
				for i := range got {
					if got[i] != kept[i] {
						rt.Fatalf("record %d is %d, want %d", i, got[i].seq, kept[i].seq)
					}
				}
				if st := j.Stats(); st.Damaged != 0 || st.Lost != 0 {
					rt.Fatalf("%+v", st)
				}
			},
		})
	})
}

// TestOpenLarge bounds what an Open reads of a journal of 1 GB.
func TestOpenLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 1 GB")
	}
	dir := t.TempDir()
	o := journal.Options{Sync: time.Hour}
	j := open(t, dir, o)
	data := make([]byte, journal.MaxRecord)
	for range 1 << 30 / len(data) {
		if _, err := j.Append(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	j = open(t, dir, o)
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("opened in %v", took)
	} else {
		t.Log("opened in", took)
	}
	if j.Stats().Pending != 1<<30/journal.MaxRecord {
		t.Errorf("%+v", j.Stats())
	}
}
