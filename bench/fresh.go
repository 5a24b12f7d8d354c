//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"kurz/client"
	"kurz/test/fresh"
)

const (
	freshRate   = 500
	freshTarget = 2 * time.Second
)

// freshness measures how soon a click is in the report and on the live stream.
func freshness(ctx context.Context, l *lab) error {
	s, err := l.start(ctx, filepath.Join(l.dir, "fresh"), false)
	if err != nil {
		return err
	}
	defer l.stop()
	key, err := s.NewKey(ctx, "bench@example.com")
	if err != nil {
		return err
	}
	c, err := client.New(s.URL, client.WithKey(key))
	if err != nil {
		return err
	}
	link, err := c.Shorten(ctx, "https://example.com/fresh")
	if err != nil {
		return err
	}
	length := max(time.Duration(l.rounds)*l.length, 5*time.Second)
	r, err := fresh.Measure(ctx, fresh.Load{
		URL: s.URL, Addr: s.Addr, Key: key, Code: link.ShortCode, Rate: freshRate, Length: length, Patience: time.Minute,
	})
	if err != nil {
		return err
	}
	late := 0
	for i := range r.Clicks {
		if r.Report[i] > freshTarget {
			late++
		}
		if r.Live[i] > freshTarget {
			late++
		}
	}
	row := func(took []time.Duration) string {
		return fmt.Sprintf("p50 %.0f ms, p99 %.0f ms, most %.0f ms", ms(fresh.At(took, 0.5)), ms(fresh.At(took, 0.99)), ms(fresh.At(took, 1)))
	}
	l.values["fresh"] = fmt.Sprintf("report: %s; live stream: %s; %d late", row(r.Report), row(r.Live), late)
	l.say("   %s", l.values["fresh"])
	l.note("Fresh: %s clicks of one link, %d a second, over %v, each from when its answer was read; the report is asked for every 20 ms, and its time counts.", thousands(float64(r.Clicks)), freshRate, length)
	return nil
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
