package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kurz/internal/app"
	"kurz/internal/enrich"
	"kurz/internal/fault"
	"kurz/internal/journal"
	"kurz/internal/memory"
)

func (b *Backend) pingData(ctx context.Context) (string, error) {
	return "", errors.Join(b.data.main.Ping(ctx), b.data.clicks.Ping(ctx))
}

func (b *Backend) checkJournal(context.Context) (string, error) {
	st := b.journal.Stats()
	if st.Full {
		return "", fault.New(fault.Unavailable, "the disk is full, clicks are being lost: make room")
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
		{Name: "kurz_journal_full", Help: "1 while the disk has no room for the journal.", Read: read(func(s journal.Stats) float64 {
			if s.Full {
				return 1
			}
			return 0
		})},
	}
}

func routeMeasures(r *memory.Routes) []app.Measure {
	return []app.Measure{
		{Name: "kurz_cache_entries", Help: "Links in memory.", Read: func() float64 { return float64(r.Stats().Links) }},
		{Name: "kurz_cache_evictions_total", Help: "Links dropped from memory for want of room.", Total: true, Read: func() float64 { return float64(r.Stats().Evicted) }},
	}
}

func (b *Backend) keyMeasures() []app.Measure {
	return []app.Measure{
		{Name: "kurz_visitor_key_failing", Help: "1 while the file of the visitor keys can't be written.", Read: func() float64 {
			if b.hasher.Err() != nil {
				return 1
			}
			return 0
		}},
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
