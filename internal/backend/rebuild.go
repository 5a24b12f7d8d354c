package backend

import (
	"context"
	"time"

	"kurz/internal/config"
	"kurz/internal/sqlite"
)

// Rebuilt is what counting clicks again found.
type Rebuilt = sqlite.Rebuilt

// RebuildClicks counts again, from single clicks, what reports have counted in
// advance; where check is true it only tells what is not as it should be. It can
// be done beside the server, whose clicks wait in the journal meanwhile.
// progress is told how many of all clicks are counted.
func (d *Data) RebuildClicks(ctx context.Context, check bool, progress func(done, all int64)) (Rebuilt, error) {
	return sqlite.NewClicks(d.clicks).Rebuild(ctx, check, progress)
}

const rebuildPatience = time.Minute

// OpenToRebuild is OpenData for RebuildClicks: it waits long for a server that
// writes.
func OpenToRebuild(ctx context.Context, s *config.Settings) (*Data, error) {
	return openData(ctx, s.Data, sqlite.Options{Existing: true, BusyTimeout: rebuildPatience})
}
