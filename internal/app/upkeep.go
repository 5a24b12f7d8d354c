package app

import (
	"context"
	"time"

	"kurz/internal/link"
)

const (
	tidyInterval = time.Second
	dropInterval = time.Hour
	// archiveInterval is how often links are looked for that are to be put away.
	archiveInterval = 10 * time.Minute
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

// keepIndex keeps the index of links up to date. That it can't is logged, and
// tried again: listings are right without it.
func (a *App) keepIndex(ctx context.Context) error {
	if a.index == nil {
		return nil
	}
	return a.each(ctx, tidyInterval, "links can't be indexed: listings and searches are right, but get slower", a.index.Tidy)
}

// keepArchive puts away links that have ended long enough ago, if that is asked
// for.
func (a *App) keepArchive(ctx context.Context) error {
	after := time.Duration(a.settings.ArchiveAfter)
	if after == 0 {
		return nil
	}
	return a.each(ctx, archiveInterval, "links that have ended can't be archived", func(ctx context.Context) error {
		before := a.now().Add(-after)
		n, err := a.core.Registry.Archive(ctx, before, func(link.Link) { a.archived.Add(1) })
		if n > 0 {
			a.logger.Info("links archived: they had ended, and keep their codes and statistics", "before", before.UTC().Format(time.DateOnly), "links", n)
		}
		return err
	})
}

// each calls do now and at an interval, until ctx ends. A failure is logged, with
// what it means, when it is the first in a row.
func (a *App) each(ctx context.Context, interval time.Duration, meaning string, do func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	failing := false
	for {
		err := do(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end, not a failure
		}
		if err != nil && !failing {
			a.logger.Warn("work in the background failed and is tried again", "meaning", meaning, "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
