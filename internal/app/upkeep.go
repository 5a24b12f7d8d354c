package app

import (
	"context"
	"time"
)

const (
	tidyInterval = time.Second
	dropInterval = time.Hour
)

// keepUp brings stored clicks in order, and lets go of single ones that are kept
// long enough. That it can't is logged, and tried again: reports are right
// without it.
func (a *App) keepUp(ctx context.Context) error {
	tick := time.NewTicker(tidyInterval)
	defer tick.Stop()
	var nextDrop time.Time
	failing := false
	for {
		err := a.upkeep.Tidy(ctx)
		if now := a.now(); err == nil && a.settings.ClickRetention > 0 && !now.Before(nextDrop) {
			nextDrop = now.Add(dropInterval)
			err = a.dropClicks(ctx, now.Add(-time.Duration(a.settings.ClickRetention)))
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end, not a failure
		}
		if err != nil && !failing {
			a.logger.Warn("stored clicks can't be brought in order: reports are right, but get slower", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *App) dropClicks(ctx context.Context, before time.Time) error {
	n, err := a.upkeep.Drop(ctx, before)
	if n > 0 {
		a.logger.Info("single clicks dropped: their totals stay", "before", before.UTC().Format(time.DateOnly), "clicks", n)
	}
	return err
}
