package backend

import (
	"context"
	"errors"
	"fmt"

	"kurz/internal/app"
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

// VerifyJournal reads all of the data folder's journal and tells what it found.
func VerifyJournal(dir string) (journal.Report, error) { return journal.Verify(journalPath(dir)) }
