//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// bulkRows is how many rows are imported, of which one in badEvery is bad.
const (
	bulkRows = 1_000_000
	badEvery = 100
)

// bulk measures 'kurz import FILE', by the clock from its start to its end: on an
// empty folder, and on one that has as many links. Each time it counts.
func bulk(ctx context.Context, l *lab) error {
	file := filepath.Join(l.dir, "rows.csv")
	if err := writeRows(file); err != nil {
		return err
	}
	empty := filepath.Join(l.dir, "bulk-empty")
	if out, err := exec.CommandContext(ctx, l.binary, "migrate", "--data", empty).CombinedOutput(); err != nil {
		return fmt.Errorf("kurz migrate: %w: %s", err, out)
	}
	full, err := l.folder(ctx, "bulk-full", bulkRows)
	if err != nil {
		return err
	}
	first, err := l.importRows(ctx, empty, file)
	if err != nil {
		return err
	}
	second, err := l.importRows(ctx, full, file)
	if err != nil {
		return err
	}
	l.values["bulk"] = fmt.Sprintf("%s into an empty folder, %s into one with %s links", first, second, thousands(bulkRows))
	l.note("Bulk: `kurz import` of %s rows, 1 %% of them bad, from its start to its end with everything on disk, each transaction of 1,000 rows with an fsync; counts were exact.", thousands(bulkRows))
	return nil
}

// imported is how an import went.
type imported struct {
	took     time.Duration
	cpu      time.Duration
	resident float64 // MB, at most
}

func (i imported) String() string {
	return fmt.Sprintf("%s rows/s, %.0f µs of CPU each, %.0f MB resident at most",
		thousands(bulkRows/i.took.Seconds()), micros(i.cpu)/bulkRows, i.resident)
}

func (l *lab) importRows(ctx context.Context, data, file string) (imported, error) {
	command := exec.CommandContext(ctx, l.binary, "import", file, "--data", data, "--json")
	began := time.Now()
	out, err := command.Output()
	took := time.Since(began)
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return imported{}, err
	}
	var r struct{ Rows, Made, Failed int }
	if err := json.Unmarshal(out, &r); err != nil {
		return imported{}, fmt.Errorf("kurz import: %w: %s", err, out)
	}
	if bad := bulkRows / badEvery; r.Rows != bulkRows || r.Failed != bad || r.Made != bulkRows-bad {
		return imported{}, fmt.Errorf("kurz import: of %d rows, %d of them bad, it told %+v", bulkRows, bad, r)
	}
	i := imported{took: took, cpu: command.ProcessState.UserTime() + command.ProcessState.SystemTime()}
	if usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage); ok {
		i.resident = float64(usage.Maxrss) * 1024 / 1e6
	}
	l.say("   %s", i)
	return i, nil
}

func writeRows(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "long_url,title")
	for n := range bulkRows {
		scheme := "https"
		if n%badEvery == badEvery-1 {
			scheme = "ftp"
		}
		fmt.Fprintf(w, "%s://example.com/articles/2026/%d/a-title-of-ordinary-length?utm_source=news,Title %d\n", scheme, n, n)
	}
	return errors.Join(w.Flush(), f.Close())
}
