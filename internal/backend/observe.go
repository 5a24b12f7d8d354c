package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"kurz/internal/app"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/enrich"
	"kurz/internal/fault"
	"kurz/internal/journal"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/sqlite"
)

// pingData is content where nothing can be written: redirects go on, and a server
// that is taken out of service for it can't answer them.
func (b *Backend) pingData(ctx context.Context) (text string, err error) {
	if b.data.main.LastWriteFailed() {
		text = "but the last write failed: is there room, and does another program lock it?"
	}
	return text, errors.Join(b.data.main.Ping(ctx), b.data.clicks.Ping(ctx))
}

func (b *Backend) checkJournal(context.Context) (string, error) {
	st := b.journal.Stats()
	switch {
	case errors.Is(st.Full, syscall.ENOSPC):
		return "", fault.New(fault.Unavailable, "the disk is full, clicks are being lost: make room")
	case st.Full != nil:
		why := st.Full
		if errno, ok := errors.AsType[syscall.Errno](why); ok {
			why = errno // strangers need no path
		}
		return "", fault.New(fault.Unavailable, "the journal can't grow, clicks are being lost: %v", why)
	}
	return fmt.Sprintf("%d waiting", st.Pending), nil
}

func (b *Backend) journalMeasures() []app.Measure {
	read := func(value func(journal.Stats) float64) func() float64 {
		return func() float64 { return value(b.journal.Stats()) }
	}
	return []app.Measure{
		{Name: "kurz_clicks_recorded_total", Help: "Clicks written to the journal.", Total: true, Read: read(func(s journal.Stats) float64 { return float64(s.Appended) })},
		{Name: "kurz_clicks_lost_total", Help: "Clicks that the journal could not take.", Total: true, Read: read(func(s journal.Stats) float64 { return float64(s.Lost) })},
		{Name: "kurz_clicks_damaged_total", Help: "Records of the journal found damaged.", Total: true, Read: read(func(s journal.Stats) float64 { return float64(s.Damaged) })},
		{Name: "kurz_clicks_pending", Help: "Clicks in the journal that are not yet stored.", Read: read(func(s journal.Stats) float64 { return float64(s.Pending) })},
		{Name: "kurz_journal_bytes", Help: "Size of the journal on the disk.", Read: read(func(s journal.Stats) float64 { return float64(s.Bytes) })},
		{Name: "kurz_journal_full", Help: "1 while the journal can not grow, as a rule because the disk is full.", Read: read(func(s journal.Stats) float64 { return oneIf(s.Full != nil) })},
		{Name: "kurz_journal_reserve", Help: "1 while the journal has its reserve for a full disk.", Read: read(func(s journal.Stats) float64 { return oneIf(s.Reserved) })},
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func routeMeasures(r *memory.Routes) []app.Measure {
	return []app.Measure{
		{Name: "kurz_cache_entries", Help: "Links in memory.", Read: func() float64 { return float64(r.Stats().Links) }},
		{Name: "kurz_cache_bytes", Help: "Memory taken by what is known of links.", Read: func() float64 { return float64(r.Stats().Bytes) }},
		{Name: "kurz_cache_evictions_total", Help: "Links dropped from memory for want of room.", Total: true, Read: func() float64 { return float64(r.Stats().Evicted) }},
	}
}

func indexMeasures(links *sqlite.Links) []app.Measure {
	return []app.Measure{
		{Name: "kurz_search_indexing", Help: "1 while links are being indexed: searches and listings may be slow until then.", Read: func() float64 { return oneIf(!links.Indexed()) }},
	}
}

func (b *Backend) keyMeasures() []app.Measure {
	return []app.Measure{
		{Name: "kurz_visitor_key_failing", Help: "1 while the file of the visitor keys can't be written.", Read: func() float64 { return oneIf(b.hasher.Err() != nil) }},
	}
}

func poolMeasures(p *link.PoolCodes) []app.Measure {
	return []app.Measure{
		{Name: "kurz_code_pool_left", Help: "Codes made ahead that wait in the store.", Read: func() float64 { return float64(p.Stats().Left) }},
		{Name: "kurz_code_pool_batch", Help: "Codes made ahead that this server has taken and not yet used.", Read: func() float64 { return float64(p.Stats().Batch) }},
		{Name: "kurz_code_pool_made_total", Help: "Codes that this server made ahead.", Total: true, Read: func() float64 { return float64(p.Stats().Made) }},
		{Name: "kurz_code_pool_missed_total", Help: "Codes that were drawn at random because none was made ahead.", Total: true, Read: func() float64 { return float64(p.Stats().Missed) }},
	}
}

func (b *Backend) cityMeasures() []app.Measure {
	if b.cities == nil {
		return nil
	}
	read := func(value func(enrich.CitiesStats) float64) func() float64 {
		return func() float64 { return value(b.cities.Stats()) }
	}
	return []app.Measure{
		{Name: "kurz_geoip_build_timestamp_seconds", Help: "When the city database in force was built, in seconds since 1970.", Read: read(func(s enrich.CitiesStats) float64 { return float64(s.File.Built.Unix()) })},
		{Name: "kurz_geoip_reloads_total", Help: "City databases that took the place of another.", Total: true, Read: read(func(s enrich.CitiesStats) float64 { return float64(s.Reloads) })},
		{Name: "kurz_geoip_failures_total", Help: "City databases that were refused, the old one staying in force.", Total: true, Read: read(func(s enrich.CitiesStats) float64 { return float64(s.Failures) })},
		{Name: "kurz_geoip_failing", Help: "1 while the file of the city database can't be used and an older one is in force.", Read: read(func(s enrich.CitiesStats) float64 {
			if s.Failing {
				return 1
			}
			return 0
		})},
	}
}

// describeCities never fails: without a new city database, and without any,
// kurz can do its work.
func (b *Backend) describeCities(context.Context) (string, error) {
	st := b.cities.Stats()
	text := fmt.Sprintf("%s of %s", st.File.Type, st.File.Built.Format(time.DateOnly))
	if st.Failing {
		text += ", the file that was to replace it can't be used"
	}
	return text, nil
}

// InspectCities reads the city database at path as a server would.
func InspectCities(ctx context.Context, path string) (enrich.CityFile, error) {
	return enrich.InspectCities(ctx, path)
}

// VerifyJournal reads all of the data folder's journal and tells what it found.
func VerifyJournal(dir string) (journal.Report, error) { return journal.Verify(journalPath(dir)) }

// JournalReport is what the data folder's journal was found to hold.
type JournalReport struct {
	journal.Report
	Folder  string
	None    bool   // there is no journal yet
	Pending uint64 // intact records that are not in the statistics
	Stored  uint64 // the sequence up to which the statistics have the clicks
	// Unknown is why Pending and Stored can't be told; nil where they are.
	Unknown error
}

// NeedsReserve reports whether the journal should have a reserve and has none.
func (r *JournalReport) NeedsReserve() bool {
	return journal.CanReserve && len(r.Segments) > 0 && !r.Reserve
}

// InspectJournal reads all of the data folder's journal, beside a server or
// not, changes nothing, and tells what it found. Progress, unless nil, is told
// how far it is, in bytes.
func InspectJournal(ctx context.Context, s *config.Settings, progress func(done, total int64)) (JournalReport, error) {
	r := JournalReport{Folder: journalPath(s.Data)}
	if _, err := os.Stat(s.Data); err != nil {
		return r, fmt.Errorf("data folder: %w", err)
	}
	if _, err := os.Stat(r.Folder); errors.Is(err, fs.ErrNotExist) {
		r.None = true
		return r, nil
	}
	served, err := Served(s.Data)
	if err != nil {
		return r, err
	}
	var stored, pending uint64
	var unknown error
	r.Report, err = journal.Walk(r.Folder, journal.WalkOptions{
		Live: served, Progress: progress,
		Begin: func(id click.LogID) error {
			stored, unknown = storedThrough(ctx, s, id)
			return nil
		},
		Visit: func(record click.Record) error {
			if record.Sequence > stored {
				pending++
			}
			return ctx.Err()
		},
	})
	r.Pending, r.Stored, r.Unknown = pending, stored, unknown
	return r, err
}

// storedThrough gives the sequence up to which a log's clicks are in the
// statistics.
func storedThrough(ctx context.Context, s *config.Settings, id click.LogID) (uint64, error) {
	path := filepath.Join(s.Data, clicksName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	db, err := sqlite.Open(ctx, path, sqlite.Options{Schema: sqlite.ForClicks, Existing: true, KeepSchema: true})
	if err != nil {
		return 0, err
	}
	position, err := sqlite.NewClicks(db).Position(ctx, id)
	return position, errors.Join(err, db.Close())
}
