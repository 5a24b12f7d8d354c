package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/backup"
)

var manifest = backup.Manifest{CreatedAt: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), Program: "kurz test"}

// content is what a backup has: parts with rows.
type content struct {
	part backup.Part
	rows [][]byte
}

func some() []content {
	random := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 3<<20) // more than a block
	for i := range long {
		long[i] = byte(random.Uint32())
	}
	return []content{
		{part: backup.Part{Name: "journal", Columns: []string{"00ff"}}, rows: [][]byte{{1, 2, 3}, {}, []byte("again")}},
		{part: backup.Part{Name: "kurz.db/links", Schema: 3, Columns: []string{"id", "code"}}, rows: [][]byte{long, []byte("short"), long[:1<<20]}},
		{part: backup.Part{Name: "kurz.db/users", Schema: 3, Count: 7}},
	}
}

func write(t testing.TB, list []content) ([]byte, []backup.Sum) {
	t.Helper()
	var out bytes.Buffer
	w, err := backup.NewWriter(&out, manifest)
	for _, c := range list {
		if err == nil {
			err = w.Begin(c.part)
		}
		for _, row := range c.rows {
			if err == nil {
				err = w.Row(row)
			}
		}
		if err == nil {
			err = w.End()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	sums, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), sums
}

func read(data []byte) (list []content, sums []backup.Sum, err error) {
	r, err := backup.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	if !r.Manifest().CreatedAt.Equal(manifest.CreatedAt) || r.Manifest().Program != manifest.Program {
		return nil, nil, fmt.Errorf("manifest %+v", r.Manifest())
	}
	for {
		c := content{}
		if c.part, err = r.Next(); errors.Is(err, io.EOF) {
			return list, sums, nil
		}
		if err != nil {
			return list, sums, err
		}
		sum, err := r.Rows(func(row []byte) error { c.rows = append(c.rows, bytes.Clone(row)); return nil })
		if err != nil {
			return list, sums, err
		}
		list, sums = append(list, c), append(sums, sum)
	}
}

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	data, wrote := write(t, some())
	got, sums, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	equal := cmp.AllowUnexported(content{})
	if diff := cmp.Diff(some(), got, equal, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("%.1000s", diff)
	}
	if !slices.Equal(wrote, sums) || sums[0].Rows != 3 || sums[2].Rows != 0 {
		t.Errorf("sums %+v, %+v", wrote, sums)
	}
	// The sum of the same rows elsewhere.
	other := backup.NewSummer()
	for _, row := range some()[0].rows {
		other.Add(row)
	}
	if other.Sum("journal") != sums[0] {
		t.Errorf("%+v, %+v", other.Sum("journal"), sums[0])
	}
}

// Every bit that flips and every place at which a backup may be cut is noticed,
// and the error says where.
func TestDamageIsNoticed(t *testing.T) {
	data, _ := write(t, []content{
		{part: backup.Part{Name: "a"}, rows: [][]byte{[]byte("one"), []byte("two")}},
		{part: backup.Part{Name: "b"}, rows: [][]byte{[]byte("three")}},
	})
	for at := range data {
		for _, bit := range []byte{1, 0x80} {
			flipped := bytes.Clone(data)
			flipped[at] ^= bit
			if _, _, err := read(flipped); err == nil {
				t.Errorf("byte %d of %d, bit %#x: not noticed", at, len(data), bit)
			} else if at >= 16 {
				place(t, err, at)
			}
		}
		_, _, err := read(data[:at])
		if err == nil {
			t.Errorf("cut at %d of %d: not noticed", at, len(data))
		} else if at >= 16 {
			place(t, err, at)
		}
	}
	_, _, err := read(append(bytes.Clone(data), 0))
	if place(t, err, len(data)); err == nil || !strings.Contains(err.Error(), "goes on behind its end") {
		t.Error(err)
	}
}

// place checks that an error says where it is, no later than at a byte.
func place(t *testing.T, err error, at int) {
	t.Helper()
	damage, ok := errors.AsType[*backup.DamageError](err)
	if !ok || damage.Offset > int64(at) {
		t.Errorf("byte %d: %v", at, err)
	}
}

func TestOthersAreRefused(t *testing.T) {
	data, _ := write(t, some())
	newer := bytes.Clone(data)
	newer[8] = 7
	newer[12]++
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "no backup of kurz"},
		{"another program's", []byte("SQLite format 3\x00 and more"), "no backup of kurz"},
		{"a short head", data[:12], "cut off"},
		{"a damaged head", newer, "another checksum"},
	}
	for _, tt := range tests {
		if _, _, err := read(tt.data); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	_, _, err := read(backup.OfVersion(data, 7))
	if v, ok := errors.AsType[*backup.VersionError](err); !ok || v.Found != 7 || !strings.Contains(err.Error(), "version 7 of the format, this program knows 1") {
		t.Errorf("another version: %v", err)
	}
}

// Blocks that are intact on their own are refused where they do not follow.
func TestBlocksInAnotherOrder(t *testing.T) {
	one, _ := write(t, []content{{part: backup.Part{Name: "a"}, rows: [][]byte{[]byte("one")}}})
	two, _ := write(t, []content{{part: backup.Part{Name: "a"}, rows: [][]byte{[]byte("two")}}})
	a, b := backup.Blocks(one), backup.Blocks(two)
	tests := map[string][][]byte{
		"a block left out":        {a[0], a[1], a[3], a[4]},
		"a block twice":           {a[0], a[1], a[2], a[2], a[3], a[4]},
		"rows of another":         {a[0], a[1], b[2], a[3], a[4]},
		"a whole part of another": {a[0], b[1], b[2], b[3], a[4]},
		"no end of a part":        {a[0], a[1], a[2], a[4]},
		"the same part twice":     {a[0], a[1], a[2], a[3], a[1], a[2], a[3], a[4]},
		"no manifest":             {a[1], a[2], a[3], a[4]},
	}
	for name, blocks := range tests {
		data := append(bytes.Clone(one[:16]), bytes.Join(blocks, nil)...)
		if _, _, err := read(data); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	if _, _, err := read(append(bytes.Clone(one[:16]), bytes.Join(a, nil)...)); err != nil {
		t.Errorf("in order: %v", err)
	}
}

func TestWriterRefuses(t *testing.T) {
	w, err := backup.NewWriter(io.Discard, manifest)
	if err != nil {
		t.Fatal(err)
	}
	if w.Row([]byte("x")) == nil || w.End() == nil || w.Begin(backup.Part{}) == nil {
		t.Error("rows outside of a part, or a part without a name")
	}
	if err := w.Begin(backup.Part{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err == nil || w.Begin(backup.Part{Name: "b"}) == nil || w.Row(make([]byte, backup.MaxRow+1)) == nil {
		t.Error("a part that is not ended")
	}
}

// FuzzReader shows that no bytes make a reader panic, or give rows that were not
// written.
func FuzzReader(f *testing.F) {
	data, sums := write(f, []content{{part: backup.Part{Name: "a"}, rows: [][]byte{[]byte("one"), []byte("two")}}})
	f.Add(data)
	f.Add(data[:40])
	f.Add(backup.OfVersion(data, 2))
	f.Fuzz(func(t *testing.T, other []byte) {
		_, got, err := read(other)
		if err == nil && !bytes.Equal(other, data) && slices.Equal(got, sums) && len(other) == len(data) {
			t.Error("other bytes of the same length are read as the same")
		}
	})
}
