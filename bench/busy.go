//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"kurz/test/program"
	"kurz/test/wire"
)

const (
	// waitingClicks is how many clicks are brought into the reports and rolled
	// up while an open loop runs: several times what is rolled up at once.
	waitingClicks = 400_000
	// createRate is how many creates a second write the log that is folded into
	// the file at a checkpoint.
	createRate    = 1000
	createWriters = 8
)

// busy runs open loops while the server does what it does now and then.
func (l *lab) busy(ctx context.Context, s *program.Server, quiet asked) error {
	length := l.openLoop / 3
	rollup, brought, err := l.whileRollingUp(ctx, s, length)
	if err != nil {
		return err
	}
	l.say("   while rolling up: %s; %s", rollup, brought)
	checkpoint, folded, err := l.whileCheckpointing(ctx, s, length)
	if err != nil {
		return err
	}
	l.say("   while checkpointing: %s; %s", checkpoint, folded)
	backup, saved, err := l.whileBackingUp(ctx, s, length)
	if err != nil {
		return err
	}
	l.say("   while backing up: %s; %s", backup, saved)
	l.values["openloop-busy"] = fmt.Sprintf("quiet: %s<br>rollup: %s<br>checkpoint: %s<br>backup: %s", quiet, rollup, checkpoint, backup)
	l.note("Open loop beside other work, over %v each: rollup: %s; checkpoint: %s; backup: %s.", length, brought, folded, saved)
	return nil
}

// whileRollingUp lets clicks wait, and runs the open loop while they are brought
// into the reports and rolled up.
func (l *lab) whileRollingUp(ctx context.Context, s *program.Server, length time.Duration) (a asked, brought string, err error) {
	free, err := holdClicks(s.Data)
	if err != nil {
		return a, "", err
	}
	waiting := make(picks, waitingClicks)
	for i := range waiting {
		waiting[i] = int32(i % l.links)
	}
	err = follow(ctx, s.Addr, waiting, manyAhead)
	pending, pendingErr := metric(ctx, s, pendingClicks)
	if err := errors.Join(err, pendingErr, free()); err != nil {
		return a, "", err
	}
	if a, err = ask(ctx, s.Addr, l.links, length); err != nil {
		return a, "", err
	}
	left, err := metric(ctx, s, pendingClicks)
	if err != nil {
		return a, "", err
	}
	return a, fmt.Sprintf("%s clicks waited when it began, %s when it ended, and %s came", thousands(pending), thousands(left), thousands(float64(len(a.latencies)))), drained(ctx, s)
}

// whileCheckpointing runs the open loop beside creates.
func (l *lab) whileCheckpointing(ctx context.Context, s *program.Server, length time.Duration) (a asked, folded string, err error) {
	before, err := logsBegun(s.Data)
	if err != nil {
		return a, "", err
	}
	a, creates, err := whileCreating(ctx, s.Addr, l.links, length)
	if err != nil {
		return a, "", err
	}
	after, err := logsBegun(s.Data)
	return a, fmt.Sprintf("%s creates, whose log was folded into the file and begun anew %d times", thousands(float64(creates)), after-before), err
}

// whileCreating runs an open loop over hotSet of the links beside creates.
func whileCreating(ctx context.Context, addr string, links int, length time.Duration) (a asked, creates int, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	made, writing := make(chan int, 1), make(chan error, 1)
	go func() {
		n, err := createAt(ctx, addr, createRate)
		made <- n
		writing <- err
	}()
	a, err = ask(ctx, addr, links, length)
	stop()
	creates = <-made
	return a, creates, errors.Join(err, <-writing)
}

// whileBackingUp runs the open loop beside 'kurz backup', again and again until
// the loop has ended.
func (l *lab) whileBackingUp(ctx context.Context, s *program.Server, length time.Duration) (a asked, saved string, err error) {
	dir, err := os.MkdirTemp("", "kurz-bench-backup-")
	if err != nil {
		return a, "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	file := filepath.Join(dir, "kurz.backup")
	ended := make(chan struct{})
	backups := 0
	var took time.Duration
	failed := make(chan error, 1)
	go func() {
		for {
			began := time.Now()
			if _, err := s.Run(ctx, "backup", "--replace", file); err != nil {
				failed <- err
				return
			}
			took += time.Since(began)
			backups++
			select {
			case <-ended:
				failed <- nil
				return
			default:
			}
		}
	}()
	a, err = ask(ctx, s.Addr, l.links, length)
	close(ended)
	if err := errors.Join(err, <-failed); err != nil {
		return a, "", err
	}
	info, err := os.Stat(file)
	if err != nil {
		return a, "", err
	}
	return a, fmt.Sprintf("%d backups without pause, of %.0f MB, written and read again in %.1f s each", backups, float64(info.Size())/1e6, took.Seconds()/float64(backups)), nil
}

// logsBegun says how often the log of the links' file was begun anew: the
// checkpoint sequence number of SQLite's file format, section 4.1.
func logsBegun(data string) (uint32, error) {
	f, err := os.Open(filepath.Join(data, "kurz.db-wal"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	header := make([]byte, 16)
	if _, err := f.ReadAt(header, 0); err != nil {
		return 0, nil // it is empty: not begun yet
	}
	return binary.BigEndian.Uint32(header[12:]), nil
}

// createAt creates so many links a second until ctx ends, which is no error,
// and says how many it made.
func createAt(ctx context.Context, addr string, rate int) (int, error) {
	counts := make([]int, createWriters)
	err := parallel(createWriters, func(i int) error {
		conn, err := wire.Dial(ctx, addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		tick := time.NewTicker(time.Second * createWriters / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			body := fmt.Appendf(nil, `{"long_url":%q}`, destinationOf(counts[i]*createWriters+i))
			r, err := conn.Do(wire.AppendPost(nil, addr, "/api/v1/urls", "", body))
			if err != nil {
				return err
			}
			if r.Status != 201 {
				return fmt.Errorf("create: %d %s", r.Status, r.Body)
			}
			counts[i]++
		}
	})
	made := 0
	for _, n := range counts {
		made += n
	}
	return made, err
}
