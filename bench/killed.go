//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kurz/test/program"
)

// longReferrer makes a click's record long, as far as kurz keeps it, so that
// the journal is filled in reasonable time.
var longReferrer = "Referer: https://news.example/" + strings.Repeat("a-long-way/", 90) + "\r\n"

// killed measures how soon a server redirects that was killed with a full
// journal.
func killed(ctx context.Context, l *lab) error {
	data, err := l.all(ctx)
	if err != nil {
		return err
	}
	s, err := l.start(ctx, data, false)
	if err != nil {
		return err
	}
	defer l.stop()
	clicks, size, err := l.fillJournal(ctx, s)
	if err != nil {
		return err
	}
	first, err := l.startAndAsk(ctx, data)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := drained(ctx, l.server); err != nil {
		return err
	}
	l.values["start-killed"] = fmt.Sprintf("%.0f ms with %s links and a journal of %.2f GB, %s clicks; all of them were in the reports after %.1f s more",
		ms(first), thousands(float64(l.links)), size/1e9, thousands(float64(clicks)), time.Since(began).Seconds())
	l.say("   %s", l.values["start-killed"])
	return nil
}

// fillJournal fills a server's journal with clicks that can't go into the
// reports, kills the server, and lets go of the reports.
func (l *lab) fillJournal(ctx context.Context, s *program.Server) (clicks int, size float64, err error) {
	free, err := holdClicks(s.Data)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		s.Kill()
		l.server = nil
		err = errors.Join(err, free())
	}()
	some := make(picks, 20_000)
	for size < l.journal*1e6 {
		for i := range some {
			some[i] = int32((clicks + i) % l.links)
		}
		if err := followWith(ctx, s.Addr, some, manyAhead, longReferrer); err != nil {
			return clicks, size, err
		}
		clicks += len(some)
		if size, err = folderSize(filepath.Join(s.Data, "journal")); err != nil {
			return clicks, size, err
		}
	}
	pending, err := metric(ctx, s, pendingClicks)
	if err == nil && int(pending) < clicks {
		err = fmt.Errorf("%d clicks, of which only %.0f wait", clicks, pending)
	}
	return clicks, size, err
}

func folderSize(dir string) (float64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // gone meanwhile
		}
		sum += float64(info.Size())
	}
	return sum, nil
}
