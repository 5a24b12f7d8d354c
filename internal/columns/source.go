package columns

import (
	"time"
)

// Grain is a form in which rollups are kept.
type Grain int

// The grains. A period is a day, counted from 1970-01-01 UTC, or for Months a
// month, counted from January 1970.
const (
	SlotCounts     Grain = iota // Slots.AppendCounts
	SlotVisitors                // Slots.AppendVisitors
	Days                        // Total.AppendDay, of a day with at least BusyDay clicks
	Months                      // Total.Append
	DayNumbers                  // Total.AppendNumbers, of the same days
	PeopleSketches              // Total.AppendSketch, of those days with more visitors than fewVisitors: people
	OtherSketches               // the same of all others
	BothSketches                // the same of both
	PeopleWeeks                 // those of a week's days together, but for Sunday and Monday; the period is the Tuesday
	_
	BothWeeks
)

// BusyDay is from how many clicks on a day has a Total of its own.
const BusyDay = 256

// Source gives the rollups of one subject.
type Source interface {
	// Days gives the first and the last day with a rollup; ok is false where
	// there is none.
	Days() (first, last int64, ok bool, err error)
	// Rollups calls each with the rollups of a grain, from one period up to and
	// with another, in their order. each does not keep data.
	Rollups(g Grain, first, last int64, each func(period int64, data []byte) error) error
}

// MonthOf gives the month of a day.
func MonthOf(day int64) int64 {
	t := time.Unix(day*86400, 0).UTC()
	return int64(t.Year()-1970)*12 + int64(t.Month()-time.January)
}

// FirstDay gives the first day of a month.
func FirstDay(month int64) int64 {
	return time.Date(1970, time.January+time.Month(month), 1, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// need is what a report still wants to know of a day.
type need uint8

const (
	needCounts   need = 1 << iota // clicks, by slot and by dimension
	needVisitors                  // visitors of the whole report
	needBucket                    // visitors of the day's bucket, or buckets
)

// AddRollups counts the slots from first up to, but without, end. Where totals
// is false the subject has neither days nor months. It comes after all chunks,
// and after what was joined that counted some.
func (c *Counter) AddRollups(from Source, totals bool, first, end int64) error {
	c.gather()
	p, err := newPlan(c, from, first, end)
	if err != nil || p == nil {
		return err
	}
	if totals {
		for _, step := range []func() error{p.months, p.days, p.numbers, p.sketches} {
			if err := step(); err != nil {
				return err
			}
		}
	}
	if err := p.slotCounts(); err != nil {
		return err
	}
	return p.sets()
}

// Split divides the slots from first up to, but without, end in two: a Fork that
// is joined may count what is before the slot that it gives. It comes when
// AddRollups may, and tells the Fork of the buckets that have visitors.
func (c *Counter) Split(o *Counter, from Source, first, end int64) (at int64, ok bool, err error) {
	p, err := newPlan(c, from, first, end)
	if err != nil || p == nil {
		return 0, false, err
	}
	for key := range c.buckets {
		o.buckets[key] = &Visitors{open: true}
	}
	low, high := max(first, p.day*slotsPerDay), min(end, (p.day+int64(len(p.needs)))*slotsPerDay)
	at = FirstDay(MonthOf(DayOf((low+high)/2))) * slotsPerDay
	if at-low < (high-low)/4 {
		at = (low + high) / 2
	}
	for at > low && !c.divides(at) { // no bucket may be in both
		at++
	}
	return at, at > low && at < high, nil
}

// divides reports whether a slot begins a bucket, and none of those near by is
// both before and after it, which happens where clocks are set back over
// midnight.
func (c *Counter) divides(at int64) bool {
	const near = 4 * 4
	before, after := c.key(at-1), c.key(at)
	for i := range int64(near) {
		if c.key(at+i) == before || c.key(at-1-i) == after {
			return false
		}
	}
	return true
}

// newPlan gives nil where there is nothing to read.
func newPlan(c *Counter, from Source, first, end int64) (*plan, error) {
	low, high, ok, err := from.Days()
	if err != nil || !ok {
		return nil, err
	}
	low, high = max(low, DayOf(first)), min(high, DayOf(end-1))
	if first >= end || low > high {
		return nil, nil
	}
	p := &plan{c: c, from: from, first: first, end: end, day: low, needs: make([]need, high-low+1)}
	for i := range p.needs {
		p.needs[i] = needCounts | needVisitors | needBucket
	}
	return p, nil
}

// plan reads rollups, the coarsest first that a need allows.
type plan struct {
	c          *Counter
	from       Source
	first, end int64 // slots
	day        int64 // of needs[0]
	needs      []need
}

// whole reports whether the plan has all slots of some days.
func (p *plan) whole(first, last int64) bool {
	return first*slotsPerDay >= p.first && (last+1)*slotsPerDay <= p.end
}

// oneBucket reports whether days are within one bucket of the series.
func (p *plan) oneBucket(first, last int64) bool {
	return p.c.key(first*slotsPerDay) == p.c.key((last+1)*slotsPerDay-1)
}

func (p *plan) months() error {
	last := p.day + int64(len(p.needs)) - 1
	from, to := MonthOf(p.day), MonthOf(last)
	if !p.whole(FirstDay(from), FirstDay(from+1)-1) {
		from++
	}
	if !p.whole(FirstDay(to), FirstDay(to+1)-1) {
		to--
	}
	if from > to {
		return nil
	}
	return p.from.Rollups(Months, from, to, func(month int64, data []byte) error {
		first, last := FirstDay(month), FirstDay(month+1)-1
		met := needCounts | needVisitors
		if p.oneBucket(first, last) {
			met |= needBucket
		}
		for day := first; day <= last; day++ {
			if i := day - p.day; i >= 0 && i < int64(len(p.needs)) {
				p.needs[i] &^= met
			}
		}
		return p.total(data, first, last, met)
	})
}

func (p *plan) days() error {
	return p.each(needCounts, func(first, last int64) error {
		return p.from.Rollups(Days, first, last, func(day int64, data []byte) error {
			if !p.whole(day, day) {
				return nil
			}
			p.needs[day-p.day] &^= needCounts
			r := &reader{b: data}
			counts := openTotal(r)
			p.c.addCounts(&counts, true)
			eachSlotClicks(r, p.c.addSlot)
			if counts.bad {
				return ErrDamaged
			}
			return r.err()
		})
	})
}

// numbers counts visitors of days that are a bucket of their own.
func (p *plan) numbers() error {
	return p.each(needBucket, func(first, last int64) error {
		return p.from.Rollups(DayNumbers, first, last, func(day int64, data []byte) error {
			if !p.whole(day, day) || !p.oneBucket(day, day) || !p.wholeBucket(day, day) {
				return nil
			}
			r := &reader{b: data}
			var visitors [3]int64
			for i := range visitors {
				visitors[i] = int64(r.number(mostCount))
			}
			// If nobody else comes into this bucket, its number is enough.
			if v := p.c.bucket(day * slotsPerDay); v.empty() {
				v.closed = visitors[p.c.filter.groupsAsked()]
				p.needs[day-p.day] &^= needBucket
			}
			return r.err()
		})
	})
}

// each calls fn with every run of days that have one of the needs.
func (p *plan) each(needs need, fn func(first, last int64) error) error {
	return p.runs(func(day int64) bool { return p.needs[day-p.day]&needs != 0 }, fn)
}

// runs calls fn with every run of days that are wanted.
func (p *plan) runs(wanted func(day int64) bool, fn func(first, last int64) error) error {
	end := p.day + int64(len(p.needs))
	for day := p.day; day < end; day++ {
		from := day
		for day < end && wanted(day) {
			day++
		}
		if from < day {
			if err := fn(from, day-1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *plan) has(slot int64) bool { return slot >= p.first && slot < p.end }

// visitors counts the visitors that Total.AppendVisitors wrote, from one day to another.
func (p *plan) visitors(r *reader, day, last int64, needs need) {
	c, some := p.c, p.asked(r)
	if needs&needVisitors != 0 {
		for _, b := range some {
			c.visitors.merge(&reader{b: b})
		}
	}
	if needs&needBucket == 0 || len(some) == 0 {
		return
	}
	v := c.bucket(day * slotsPerDay)
	if len(some) == 1 && v.empty() && p.wholeBucket(day, last) {
		// Nobody else comes into this bucket: its number is enough.
		v.closed = c.scratch.countOf(some[0])
		return
	}
	for _, b := range some {
		v.merge(&reader{b: b})
	}
}

// asked reads the visitors of people and of others, and gives those that are
// asked for.
func (p *plan) asked(r *reader) (some [][]byte) {
	for _, is := range p.c.filter.groups {
		if b := takeVisitors(r); is && !none(b) {
			some = append(some, b)
		}
	}
	return some
}

// wholeBucket reports whether no other days are in the bucket of these.
func (p *plan) wholeBucket(day, last int64) bool {
	return p.within(p.c.key(day*slotsPerDay), day, last)
}

// within reports whether no other days are in a bucket.
func (p *plan) within(key, day, last int64) bool {
	before, after := day*slotsPerDay-1, (last+1)*slotsPerDay
	return (!p.has(before) || p.c.key(before) != key) && (!p.has(after) || p.c.key(after) != key)
}

// total counts what Total.Append wrote, from one day to another.
func (p *plan) total(data []byte, day, last int64, needs need) error {
	c, r := p.c, &reader{b: data}
	counts := openTotal(r)
	c.addCounts(&counts, true)
	p.visitors(r, day, last, needs)
	eachSlotClicks(r, c.addSlot)
	if counts.bad {
		return ErrDamaged
	}
	return r.err()
}

func (p *plan) slotCounts() error {
	return p.each(needCounts, func(first, last int64) error {
		return p.from.Rollups(SlotCounts, first, last, func(_ int64, data []byte) error {
			return eachSlot(data, func(number int64, r *reader) {
				s := p.c.addCounts(r, p.has(number))
				if s.number = number; p.has(number) {
					p.c.addSlot(s)
				}
			})
		})
	})
}

// addCounts reads Counts, and counts them where they are wanted.
func (c *Counter) addCounts(r *reader, wanted bool) (s slotClicks) {
	eachCount(r, func(g int, clicks, last int64) {
		s.clicks[g] = clicks
		if wanted && g == 1 {
			c.bots += clicks
		}
		if wanted && c.filter.groups[g] {
			c.saw(last)
		}
	}, func(g, d int, v count) {
		if wanted && c.filter.groups[g] {
			c.texts[d].add(v.text, v.n)
		}
	})
	return s
}

func (c *Counter) addSlot(s slotClicks) {
	for g, n := range s.clicks {
		if n > 0 && c.filter.groups[g] {
			c.slots.add(Text(s.number), n)
		}
	}
}

// Aligned gives the slots of a query's time that rollups can answer, from first
// up to, but without, end, and whether its time begins or ends within a slot.
func (c *Counter) Aligned() (first, end int64, begins, ends bool) {
	from, to := Span(&c.q)
	low, high := millis(from), millis(to)
	first, end = (low+SlotLength-1)/SlotLength, high/SlotLength
	return first, end, low%SlotLength != 0, high%SlotLength != 0
}
