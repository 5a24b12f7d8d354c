package click

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Timeline counts clicks by the hours, days and intervals of a query's zone. It
// follows the wall clocks, whatever its offsets do. It is not safe for
// concurrent use.
type Timeline struct {
	from, to time.Time
	cal      calendar
	hours    map[int64]*hourCount // by start, in Unix seconds
	list     []*hourCount         // the same
	room     []hourCount          // for more of them
	hour     *hourCount           // the last one used: clicks come nearly in order
}

// hourCount counts the clicks of one hour of the zone. Every hour lies within
// one bucket of the series.
type hourCount struct {
	span
	clicks int64
	bucket int64
}

// NewTimeline begins the timeline of a report for q, whose Zone is UTC where it
// is nil.
func NewTimeline(q Query) *Timeline {
	if q.Zone == nil {
		q.Zone = time.UTC
	}
	return &Timeline{
		from: q.From, to: q.To, cal: calendar{zone: q.Zone, interval: q.Interval, recent: &offset{}},
		hours: map[int64]*hourCount{}, hour: &hourCount{},
	}
}

// Bucket gives the bucket of the series that a time, in Unix seconds, is in, by
// a number that is its own, and from when up to, but without, when around it
// there is no other.
func (t *Timeline) Bucket(at int64) (bucket, start, end int64) {
	bucket, same := t.cal.stretch(at)
	return bucket, same.start, same.end
}

// Add counts n clicks at a time, in Unix seconds, and gives its bucket.
func (t *Timeline) Add(at, n int64) (bucket int64) {
	h := t.hourOf(at)
	h.clicks += n
	return h.bucket
}

func (t *Timeline) hourOf(at int64) *hourCount {
	if t.hour.has(at) {
		return t.hour
	}
	s := t.cal.hour(at)
	h := t.hours[s.start]
	if h == nil {
		if len(t.room) == 0 {
			t.room = make([]hourCount, 24)
		}
		h, t.room = &t.room[0], t.room[1:]
		h.span, h.bucket = s, t.cal.bucket(at)
		t.hours[s.start] = h
		t.list = append(t.list, h)
	}
	t.hour = h
	return h
}

// Tell fills the series, the hours and the days of a report. visitors gives the
// number of different visitors of a bucket.
func (t *Timeline) Tell(r *Report, visitors func(bucket int64) int64) {
	series, days := map[int64]int64{}, map[int64]int64{}
	for key := range t.cal.buckets(t.from, t.to) {
		series[key] = 0
	}
	slices.SortFunc(t.list, func(a, b *hourCount) int { return cmp.Compare(a.start, b.start) })
	r.ByHour, r.ByDay, r.Series = make([]Bucket, 0, len(t.list)), nil, make([]Bucket, 0, len(series))
	for _, h := range t.list {
		if h.clicks > 0 {
			series[h.bucket] += h.clicks
			days[t.cal.day(h.start)] += h.clicks
			r.ByHour = append(r.ByHour, Bucket{Start: t.cal.at(h.start), Clicks: h.clicks})
		}
	}
	for _, day := range slices.Sorted(maps.Keys(days)) {
		r.ByDay = append(r.ByDay, Bucket{Start: t.cal.at(t.cal.dayStart(day)), Clicks: days[day]})
	}
	for _, key := range slices.Sorted(maps.Keys(series)) {
		r.Series = append(r.Series, Bucket{
			Start: t.cal.at(t.cal.start(key)), Clicks: series[key], UniqueVisitors: visitors(key),
		})
	}
}
