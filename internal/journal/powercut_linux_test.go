package journal_test

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/journal"
	"kurz/test/powercut"
)

// TestPowerCut cuts the power of the disk under a journal that runs through its
// segments, again and again: what was said to be durable is there, the reader
// finds all that is intact, and no sequence is given twice, not even one whose
// record the cut took. KURZ_CUTS says how often.
func TestPowerCut(t *testing.T) {
	cuts := 4
	if n, err := strconv.Atoi(os.Getenv("KURZ_CUTS")); err == nil {
		cuts = n
	}
	for _, mode := range []string{"strict", "5ms"} {
		t.Run(mode, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			if n, err := strconv.ParseUint(os.Getenv("KURZ_SEED"), 10, 64); err == nil {
				seed = n
			}
			t.Logf("KURZ_SEED=%d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			disk, mount := powercut.Make(t)
			l := &cutLedger{t: t, strict: mode == "strict", said: map[uint64]int{}}
			dir := filepath.Join(mount, "journal")
			// A busy machine may come to nothing before a cut: then there are more.
			for done := 0; done < cuts || l.appended < 20*cuts && done < 20*cuts; done++ {
				l.run(disk, dir, mode, time.Duration(random.Int64N(int64(300*time.Millisecond))))
				tear := powercut.Tear{}
				if sector := []int{0, 512, 4096}[random.IntN(3)]; sector > 0 {
					tear = powercut.Tear{Random: random, Sector: sector}
				}
				disk.Restart(t, tear)
				l.check(dir)
				if t.Failed() {
					break
				}
			}
			if l.appended < 20*cuts {
				t.Errorf("only %d records were appended", l.appended)
			}
			t.Logf("power cut: %d cuts, %d records appended, %d of them durable and found, %d segments found, %d damaged; %+v", cuts, l.appended, l.found, l.segments, l.damaged, disk.Counts())
		})
	}
}

// cutLedger is what was said of a journal.
type cutLedger struct {
	t        *testing.T
	strict   bool
	id       click.LogID
	said     map[uint64]int // appended since the last check: sequence to index
	durable  uint64
	released uint64
	last     uint64            // the greatest sequence ever said
	there    map[uint64]string // sums of what the last check found

	appended, found, segments int
	damaged                   uint64
}

// run starts a child and cuts its power after a while.
func (l *cutLedger) run(disk *powercut.Disk, dir, mode string, after time.Duration) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), executable(l.t))
	cmd.Env = append(os.Environ(), childDir+"="+dir, childSync+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() {
		disk.Freeze()
		if err := cmd.Process.Kill(); err != nil {
			l.t.Error(err)
		}
		disk.Off()
	})
	defer timer.Stop()
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // half a line, at most
		}
		l.hear(strings.TrimSpace(line))
	}
	_ = cmd.Wait() // killed
}

func (l *cutLedger) hear(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	number, data, _ := strings.Cut(rest, " ")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		l.t.Fatalf("the child said %q", line)
	}
	switch verb {
	case "h":
		if want, ok := l.there[seq]; !ok || want != data {
			l.t.Errorf("the reader found %d with the sum %s, the walk before with %q", seq, data, want)
		}
		delete(l.there, seq)
	case "a":
		if seq <= l.last {
			l.t.Errorf("sequence %d was given before; the last was %d", seq, l.last)
		}
		i, err := strconv.Atoi(data)
		if err != nil {
			l.t.Fatal(err)
		}
		l.last = seq
		l.said[seq] = i
		l.appended++
		if len(l.there) > 0 {
			l.t.Errorf("the reader did not find %d records that the walk before found", len(l.there))
			clear(l.there)
		}
	case "d":
		l.durable = max(l.durable, seq)
	case "r":
		l.released = max(l.released, seq)
	}
}

// check compares what is there with what was said to be durable.
func (l *cutLedger) check(dir string) {
	l.t.Helper()
	l.there = map[uint64]string{}
	report, err := journal.Walk(dir, journal.WalkOptions{Visit: func(r click.Record) error {
		l.there[r.Sequence] = sumOf(r.Data)
		return nil
	}})
	if err != nil {
		if len(l.said) > 0 {
			l.t.Error(err)
		}
		return // it was cut before there was a journal
	}
	if l.appended > 0 && l.id != (click.LogID{}) && report.Log != l.id {
		l.t.Errorf("another LogID: %x", report.Log)
	}
	if len(l.said) > 0 {
		l.id = report.Log
	}
	for seq, i := range l.said {
		got, ok := l.there[seq]
		due := (l.strict || seq <= l.durable) && seq > l.released
		switch {
		case ok && got != sumOf(cutRecord(i)):
			l.t.Errorf("record %d is another", seq)
		case due && !ok:
			l.t.Errorf("record %d was durable and is gone", seq)
		case due:
			l.found++
		}
	}
	l.damaged += report.Damaged
	l.segments += len(report.Segments)
	clear(l.said)
}
