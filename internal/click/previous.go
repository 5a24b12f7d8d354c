package click

import (
	"math"
	"time"
)

// Previous gives the same query about the time right before q's, with which q
// is compared. Where q's time is whole months of its zone, it is as many months
// (November is compared with October, though that has a day more); where it is
// whole days, as many days (seven days are compared with seven, also when
// clocks were changed in one of them); else it is as long a time.
func (q Query) Previous() Query {
	if q.Zone == nil {
		q.Zone = time.UTC
	}
	from := q.From
	q.From, q.To = from.Add(-q.To.Sub(from)), from
	cal := calendar{zone: q.Zone}
	first, whole := cal.wholeDay(from)
	end, wholeEnd := cal.wholeDay(from.Add(from.Sub(q.From)))
	if !whole || !wholeEnd || end <= first {
		return q
	}
	day := first - (end - first)
	if a, b := date(first), date(end); a.Day() == 1 && b.Day() == 1 {
		months := 12*(b.Year()-a.Year()) + int(b.Month()-a.Month())
		day = div(a.AddDate(0, -months, 0).Unix(), secondsPerDay)
	}
	// A date that the zone skipped begins where the one after it does.
	for ; ; day-- {
		if start := cal.at(cal.dayStart(day)); start.Before(from) {
			q.From = start
			return q
		}
	}
}

// wholeDay gives the date that begins at t, if one does.
func (c calendar) wholeDay(t time.Time) (day int64, ok bool) {
	day = c.day(t.Unix())
	return day, t.Nanosecond() == 0 && c.dayStart(day) == t.Unix()
}

// RelativeChange gives by what part a number grew, right to four decimals: 0.25
// is a quarter more, -1 is nothing left. What grew from nothing has none.
func RelativeChange(before, now int64) (change float64, ok bool) {
	if before == 0 {
		return 0, false
	}
	return math.Round(1e4*float64(now-before)/float64(before)) / 1e4, true
}
