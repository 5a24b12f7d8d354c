package columns

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Counts are clicks by dimension, those of people apart from all others.
type Counts [2]Group

// Group counts clicks. Each dimension adds up to Clicks.
type Group struct {
	Clicks int64
	Last   int64 // when the last one was, in milliseconds since 1970
	values [dimensions][]count
}

// count is how often a text occurred; in ByTrigger, a click.Trigger.
type count struct {
	text Text
	n    int64
}

// Merge adds the clicks of another.
func (c *Counts) Merge(o *Counts) {
	for g := range c {
		c[g].merge(&o[g])
	}
}

func (g *Group) merge(o *Group) {
	g.Clicks += o.Clicks
	g.Last = max(g.Last, o.Last)
	for d := range g.values {
		g.values[d] = mergeCounts(g.values[d], o.values[d])
	}
}

// mergeCounts merges lists that are sorted by text.
func mergeCounts(a, b []count) []count {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		return slices.Clone(b)
	}
	both := make([]count, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch cmp.Compare(a[0].text, b[0].text) {
		case -1:
			both, a = append(both, a[0]), a[1:]
		case 1:
			both, b = append(both, b[0]), b[1:]
		default:
			both = append(both, count{a[0].text, a[0].n + b[0].n})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(both, a...), b...)
}

// Append appends what parse reads: of each group the clicks and, if there are
// any, when the last one was and the lists. A list is its length and, of each
// value, the distance from the one before and the clicks; with one click, it is
// the value.
func (c *Counts) Append(dst []byte) []byte {
	for i := range c {
		g := &c[i]
		dst = binary.AppendUvarint(dst, uint64(g.Clicks))
		if g.Clicks == 0 {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(g.Last))
		for _, list := range g.values {
			if g.Clicks == 1 {
				dst = binary.AppendUvarint(dst, uint64(list[0].text))
				continue
			}
			dst = binary.AppendUvarint(dst, uint64(len(list)))
			before := Text(0)
			for _, v := range list {
				dst = binary.AppendUvarint(dst, uint64(v.text-before))
				dst = binary.AppendUvarint(dst, uint64(v.n))
				before = v.text
			}
		}
	}
	return dst
}

const (
	mostSlot  = 1 << 42 / SlotLength // of the last time that an ID can have
	mostCount = 1 << 53
	mostTexts = 1 << 24
	mostText  = 1<<32 - 1
)

// eachCount reads what Append wrote, without keeping it.
func eachCount(r *reader, group func(g int, clicks, last int64), value func(g, d int, v count)) {
	for g := range len(Counts{}) {
		clicks := int64(r.number(mostCount))
		if clicks == 0 {
			continue
		}
		group(g, clicks, int64(r.number(mostCount)))
		for d := range dimensions {
			if clicks == 1 {
				value(g, d, count{Text(r.number(mostText)), 1})
				continue
			}
			text := 0
			for range r.number(mostTexts) {
				distance, n := r.pair()
				if text += distance; r.bad || text > mostText {
					r.fail()
					return
				}
				value(g, d, count{Text(text), int64(n)})
			}
		}
	}
}

// pair reads the distance of a text and its clicks, most of which take a byte.
func (r *reader) pair() (distance, n int) {
	if b := r.b; len(b) >= 2 && b[0]|b[1] < 0x80 {
		r.b = b[2:]
		return int(b[0]), int(b[1])
	}
	return r.number(mostText), r.number(mostCount)
}

func (c *Counts) parse(r *reader) {
	eachCount(r, func(g int, clicks, last int64) {
		c[g].Clicks, c[g].Last = clicks, last
	}, func(g, d int, v count) {
		c[g].values[d] = append(c[g].values[d], v)
	})
}

// EachText calls fn with the texts that a rollup names; one of SlotVisitors names
// none.
func EachText(g Grain, data []byte, fn func(Text)) error {
	group := func(int, int64, int64) {}
	value := func(_, d int, v count) {
		if columnOf[d] >= 0 {
			fn(v.text)
		}
	}
	switch g {
	case SlotCounts:
		return eachSlot(data, func(_ int64, r *reader) { eachCount(r, group, value) })
	case Days, Months:
		r := reader{b: data}
		counts := openTotal(&r)
		eachCount(&counts, group, value)
		return counts.err()
	}
	return nil
}

// SlotLength is the length of a slot in milliseconds: a quarter of an hour,
// which every time zone's offset is a multiple of.
const SlotLength = 15 * 60 * 1000

const slotsPerDay = 24 * 4

// SlotOf gives the slot of a time in milliseconds since 1970.
func SlotOf(ms int64) int64 { return ms / SlotLength }

// DayOf gives the day of a slot, counted from 1970-01-01 UTC.
func DayOf(slot int64) int64 { return slot / slotsPerDay }

// Slots are the clicks and visitors of one subject and one day (in UTC), by
// slot.
type Slots struct {
	list []slot // by number
}

type slot struct {
	number   int64 // since 1970
	counts   Counts
	visitors [2][]uint64 // sorted, each once
}

func (s *Slots) at(number int64) *slot {
	i, found := slices.BinarySearchFunc(s.list, number, func(s slot, n int64) int { return cmp.Compare(s.number, n) })
	if !found {
		s.list = slices.Insert(s.list, i, slot{number: number})
	}
	return &s.list[i]
}

// Merge adds the clicks and visitors of another.
func (s *Slots) Merge(o *Slots) {
	for i := range o.list {
		from := &o.list[i]
		to := s.at(from.number)
		to.counts.Merge(&from.counts)
		for g := range to.visitors {
			to.visitors[g] = union(to.visitors[g], from.visitors[g])
		}
	}
}

// union merges sorted lists, of which neither has anything twice.
func union(a, b []uint64) []uint64 {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		return slices.Clone(b)
	}
	both := make([]uint64, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		least := min(a[0], b[0])
		both = append(both, least)
		if a[0] == least {
			a = a[1:]
		}
		if b[0] == least {
			b = b[1:]
		}
	}
	return append(append(both, a...), b...)
}

const rollupVersion = 1

// AppendCounts appends what MergeCounts reads: each slot's distance from the
// one before, and its counts.
func (s *Slots) AppendCounts(dst []byte) []byte {
	dst = append(dst, rollupVersion)
	before := int64(0)
	for i := range s.list {
		dst = binary.AppendUvarint(dst, uint64(s.list[i].number-before))
		dst = s.list[i].counts.Append(dst)
		before = s.list[i].number
	}
	return dst
}

// MergeCounts adds clicks that AppendCounts wrote.
func (s *Slots) MergeCounts(b []byte) error {
	return eachSlot(b, func(number int64, r *reader) {
		var c Counts
		c.parse(r)
		if !r.bad {
			s.at(number).counts.Merge(&c)
		}
	})
}

// eachSlot reads what AppendCounts writes.
func eachSlot(b []byte, each func(number int64, r *reader)) error {
	r := reader{b: b}
	if version := r.take(1); r.bad || version[0] != rollupVersion {
		return ErrDamaged
	}
	return r.slots(each)
}

// slots reads slots up to the end.
func (r *reader) slots(each func(number int64, r *reader)) error {
	for number := 0; len(r.b) > 0; {
		if number += r.number(mostSlot); number > mostSlot {
			return ErrDamaged
		}
		each(int64(number), r)
	}
	return r.err()
}

// Total sums up the slots of a day or of a month.
type Total struct {
	Counts   Counts
	Visitors [2]Visitors
	slots    []slotClicks // by number
}

// slotClicks are the clicks of one slot.
type slotClicks struct {
	number int64
	clicks [2]int64
}

// AddSlots adds what is in slots.
func (t *Total) AddSlots(s *Slots) {
	list := make([]slotClicks, 0, len(s.list))
	for i := range s.list {
		from := &s.list[i]
		t.Counts.Merge(&from.counts)
		clicks := [2]int64{}
		for g := range clicks {
			clicks[g] = from.counts[g].Clicks
			for _, hash := range from.visitors[g] {
				t.Visitors[g].Add(hash)
			}
		}
		list = append(list, slotClicks{from.number, clicks})
	}
	t.slots = mergeSlots(t.slots, list)
}

// Clicks gives how many clicks there are.
func (t *Total) Clicks() int64 { return t.Counts[0].Clicks + t.Counts[1].Clicks }

func mergeSlots(a, b []slotClicks) []slotClicks {
	both := append(slices.Clip(a), b...)
	slices.SortStableFunc(both, func(a, b slotClicks) int { return cmp.Compare(a.number, b.number) })
	merged := both[:0]
	for _, s := range both {
		if n := len(merged); n > 0 && merged[n-1].number == s.number {
			merged[n-1].clicks[0] += s.clicks[0]
			merged[n-1].clicks[1] += s.clicks[1]
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}

// Append appends what Merge reads: the length of the counts and they, the
// visitors, and of each slot the distance from the one before and the clicks.
func (t *Total) Append(dst []byte) []byte {
	return t.appendSlots(t.AppendVisitors(t.appendCounts(dst)))
}

// AppendDay appends the same without the visitors.
func (t *Total) AppendDay(dst []byte) []byte { return t.appendSlots(t.appendCounts(dst)) }

// AppendNumbers appends three numbers of visitors: people, all others, and both
// together.
func (t *Total) AppendNumbers(dst []byte) []byte {
	var both Visitors
	for g := range t.Visitors {
		dst = binary.AppendUvarint(dst, uint64(t.Visitors[g].Count()))
		both.Merge(&t.Visitors[g])
	}
	return binary.AppendUvarint(dst, uint64(both.Count()))
}

// AppendVisitors appends the visitors.
func (t *Total) AppendVisitors(dst []byte) []byte {
	for g := range t.Visitors {
		dst = t.Visitors[g].Append(dst)
	}
	return dst
}

// AppendSketch appends the visitors of a grain of sketches, estimated where they
// take less room so, unless that is so neither of people nor of others.
func (t *Total) AppendSketch(dst []byte, grain Grain) []byte {
	if !t.Visitors[0].many() && !t.Visitors[1].many() {
		return dst
	}
	var v Visitors
	if grain == BothSketches {
		v.Merge(&t.Visitors[0])
		v.Merge(&t.Visitors[1])
	} else {
		v = t.Visitors[grain-PeopleSketches]
	}
	if v.registers == nil && v.many() {
		v.estimate()
	}
	return v.Append(dst)
}

func (t *Total) appendCounts(dst []byte) []byte {
	counts := t.Counts.Append(nil)
	dst = binary.AppendUvarint(append(dst, rollupVersion), uint64(len(counts)))
	return append(dst, counts...)
}

func (t *Total) appendSlots(dst []byte) []byte {
	before := int64(0)
	for _, s := range t.slots {
		dst = binary.AppendUvarint(dst, uint64(s.number-before))
		dst = binary.AppendUvarint(dst, uint64(s.clicks[0]))
		dst = binary.AppendUvarint(dst, uint64(s.clicks[1]))
		before = s.number
	}
	return dst
}

// Merge adds what Append wrote.
func (t *Total) Merge(b []byte) error {
	r := reader{b: b}
	counts := openTotal(&r)
	var c Counts
	c.parse(&counts)
	if counts.err() != nil {
		return ErrDamaged
	}
	t.Counts.Merge(&c)
	for g := range t.Visitors {
		t.Visitors[g].merge(&r)
	}
	var list []slotClicks
	eachSlotClicks(&r, func(s slotClicks) { list = append(list, s) })
	t.slots = mergeSlots(t.slots, list)
	return r.err()
}

// openTotal reads up to the counts, and gives a reader of them.
func openTotal(r *reader) reader {
	if version := r.take(1); r.bad || version[0] != rollupVersion {
		r.fail()
	}
	return reader{b: r.take(r.number(len(r.b)))}
}

func eachSlotClicks(r *reader, each func(s slotClicks)) {
	for number := 0; len(r.b) > 0; {
		if number += r.number(mostSlot); number > mostSlot {
			r.fail()
		}
		s := slotClicks{number: int64(number)}
		s.clicks[0], s.clicks[1] = int64(r.number(mostCount)), int64(r.number(mostCount))
		if !r.bad {
			each(s)
		}
	}
}
