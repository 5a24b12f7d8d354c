package backend

import (
	"context"
	"fmt"
	"time"

	"kurz/internal/config"
	"kurz/internal/sqlite"
)

// Rebuilt is what counting clicks again found.
type Rebuilt = sqlite.Rebuilt

// RebuildClicks counts again, from single clicks, what reports have counted in
// advance; where check is true it only tells what is not as it should be. It can
// be done beside the server, whose clicks wait in the journal meanwhile. For
// another program that writes it waits up to rebuildPatience, and calls waiting
// once with the file that it waits for. progress is told how many of all clicks
// are counted.
func (d *Data) RebuildClicks(ctx context.Context, check bool, progress func(done, all int64), waiting func(file string)) (Rebuilt, error) {
	file := d.clicks.Path()
	end := time.Now().Add(rebuildPatience)
	for told := false; ; told = true {
		found, err := sqlite.NewClicks(d.clicks).Rebuild(ctx, check, progress)
		switch {
		case !sqlite.Locked(err):
			return found, err
		case time.Now().After(end):
			return found, fmt.Errorf("%s is still locked by another program: end it, or try again later", file)
		case !told:
			waiting(file)
		}
	}
}

const (
	rebuildPatience = time.Minute
	// rebuildPause is after what time a wait is told, longer than a server
	// takes for what it writes.
	rebuildPause = time.Second
)

// OpenToRebuild is OpenData for RebuildClicks.
func OpenToRebuild(ctx context.Context, s *config.Settings) (*Data, error) {
	return openData(ctx, s.Data, sqlite.Options{Existing: true, BusyTimeout: rebuildPause})
}
