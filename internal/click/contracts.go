package click

import (
	"context"
	"fmt"
	"time"

	"kurz/internal/account"
	"kurz/internal/link"
)

// Log keeps records between the redirect and the statistics. It is safe for
// concurrent use by many appenders and one reader.
type Log interface {
	// Append adds a record and gives its sequence, from 1 up, growing; a gap
	// stands only where the log was not closed or records are damaged. When it
	// returns nil the record survives the death of the process; how it survives
	// a power cut is a setting. It blocks only in strict mode, until the record
	// is on the disk, and where records come faster than space can be made. A
	// full disk is fault.Unavailable: the record is lost, and counted.
	Append(record []byte) (sequence uint64, err error)
	// ID names this log for Sink: random, for ever its own.
	ID() LogID
	// Read appends to dst the records with sequences above after, oldest
	// first, until limit records or none is left; none is no error. The Data
	// of the records is valid until the next Read. Damaged records are left
	// out and counted.
	Read(ctx context.Context, after uint64, dst []Record, limit int) ([]Record, error)
	// Release allows the log to forget the records up to and with this
	// sequence.
	Release(through uint64) error
	// Appended gives a channel on which a value arrives after an Append, for
	// the reader to wake up; one value may stand for many.
	Appended() <-chan struct{}
}

// LogID names a log.
type LogID [16]byte

// Record is one record of a Log.
type Record struct {
	Sequence uint64
	Data     []byte
}

// Batch is what the pump hands to a Sink: what became of a run of the log.
type Batch struct {
	Log     LogID
	Through uint64 // the last sequence this batch accounts for
	Events  []Event
}

// Above gives the events that a Sink with this position has not counted. An
// event beyond Through is an error: it would be counted again.
func (b *Batch) Above(position uint64) ([]Event, error) {
	counted := 0
	for i := range b.Events {
		if s := b.Events[i].Sequence; s > b.Through {
			return nil, fmt.Errorf("batch through %d has event %d", b.Through, s)
		} else if s <= position {
			counted++
		}
	}
	if counted == 0 {
		return b.Events, nil
	}
	above := make([]Event, 0, len(b.Events)-counted)
	for i := range b.Events {
		if b.Events[i].Sequence > position {
			above = append(above, b.Events[i])
		}
	}
	return above, nil
}

// Sink counts clicks. It may block and is called by one goroutine a log.
type Sink interface {
	// Add counts the events whose Sequence is above the position stored for
	// the batch's log (see Batch.Above), keeps them, and makes b.Through that
	// position; all of it or nothing, durable when it returns nil. So the same
	// batch twice, or one that overlaps with the last, counts nothing twice; a
	// position never goes back. Of two clicks with one ID, which two logs may
	// draw, the later one gets the next free ID of its millisecond. b.Events is
	// the caller's again when Add returns.
	Add(ctx context.Context, b Batch) error
	// Position gives the position stored for a log, 0 if there is none.
	Position(ctx context.Context, log LogID) (uint64, error)
}

// Reports tells what was counted. All methods may block and are safe for
// concurrent use. A link without clicks is no error.
type Reports interface {
	// Report gives the report that q asks for.
	Report(ctx context.Context, q Query) (Report, error)
	// Totals gives the headline number (clicks of kind Human, ever) of each
	// link; one without clicks may be missing.
	Totals(ctx context.Context, links []link.ID) (map[link.ID]int64, error)
	// Events gives single clicks, newest first, at most limit (1 to 500), with
	// IDs below before, or the newest where before is 0, and the before of the
	// next page, 0 at the end. Clicks that come while someone pages neither
	// repeat nor hide others.
	Events(ctx context.Context, q Query, before ID, limit int) (events []Event, next ID, err error)
}

// Upkeep is what a store of clicks does when nobody waits for it. It may block,
// and is called by one goroutine at once.
type Upkeep interface {
	// Tidy brings in order what was added, so that reports stay fast. What they
	// tell does not change.
	Tidy(ctx context.Context) error
	// Drop removes the single clicks of the days, in UTC, that were over before a
	// time, and gives how many. Totals and reports without filters stay as they
	// were, but that a time which begins or ends within a quarter of an hour then
	// has those quarters that begin in it. An error may come after some are gone;
	// another call goes on.
	Drop(ctx context.Context, before time.Time) (int64, error)
}

// Subject says whose clicks a query is about: one link's, one owner's, or, with
// both zero, everybody's.
type Subject struct {
	Link  link.ID
	Owner account.ID
}

// Query asks for a report.
type Query struct {
	Subject
	// From and To bound the time of the clicks: From ≤ t < To. Both are set.
	From, To time.Time
	Interval Interval
	// Zone is the time zone in which hours, days, weeks and months begin.
	Zone *time.Location
	// Kinds are what the report counts.
	Kinds KindSet
	// Filters are all to hold.
	Filters []Filter
	// Top bounds each list of the report; 0 does not.
	Top int
}

// KindSet is the kind parameter of a report.
type KindSet string

// The kind sets.
const (
	Humans  KindSet = "human"
	Bots    KindSet = "bot" // everything but humans
	AllKind KindSet = "all"
)

// Has reports whether the set holds the kind.
func (s KindSet) Has(k Kind) bool {
	switch s {
	case Humans:
		return k == Human
	case Bots:
		return k != Human
	}
	return true
}

// Interval is the width of the report's series.
type Interval string

// The intervals. Weeks begin on Monday (ISO 8601).
const (
	Hourly  Interval = "hour"
	Daily   Interval = "day"
	Weekly  Interval = "week"
	Monthly Interval = "month"
)

// Filter keeps events whose dimension has one of the values, or, with Not, none
// of them. Values are as in a report: "direct" and "unknown" too.
type Filter struct {
	Dimension Dimension
	Values    []string
	Not       bool
}
