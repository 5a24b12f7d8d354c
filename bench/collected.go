//go:build linux

package main

import (
	"context"
	"fmt"
)

// collected runs open loops on a server with as many links as -many says, and
// as many of them in memory as -hot does, while Go's collector works: quiet,
// and with creates that keep it busy.
func collected(ctx context.Context, l *lab) error {
	data, err := l.folder(ctx, "many", l.many)
	if err != nil {
		return err
	}
	s, err := l.start(ctx, data, false, cacheFor(l.hotLinks))
	if err != nil {
		return err
	}
	defer l.stop()
	hot := min(l.hotLinks, l.many)
	if err := l.heat(ctx, s, allOf(hot)); err != nil {
		return err
	}
	length := l.openLoop / 3
	var collections [3]float64
	if collections[0], err = metric(ctx, s, goCollections); err != nil {
		return err
	}
	quiet, err := ask(ctx, s.Addr, hot, length)
	if err != nil {
		return err
	}
	if collections[1], err = metric(ctx, s, goCollections); err != nil {
		return err
	}
	creating, creates, err := whileCreating(ctx, s.Addr, hot, length)
	if err != nil {
		return err
	}
	if collections[2], err = metric(ctx, s, goCollections); err != nil {
		return err
	}
	l.values["openloop-collected"] = fmt.Sprintf("quiet, %.0f collections: %s<br>beside creates, %.0f collections: %s",
		collections[1]-collections[0], quiet, collections[2]-collections[1], creating)
	l.say("   %s", l.values["openloop-collected"])
	l.note("Open loop while the collector runs: %s links, %s of them in memory; over %v each; %s creates.",
		thousands(float64(l.many)), thousands(float64(hot)), length, thousands(float64(creates)))
	return nil
}

// goCollections counts the runs of Go's garbage collector.
const goCollections = "go_gc_duration_seconds_count"
