package click

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Pump brings clicks from a Log into a Sink, in order, each exactly once: it
// goes on from the position that the Sink keeps with what it counted, and gives
// a batch again for as long as the Sink has not said that it is stored.
type Pump struct {
	s PumpSettings

	records  []Record
	events   []Event
	position uint64

	mu    sync.Mutex
	stats PumpStats
}

// PumpSettings are what a Pump works with. Log, Sink and Enricher are needed.
type PumpSettings struct {
	Log      Log
	Sink     Sink
	Enricher Enricher
	// Interval is how long clicks are gathered for one batch, 200 ms where 0.
	Interval time.Duration
	// BatchSize is the most that a batch holds, 10,000 where 0.
	BatchSize int
	// Grace bounds the last draining, after Run's context has ended; 5 s
	// where 0.
	Grace time.Duration
	// Now tells the time for Stats, time.Now where nil.
	Now func() time.Time
	// Error, unless nil, is told of everything that went wrong.
	Error func(err error)
	// Stored, unless nil, is told of every batch that the Sink has stored: how
	// many events, and the time of the oldest.
	Stored func(n int, oldest time.Time)
	// Show, unless nil, is given every batch of events that the Sink has
	// stored, each once, in order. It must neither block nor keep them.
	Show func(events []Event)
	// Breathe, unless nil, is called several times within a millisecond of work,
	// which it may hold up.
	Breathe func()
}

// PumpStats counts what a Pump did.
type PumpStats struct {
	Position uint64 // up to here the Sink has stored
	Stored   uint64 // events
	Skipped  uint64 // records that could not be read, which count for nothing
	Retries  uint64 // what did not work and was tried again
	// Failing is since when nothing could be stored, zero while it can be.
	Failing time.Time
	// LastStored is when the last batch was.
	LastStored time.Time
}

// The pauses before something is tried again.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// breathRecords are so many that what they mean is found in some 100 µs.
const breathRecords = 64

// NewPump makes a Pump.
func NewPump(s PumpSettings) *Pump {
	if s.Interval <= 0 {
		s.Interval = 200 * time.Millisecond
	}
	if s.BatchSize <= 0 {
		s.BatchSize = 10_000
	}
	if s.Grace <= 0 {
		s.Grace = 5 * time.Second
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Error == nil {
		s.Error = func(error) {}
	}
	if s.Stored == nil {
		s.Stored = func(int, time.Time) {}
	}
	if s.Breathe == nil {
		s.Breathe = func() {}
	}
	if s.Show == nil {
		s.Show = func([]Event) {}
	}
	return &Pump{s: s}
}

// Run moves clicks until ctx ends, then once more what there is, for Grace at
// most. Errors of Log and Sink make it try again, for ever. It gives nil when
// the log was empty at the end, or why it is not; what is left stays in the
// log. A Pump runs once.
func (p *Pump) Run(ctx context.Context) error {
	p.pump(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.s.Grace)
	defer cancel()
	if err := p.locate(last); err != nil {
		return fmt.Errorf("clicks stay in the log: %w", err)
	}
	if err := p.drain(last); err != nil {
		return fmt.Errorf("clicks stay in the log: %w", err)
	}
	return nil
}

// pump moves clicks until ctx ends.
func (p *Pump) pump(ctx context.Context) {
	if p.locate(ctx) != nil {
		return
	}
	for {
		if p.drain(ctx) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-p.s.Log.Appended():
		}
		if pause(ctx, p.s.Interval) != nil {
			return
		}
	}
}

// locate asks the Sink where to go on.
func (p *Pump) locate(ctx context.Context) error {
	return p.insist(ctx, "asking where to go on", func() error {
		position, err := p.s.Sink.Position(ctx, p.s.Log.ID())
		if err == nil {
			p.reached(position)
			p.release()
		}
		return err
	})
}

// drain moves clicks until the log has no more, or ctx ends.
func (p *Pump) drain(ctx context.Context) error {
	for {
		n, err := p.move(ctx)
		if err != nil || n == 0 {
			return err
		}
		if n < p.s.BatchSize {
			return nil
		}
	}
}

// move moves one batch, and gives how many records it was made of.
func (p *Pump) move(ctx context.Context) (int, error) {
	err := p.insist(ctx, "reading the log", func() (err error) {
		p.records, err = p.s.Log.Read(ctx, p.position, p.records[:0], p.s.BatchSize)
		return err
	})
	if err != nil || len(p.records) == 0 {
		return 0, err
	}
	batch := Batch{
		Log: p.s.Log.ID(), Through: p.records[len(p.records)-1].Sequence, Events: p.enrich(p.records),
	}
	err = p.insist(ctx, "storing clicks", func() error { return p.s.Sink.Add(ctx, batch) })
	if err != nil {
		return 0, err
	}
	p.stored(batch)
	p.release()
	return len(p.records), nil
}

// enrich makes events of records. One that can't be read is reported, and left
// out.
func (p *Pump) enrich(records []Record) []Event {
	p.events = p.events[:0]
	for i, r := range records {
		if i%breathRecords == 0 {
			p.s.Breathe()
		}
		noted, err := ParseNoted(r.Data)
		if err != nil {
			p.count(func(s *PumpStats) { s.Skipped++ })
			p.s.Error(fmt.Errorf("record %d is left out: %w", r.Sequence, err))
			continue
		}
		p.events = append(p.events, noted.event(r.Sequence, p.s.Enricher))
	}
	return p.events
}

// event tells what a noted visit means.
func (n *Noted) event(sequence uint64, enricher Enricher) Event {
	e := Event{
		ID: NewID(n.Time, sequence), Sequence: sequence, Time: n.Time,
		Link: n.Link, Owner: n.Owner, Visitor: n.Visitor, Kind: n.Kind,
	}
	if n.Untracked {
		// Neither direct nor by the link itself: nobody looked.
		e.ReferrerHost = Unknown
	} else {
		told := enricher.Enrich(n.Headers)
		e.Kind, e.Trigger, e.Details = told.Kind, told.Trigger, told.Details
		e.Country, e.Region, e.City = n.Country, n.Region, n.City
	}
	if e.Kind == 0 {
		e.Kind = Human
	}
	return e
}

// insist does something until it works or ctx ends, with growing pauses.
func (p *Pump) insist(ctx context.Context, what string, do func() error) error {
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		err := do()
		if err == nil {
			p.count(func(s *PumpStats) { s.Failing = time.Time{} })
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		p.count(func(s *PumpStats) {
			s.Retries++
			if s.Failing.IsZero() {
				s.Failing = p.s.Now()
			}
		})
		p.s.Error(fmt.Errorf("%s: %w", what, err))
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// release lets the log forget what is stored. That it can't is reported, and
// tried again after the next batch.
func (p *Pump) release() {
	if err := p.s.Log.Release(p.position); err != nil {
		p.s.Error(fmt.Errorf("releasing the log up to %d: %w", p.position, err))
	}
}

func (p *Pump) reached(position uint64) {
	p.position = position
	p.count(func(s *PumpStats) { s.Position = position })
}

func (p *Pump) stored(b Batch) {
	p.reached(b.Through)
	p.count(func(s *PumpStats) {
		s.Stored += uint64(len(b.Events))
		s.LastStored = p.s.Now()
	})
	if len(b.Events) > 0 {
		p.s.Stored(len(b.Events), b.Events[0].Time)
		p.s.Show(b.Events)
	}
}

func (p *Pump) count(change func(*PumpStats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.stats)
}

// Stats gives the counts since the Pump was made.
func (p *Pump) Stats() PumpStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// pause waits, or gives the context's error if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
