package click

import (
	"cmp"
	"slices"
	"time"
)

// The values that stand for "not known" in reports and filters.
const (
	Direct  = "direct" // of ByReferrer
	Unknown = "unknown"
	Other   = "(other)" // all that a list had no room for: its last row
)

// Value gives what the event counts as in a dimension: never "".
func (e *Event) Value(d Dimension) string {
	value, empty := "", Unknown
	switch d {
	case ByReferrer:
		value, empty = e.ReferrerHost, Direct
	case ByCountry:
		value = e.Country
	case ByRegion:
		value = e.Region
	case ByCity:
		value = e.City
	case ByDevice:
		value = e.Device
	case ByBrowser:
		value = e.Browser
	case ByOS:
		value = e.OS
	case ByLanguage:
		value = e.Language
	case BySource:
		value = e.UTMSource
	case ByMedium:
		value = e.UTMMedium
	case ByCampaign:
		value = e.UTMCampaign
	case ByTrigger:
		value = e.Trigger.String()
	}
	return cmp.Or(value, empty)
}

// Selects reports whether the query is about the event: its subject, time,
// filters and kinds all hold.
func (q *Query) Selects(e *Event) bool { return q.Kinds.Has(e.Kind) && q.concerns(e) }

// concerns is Selects without regard to kinds.
func (q *Query) concerns(e *Event) bool {
	if q.Link != 0 && e.Link != q.Link || q.Owner != 0 && e.Owner != q.Owner ||
		e.Time.Before(q.From) || !e.Time.Before(q.To) {
		return false
	}
	for i := range q.Filters {
		f := &q.Filters[i]
		if slices.Contains(f.Values, e.Value(f.Dimension)) == f.Not {
			return false
		}
	}
	return true
}

// Tally counts events into a report. It is exact: visitors are told apart by a
// set of their hashes, and buckets follow the wall clocks of the query's zone,
// whatever its offsets do. A Tally holds memory for each visitor of each
// bucket; it is not safe for concurrent use.
type Tally struct {
	q        Query
	total    int64
	bots     int64
	scans    int64
	last     time.Time
	visitors map[uint64]bool
	values   [len(Dimensions)]map[string]int64
	line     *Timeline
	buckets  map[int64]map[uint64]bool // visitors, by what Timeline.Add gives
}

// NewTally begins a report for q, whose Zone is UTC where it is nil. A Top of 0
// leaves the report's lists whole.
func NewTally(q Query) *Tally {
	if q.Zone == nil {
		q.Zone = time.UTC
	}
	t := &Tally{q: q, line: NewTimeline(q), visitors: map[uint64]bool{}, buckets: map[int64]map[uint64]bool{}}
	for i := range t.values {
		t.values[i] = map[string]int64{}
	}
	return t
}

// Add counts the event if the query is about it. Its strings may be kept.
func (t *Tally) Add(e *Event) {
	if !t.q.concerns(e) {
		return
	}
	if e.Kind != Human {
		t.bots++
	}
	if !t.q.Kinds.Has(e.Kind) {
		return
	}
	t.total++
	if e.Trigger == ByQR {
		t.scans++
	}
	if e.Time.After(t.last) {
		t.last = e.Time
	}
	bucket := t.line.Add(e.Time.Unix(), 1)
	if e.Visitor != 0 {
		t.visitors[e.Visitor] = true
		if t.buckets[bucket] == nil {
			t.buckets[bucket] = map[uint64]bool{}
		}
		t.buckets[bucket][e.Visitor] = true
	}
	for i, d := range Dimensions {
		t.values[i][e.Value(d)]++
	}
}

// Report gives what was counted so far.
func (t *Tally) Report() Report {
	r := Report{
		From: t.q.From, To: t.q.To, Zone: t.q.Zone, Interval: t.q.Interval,
		TotalClicks: t.total, UniqueVisitors: int64(len(t.visitors)), BotClicks: t.bots, QRScans: t.scans,
		LastClickedAt: t.last, Top: make(map[Dimension][]Count, len(Dimensions)),
	}
	t.line.Tell(&r, func(bucket int64) int64 { return int64(len(t.buckets[bucket])) })
	for i, d := range Dimensions {
		r.Top[d] = Top(t.values[i], t.q.Top)
	}
	return r
}

// Top gives the n values with the most clicks, and the rest as Other; all of
// them for 0. Most clicks come first, then values by their bytes.
func Top(values map[string]int64, n int) []Count {
	out := make([]Count, 0, len(values))
	for value, clicks := range values {
		out = append(out, Count{Value: value, Clicks: clicks})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Clicks, a.Clicks), cmp.Compare(a.Value, b.Value))
	})
	if n == 0 || len(out) <= n {
		return out
	}
	rest := Count{Value: Other}
	for _, c := range out[n:] {
		rest.Clicks += c.Clicks
	}
	return append(slices.Clip(out[:n]), rest)
}
