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

	"kurz/client"
)

// bulkRows is how many rows are imported, of which one in badEvery is bad.
const (
	bulkRows = 1_000_000
	badEvery = 100
)

// bulk measures 'kurz import FILE', by the clock from its start to its end: on an
// empty folder, and on one that has as many links; and the same rows sent to a
// server. Each time it counts.
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
	sent, err := l.sendRows(ctx, file)
	if err != nil {
		return err
	}
	l.values["bulk"] = fmt.Sprintf("`kurz import` into an empty folder: %s<br>into one with %s links: %s<br>sent to a server: %s", first, thousands(bulkRows), second, sent)
	l.note("Bulk: %s rows, 1 %% of them bad; counts were exact. `kurz import` from its start to its end, when all is synced. The server from the upload's first byte to the job's end: it syncs what it tells of as it goes, and indexes it for search.", thousands(bulkRows))
	return nil
}

// sendRows uploads a file to a new server.
func (l *lab) sendRows(ctx context.Context, file string) (imported, error) {
	s, err := l.start(ctx, filepath.Join(l.dir, "bulk-server"), false, "KURZ_RATE_BULK_FREE=off")
	if err != nil {
		return imported{}, err
	}
	defer l.stop()
	key, err := s.NewKey(ctx, "bench@example.com")
	if err != nil {
		return imported{}, err
	}
	c, err := client.New(s.URL, client.WithKey(key))
	if err != nil {
		return imported{}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return imported{}, err
	}
	defer f.Close()
	before, err := cpu(s.Pid())
	if err != nil {
		return imported{}, err
	}
	began := time.Now()
	j, err := c.Bulk(ctx, client.BulkCSV, f)
	if err == nil {
		j, err = c.WaitBulk(ctx, j.ID, nil)
	}
	if err != nil {
		return imported{}, err
	}
	took := j.FinishedAt.Sub(began)
	if bad := int64(bulkRows / badEvery); j.Status != "done" || j.Failed != bad || j.Done != bulkRows-bad {
		return imported{}, fmt.Errorf("bulk job: of %d rows, %d of them bad, it told %+v", bulkRows, bad, *j)
	}
	after, err := cpu(s.Pid())
	if err != nil {
		return imported{}, err
	}
	_, _, most, err := resident(s.Pid())
	i := imported{took, after - before, most}
	l.say("   %s", i)
	return i, err
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
