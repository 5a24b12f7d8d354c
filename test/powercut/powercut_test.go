//go:build linux

package powercut_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kurz/test/powercut"
)

// folder is a mounted folder with the verbs that the tests are written in.
type folder struct {
	t   *testing.T
	dir string
}

func (f folder) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// write writes a file from its beginning, and makes it durable if asked to.
func (f folder) write(name, text string, sync bool) {
	f.t.Helper()
	file, err := os.OpenFile(f.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	f.check(err)
	_, err = file.WriteAt([]byte(text), 0)
	f.check(err)
	if sync {
		f.check(file.Sync())
	}
	f.check(file.Close())
}

// sync makes a folder's entries durable.
func (f folder) sync(name string) {
	f.t.Helper()
	d, err := os.Open(f.path(name))
	f.check(err)
	f.check(errors.Join(d.Sync(), d.Close()))
}

// keep writes a file of the mounted folder itself, which a cut then leaves.
func (f folder) keep(name, text string) {
	f.t.Helper()
	f.write(name, text, true)
	f.sync("")
}

// mapped writes through a shared mapping.
func (f folder) mapped(name, text string, sync bool) {
	f.t.Helper()
	file, err := os.OpenFile(f.path(name), os.O_RDWR, 0)
	f.check(err)
	memory, err := unix.Mmap(int(file.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	f.check(err)
	// Within a system call, not as a fault: this process has to serve it.
	f.check(unix.Madvise(memory, unix.MADV_POPULATE_WRITE))
	copy(memory, text)
	if sync {
		f.check(unix.Msync(memory, unix.MS_SYNC))
	}
	f.check(unix.Munmap(memory))
	f.check(file.Close())
}

// tree gives what a folder holds, each file with its text, without zeros at
// the end.
func (f folder) tree() string {
	f.t.Helper()
	var list []string
	f.check(filepath.WalkDir(f.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == f.dir {
			return err
		}
		name := strings.TrimPrefix(path, f.dir+"/")
		if e.IsDir() {
			list = append(list, name+"/")
			return nil
		}
		text, err := os.ReadFile(path)
		list = append(list, name+"="+strings.TrimRight(string(text), "\x00"))
		return err
	}))
	return strings.Join(list, " ")
}

// TestCut shows what a cut takes and what it leaves. Were the file system one
// that keeps what was not synced, half of it would fail.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		do                  func(f folder)
	}{
		{"nothing synced", "a=text", "", func(f folder) { f.write("a", "text", false) }},
		{"the file alone", "a=text", "", func(f folder) { f.write("a", "text", true) }},
		{"the folder alone", "a=text", "a=", func(f folder) { f.write("a", "text", false); f.sync("") }},
		{"both", "a=text", "a=text", func(f folder) { f.keep("a", "text") }},
		{"written over", "a=next", "a=text", func(f folder) {
			f.keep("a", "text")
			f.write("a", "next", false)
		}},
		{"written over and synced", "a=next", "a=next", func(f folder) {
			f.write("a", "text", false)
			f.sync("")
			f.write("a", "next", true)
		}},
		{"cut short", "a=te", "a=text", func(f folder) {
			f.keep("a", "text")
			f.check(os.Truncate(f.path("a"), 2))
		}},
		{"renamed", "b=text", "a=text", func(f folder) {
			f.keep("a", "text")
			f.check(os.Rename(f.path("a"), f.path("b")))
		}},
		{"renamed and synced", "b=text", "b=text", func(f folder) {
			f.write("a", "text", true)
			f.check(os.Rename(f.path("a"), f.path("b")))
			f.sync("")
		}},
		{"replaced", "b=new", "a=new b=old", func(f folder) {
			f.write("a", "new", true)
			f.write("b", "old", true)
			f.sync("")
			f.check(os.Rename(f.path("a"), f.path("b")))
		}},
		{"removed", "", "a=text", func(f folder) {
			f.keep("a", "text")
			f.check(os.Remove(f.path("a")))
		}},
		{"removed and synced", "", "", func(f folder) {
			f.keep("a", "text")
			f.check(os.Remove(f.path("a")))
			f.sync("")
		}},
		{"in a folder that is not synced", "d/ d/a=text", "", func(f folder) {
			f.check(os.Mkdir(f.path("d"), 0o700))
			f.write("d/a", "text", true)
			f.sync("d")
		}},
		{"mapped", "a=next", "a=text", func(f folder) {
			f.keep("a", "text")
			f.mapped("a", "next", false)
		}},
		{"mapped and synced", "a=next", "a=next", func(f folder) {
			f.keep("a", "text")
			f.mapped("a", "next", true)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk, dir := powercut.Make(t)
			f := folder{t, dir}
			c.do(f)
			if got := f.tree(); got != c.before {
				t.Errorf("before the cut: %q, want %q", got, c.before)
			}
			disk.Restart(t, powercut.Tear{})
			if got := f.tree(); got != c.after {
				t.Errorf("after the cut: %q, want %q", got, c.after)
			}
			// What a cut left is durable: a second one takes nothing.
			disk.Restart(t, powercut.Tear{})
			if got := f.tree(); got != c.after {
				t.Errorf("after the second cut: %q, want %q", got, c.after)
			}
		})
	}
}

// TestAllocated shows that the journal's way of making files works here: space
// is allocated, mapped and written ahead.
func TestAllocated(t *testing.T) {
	disk, dir := powercut.Make(t)
	f := folder{t, dir}
	file, err := os.Create(f.path("a"))
	f.check(err)
	const size = 1 << 20
	f.check(unix.Fallocate(int(file.Fd()), 0, 0, size))
	memory, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	f.check(err)
	f.check(unix.Madvise(memory, unix.MADV_POPULATE_WRITE))
	copy(memory[size-4096:], "the end")
	f.check(unix.Msync(memory, unix.MS_SYNC))
	copy(memory[size/2:], "too late")
	// A read sees the mapping at once, synced or not.
	text := make([]byte, 8)
	_, err = file.ReadAt(text, size/2)
	f.check(err)
	if string(text) != "too late" {
		t.Errorf("read %q beside the mapping", text)
	}
	f.check(unix.Munmap(memory))
	f.check(file.Close())
	f.sync("")
	disk.Restart(t, powercut.Tear{})
	got, err := os.ReadFile(f.path("a"))
	f.check(err)
	want := make([]byte, size)
	copy(want[size-4096:], "the end")
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %q at the end, %q in the middle", len(got), got[len(got)-4096:][:8], got[size/2:][:8])
	}
}

// TestFreeze shows that nothing which comes after Freeze is done or answered,
// and that what waited fails.
func TestFreeze(t *testing.T) {
	disk, dir := powercut.Make(t)
	f := folder{t, dir}
	f.keep("a", "text")
	file, err := os.OpenFile(f.path("a"), os.O_RDWR, 0)
	f.check(err)
	disk.Freeze()
	done := make(chan error, 1)
	go func() {
		_, err := file.WriteAt([]byte("next"), 0)
		done <- errors.Join(err, file.Sync())
	}()
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case err := <-done:
		t.Fatalf("answered while frozen: %v", err)
	case <-timer.C:
	}
	disk.Off()
	if err := <-done; err == nil {
		t.Error("a sync after the end of time succeeded")
	}
	file.Close()
	disk.Restart(t, powercut.Tear{})
	if got := f.tree(); got != "a=text" {
		t.Errorf("%q", got)
	}
}

// TestTear shows that a torn cut keeps some of what was not synced, in whole
// sectors, the same for the same seed; and of the changes of a folder the
// first ones.
func TestTear(t *testing.T) {
	const pages, sector = 64, 512
	run := func(t *testing.T, seed uint64) (file []byte, names []string) {
		disk, dir := powercut.Make(t)
		f := folder{t, dir}
		f.write("a", strings.Repeat("o", pages*4096), true)
		f.sync("")
		for _, name := range []string{"b", "c", "d", "e"} {
			f.write(name, "", true)
		}
		f.write("a", strings.Repeat("n", pages*4096), false)
		disk.Restart(t, powercut.Tear{Random: rand.New(rand.NewPCG(seed, 0)), Sector: sector})
		file, err := os.ReadFile(f.path("a"))
		f.check(err)
		entries, err := os.ReadDir(dir)
		f.check(err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if counts := disk.Counts(); counts.Torn == 0 || counts.Cuts != 1 {
			t.Errorf("%+v", counts)
		}
		return file, names
	}
	lengths := map[int]bool{}
	for seed := range uint64(8) {
		file, names := run(t, seed)
		kept := 0
		for part := range slices.Chunk(file, sector) {
			switch {
			case bytes.Equal(part, bytes.Repeat([]byte("n"), sector)):
				kept++
			case !bytes.Equal(part, bytes.Repeat([]byte("o"), sector)):
				t.Fatalf("half a sector: %q", part)
			}
		}
		if all := len(file) / sector; kept == 0 || kept == all {
			t.Errorf("%d of %d sectors", kept, all)
		}
		if want := []string{"a", "b", "c", "d", "e"}; !slices.Equal(names, want[:len(names)]) {
			t.Errorf("entries %v", names)
		}
		lengths[len(names)] = true
		if again, _ := run(t, seed); !bytes.Equal(again, file) {
			t.Errorf("seed %d gives two results", seed)
		}
	}
	if len(lengths) < 2 {
		t.Error("every cut keeps as many entries")
	}
}

// TestSafe shows which time is given out as safe.
func TestSafe(t *testing.T) {
	disk, dir := powercut.Make(t)
	f := folder{t, dir}
	f.check(os.Mkdir(f.path("d"), 0o700))
	match := powercut.Under("d", ".log")
	f.write("d/a.log", "1", true)
	f.write("d/a.txt", "1", true)
	f.write("d/a.txt", "2", true)
	if !disk.Safe(match).IsZero() {
		t.Error("safe after one sync")
	}
	between := time.Now()
	f.write("d/a.log", "2", true)
	if safe := disk.Safe(match); safe.IsZero() || safe.After(between) {
		t.Errorf("safe at %v, want before %v", safe, between)
	}
}

// TestFiles holds the file system against the one that the tests run on:
// the same random operations have the same results.
func TestFiles(t *testing.T) {
	_, dir := powercut.Make(t)
	files := [2]*os.File{}
	for i, d := range []string{dir, t.TempDir()} {
		var err error
		if files[i], err = os.Create(filepath.Join(d, "file")); err != nil {
			t.Fatal(err)
		}
		defer files[i].Close()
	}
	random := rand.New(rand.NewPCG(5, 6))
	for round := range 2000 {
		at, n := random.Int64N(100_000), random.IntN(10_000)
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(random.IntN(256))
		}
		what := random.IntN(5)
		var got [2]string
		for i, f := range files {
			switch what {
			case 0, 1:
				c, err := f.WriteAt(data, at)
				got[i] = result(c, err)
			case 2:
				buf := make([]byte, n)
				c, err := f.ReadAt(buf, at)
				got[i] = result(c, err) + string(buf)
			case 3:
				got[i] = result(0, f.Truncate(at))
			case 4:
				got[i] = result(0, unix.Fallocate(int(f.Fd()), 0, at, int64(n)+1))
			}
		}
		if got[0] != got[1] {
			t.Fatalf("round %d, operation %d at %d, %d bytes: results differ", round, what, at, n)
		}
	}
	var whole [2][]byte
	for i, f := range files {
		whole[i], _ = io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	}
	if !bytes.Equal(whole[0], whole[1]) {
		t.Errorf("%d and %d bytes differ", len(whole[0]), len(whole[1]))
	}
}

func result(n int, err error) string {
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return string(rune(n))
}
