package cli_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kurz/internal/cli"
	"kurz/internal/journal"
)

// terminal gives both ends of a pseudo-terminal.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

// TestBar shows that long work has a bar on a terminal, which is gone at the
// end, and that short work has none.
func TestBar(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{Sync: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for range 250 {
		if _, err := j.Append(make([]byte, journal.MaxRecord)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	verify := func(each time.Duration) (bar, out string) {
		ours, theirs := terminal(t)
		now := time.Unix(1_800_000_000, 0)
		var stdout bytes.Buffer
		code := cli.Main(t.Context(), cli.World{
			Args: []string{"journal", "verify", "--data", dir}, Stdout: &stdout, Stderr: theirs, Rand: rand.Reader,
			Now: func() time.Time { now = now.Add(each); return now },
		})
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
		fmt.Fprint(theirs, "END")
		var said []byte
		for buf := make([]byte, 4096); !bytes.Contains(said, []byte("END")); {
			n, err := ours.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, buf[:n]...)
		}
		return string(said), stdout.String()
	}
	bar, out := verify(time.Second)
	frames := strings.Split(bar, "\r")
	if len(frames) < 4 || !strings.HasPrefix(frames[1], "reading the journal [#") || !strings.HasSuffix(frames[len(frames)-2], "] 100 %") {
		t.Errorf("the bar: %q", frames)
	}
	if frames[len(frames)-1] != "\x1b[KEND" {
		t.Errorf("the bar stays: %q", frames)
	}
	if !strings.Contains(out, "250 intact, 0 damaged; sequences 1 to 250; 250 waiting") {
		t.Error(out)
	}
	if bar, _ := verify(time.Millisecond); bar != "END" {
		t.Errorf("short work has a bar: %q", bar)
	}
}
