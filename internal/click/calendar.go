package click

import (
	"iter"
	"time"
)

// calendar divides time into the hours, days, weeks and months of a zone.
//
// Days, weeks and months go by the date on the wall: a day has 23, 24, 25 hours
// or what else the zone's clocks make of it, begins at its first instant also
// where there was no midnight, and an hour that a clock set back over midnight
// repeats belongs to the date it shows. A date that a zone skipped has no day.
// Hours are whole hours of the wall clock (in zones of 30 and 45 minutes they
// begin within those of UTC), and a change of offset begins a new one.
//
// Instants are Unix seconds, dates are days since 1970-01-01.
type calendar struct {
	zone     *time.Location
	interval Interval
	recent   *offset // unless nil, the last one that was asked for
}

// offset is how many seconds a zone is east of UTC within a span.
type offset struct {
	span
	seconds int64
}

const (
	secondsPerHour = 60 * 60
	secondsPerDay  = 24 * secondsPerHour
)

// span is a time from start, up to but without end.
type span struct{ start, end int64 }

func (s span) has(t int64) bool { return s.start <= t && t < s.end }

// at gives the instant in the zone.
func (c calendar) at(t int64) time.Time { return time.Unix(t, 0).In(c.zone) }

// hour gives the hour that t is in.
func (c calendar) hour(t int64) span {
	offset, same := c.offset(t)
	start := t - mod(t+offset, secondsPerHour)
	return span{start: max(start, same.start), end: min(start+secondsPerHour, same.end)}
}

// day gives the date of t.
func (c calendar) day(t int64) int64 {
	offset, _ := c.offset(t)
	return div(t+offset, secondsPerDay)
}

// dayStart gives the first instant with this date or, where the zone skipped
// it, a later one.
func (c calendar) dayStart(day int64) int64 {
	midnight := day * secondsPerDay
	for t := midnight - 2*secondsPerDay; ; {
		offset, same := c.offset(t)
		if at := max(midnight-offset, t); at < same.end {
			return at
		}
		t = same.end
	}
}

// bucket names the bucket of the series that t is in: an hour by its first
// instant, the others by their first date.
func (c calendar) bucket(t int64) int64 {
	if c.interval == Hourly {
		return c.hour(t).start
	}
	return c.firstDate(c.day(t))
}

// stretch gives the bucket that t is in, and a span around t with no other.
func (c calendar) stretch(t int64) (bucket int64, same span) {
	if c.interval == Hourly {
		h := c.hour(t)
		return h.start, h
	}
	offset, same := c.offset(t)
	bucket = c.firstDate(div(t+offset, secondsPerDay))
	same.start = max(same.start, bucket*secondsPerDay-offset)
	same.end = min(same.end, c.next(bucket)*secondsPerDay-offset)
	return bucket, same
}

// start gives the first instant of a bucket.
func (c calendar) start(bucket int64) int64 {
	if c.interval == Hourly {
		return bucket
	}
	return c.dayStart(bucket)
}

// firstDate gives the first date of the interval that day is in.
func (c calendar) firstDate(day int64) int64 {
	switch c.interval {
	case Weekly:
		return day - mod(day+3, 7) // 1970-01-01 was a Thursday
	case Monthly:
		return day - int64(date(day).Day()) + 1
	}
	return day
}

// next gives the bucket after one of dates.
func (c calendar) next(bucket int64) int64 {
	switch c.interval {
	case Weekly:
		return bucket + 7
	case Monthly:
		return c.firstDate(bucket + 31)
	}
	return bucket + 1
}

// buckets gives every bucket with an instant from the given one up to, but
// without, to.
func (c calendar) buckets(from, to time.Time) iter.Seq[int64] {
	before := func(t int64) bool { return time.Unix(t, 0).Before(to) }
	if !from.Before(to) {
		return func(func(int64) bool) {}
	}
	if c.interval == Hourly {
		return func(yield func(int64) bool) {
			for h := c.hour(from.Unix()); before(h.start) && yield(h.start); {
				h = c.hour(h.end)
			}
		}
	}
	return func(yield func(int64) bool) {
		bucket := c.bucket(from.Unix())
		start := c.start(bucket)
		for before(start) {
			next := c.next(bucket)
			end := c.start(next)
			if start < end && !yield(bucket) {
				return
			}
			bucket, start = next, end
		}
	}
}

// offset gives the seconds east of UTC at t, and for how long around t they
// hold.
func (c calendar) offset(t int64) (int64, span) {
	if c.recent != nil && c.recent.has(t) {
		return c.recent.seconds, c.recent.span
	}
	at := c.at(t)
	_, seconds := at.Zone()
	start, end := at.ZoneBounds()
	same := span{start: -1 << 62, end: 1 << 62}
	if !start.IsZero() {
		same.start = start.Unix()
	}
	if !end.IsZero() {
		same.end = end.Unix()
	}
	if c.recent != nil {
		*c.recent = offset{same, int64(seconds)}
	}
	return int64(seconds), same
}

func date(day int64) time.Time { return time.Unix(day*secondsPerDay, 0).UTC() }

// div and mod round down, also below 0.
func div(a, b int64) int64 { return (a - mod(a, b)) / b }

func mod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}
