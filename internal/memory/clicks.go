package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"kurz/internal/click"
	"kurz/internal/link"
)

// Clicks is a click.Sink, click.Reports and click.Upkeep. A report goes through
// all clicks.
type Clicks struct {
	mu        sync.RWMutex
	events    []click.Event // by ID
	dropped   []click.Event // which only reports without filters see
	horizon   time.Time     // before it single clicks are dropped
	taken     map[click.ID]bool
	totals    map[link.ID]int64
	positions map[click.LogID]uint64
}

// NewClicks makes an empty store.
func NewClicks() *Clicks {
	return &Clicks{
		taken: map[click.ID]bool{}, totals: map[link.ID]int64{}, positions: map[click.LogID]uint64{},
	}
}

// Add implements click.Sink.
func (s *Clicks) Add(ctx context.Context, b click.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	events, err := b.Above(s.positions[b.Log])
	if err != nil {
		return err
	}
	for _, e := range events {
		e.Sequence, e.Time = 0, e.Time.Truncate(time.Millisecond).UTC()
		for s.taken[e.ID] {
			e.ID = e.ID.Next()
		}
		s.taken[e.ID] = true
		i, _ := slices.BinarySearchFunc(s.events, e.ID, byID)
		s.events = slices.Insert(s.events, i, e)
		if e.Kind == click.Human {
			s.totals[e.Link]++
		}
	}
	s.positions[b.Log] = max(s.positions[b.Log], b.Through)
	return nil
}

func byID(e click.Event, id click.ID) int { return int(e.ID - id) }

// Position implements click.Sink.
func (s *Clicks) Position(ctx context.Context, log click.LogID) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.positions[log], nil
}

// Report implements click.Reports.
func (s *Clicks) Report(ctx context.Context, q click.Query) (click.Report, error) {
	if err := ctx.Err(); err != nil {
		return click.Report{}, err
	}
	t := click.NewTally(q)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := range s.events {
		t.Add(&s.events[i])
	}
	for _, e := range s.dropped {
		slot := e.Time.Truncate(15 * time.Minute)
		if len(q.Filters) > 0 || slot.Before(q.From) || !slot.Before(q.To) {
			continue
		}
		if !e.Time.Before(q.To) {
			e.Time = slot
		}
		t.Add(&e)
	}
	r := t.Report()
	if (len(q.Filters) > 0 || q.Link != 0 && q.Owner != 0) && q.From.Before(s.horizon) {
		r.Since = s.horizon
	}
	return r, nil
}

// Tidy implements click.Upkeep.
func (s *Clicks) Tidy(ctx context.Context) error { return ctx.Err() }

// Drop implements click.Upkeep.
func (s *Clicks) Drop(ctx context.Context, before time.Time) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before = before.UTC().Truncate(24 * time.Hour)
	n, _ := slices.BinarySearchFunc(s.events, click.NewID(before, 0), byID)
	if n > 0 && before.After(s.horizon) {
		s.horizon = before
	}
	s.dropped = append(s.dropped, s.events[:n]...)
	s.events = slices.Delete(s.events, 0, n)
	return int64(n), nil
}

// Totals implements click.Reports.
func (s *Clicks) Totals(ctx context.Context, links []link.ID) (map[link.ID]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	totals := make(map[link.ID]int64, len(links))
	for _, id := range links {
		if n := s.totals[id]; n != 0 {
			totals[id] = n
		}
	}
	return totals, nil
}

// Events implements click.Reports.
func (s *Clicks) Events(ctx context.Context, q click.Query, before click.ID, limit int) ([]click.Event, click.ID, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	end := len(s.events)
	if before != 0 {
		end, _ = slices.BinarySearchFunc(s.events, before, byID)
	}
	var page []click.Event
	for i := end - 1; i >= 0; i-- {
		if !q.Selects(&s.events[i]) {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].ID, nil
		}
		page = append(page, s.events[i])
	}
	return page, 0, nil
}
