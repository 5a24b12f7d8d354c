package columns

import (
	"kurz/internal/click"
)

// sheetScratch is room that is used for one block after the other.
type sheetScratch struct {
	pass   []uint8 // by click: 1 if the query asks for it
	places []uint16
	asked  []uint8 // by place
	slots  []uint64
	hashes []uint64
}

// AddSheet counts those clicks of a sheet that the query asks for and that have
// an ID from first up to, but without, end; both are FirstID of some time.
func (c *Counter) AddSheet(s *Sheet, first, end click.ID) error {
	scan := scan{Counter: c, Sheet: s, first: millis(first), end: millis(end)}
	scan.whole = s.First >= first && s.Last < end
	scan.oneBucket = c.key(SlotOf(millis(s.First))) == c.key(SlotOf(millis(s.Last)))
	s.err = nil
	if scan.whole && !c.filter.owner {
		if err := scan.openTotal(); err != nil {
			return err
		}
	}
	for block := range Blocks(s.Clicks) {
		s.open(block)
		from, to := 0, s.rows
		if c.filter.owner {
			from, to = s.find(c.q.Owner)
		}
		if from < to {
			scan.count(from, to)
		}
		if s.err != nil {
			return s.err
		}
	}
	return nil
}

// scan counts the clicks of a sheet.
type scan struct {
	*Counter
	*Sheet
	first, end int64 // in milliseconds since 1970
	whole      bool  // all clicks are of that time
	oneBucket  bool  // all clicks are in one bucket of the series
	// excluded says that the total of all clicks is counted already, and that
	// those which do not pass are to be taken away.
	excluded bool
}

// openTotal counts the whole sheet, if fewer clicks are to be taken away then
// than would be to be added.
func (s *scan) openTotal() error {
	data, err := s.Load(SheetTotal, 0, s.total)
	if err != nil {
		return err
	}
	s.total = data
	r := &reader{b: data}
	counts := openTotal(r)
	passing := counts
	var all int64
	without := make([]int64, len(s.filter.texts))
	eachCount(&passing, func(_ int, clicks, _ int64) { all += clicks }, func(_, d int, v count) {
		for i := range s.filter.texts {
			if t := &s.filter.texts[i]; t.dimension == d && t.has[t.key(v.text)] == t.not {
				without[i] += v.n
			}
		}
	})
	sum := int64(0)
	for _, n := range without {
		sum += n
	}
	if s.excluded = passing.err() == nil && 2*sum < all; !s.excluded {
		return nil
	}
	eachCount(&counts, func(g int, clicks, _ int64) {
		if g == 1 {
			s.bots += clicks
		}
	}, func(g, d int, v count) {
		if s.filter.groups[g] {
			s.texts[d].add(v.text, v.n)
		}
	})
	for range 3 {
		r.number(mostCount) // visitors, which are not told
	}
	eachSlotClicks(r, s.addSlot)
	return r.err()
}

// count counts the clicks of the block from one up to, but without, another.
func (s *scan) count(from, to int) {
	if !s.filtered(from, to) {
		return
	}
	classes := s.column(sheetClass)
	sheet := &s.Counter.sheet
	sheet.places = classes.places(sheet.places, from, to)
	var group [256]uint8
	for place, v := range classes.values[:min(len(classes.values), len(group))] {
		group[place] = uint8(Class(v).people())
	}
	// Those that are counted: that pass, or that are taken away.
	counted, times := uint8(1), int64(1)
	if s.excluded {
		counted, times = 0, -1
	}
	selected := s.selected[:0]
	for i, is := range sheet.pass {
		g := group[uint8(sheet.places[i])]
		if is == counted {
			s.bots += times * int64(g)
			if s.filter.groups[g] {
				selected = append(selected, int32(from+i))
			}
		}
		if !s.filter.groups[g] {
			sheet.pass[i] = 0
		}
	}
	s.selected = selected
	s.countTimes(from, to, times)
	if len(selected) > 0 {
		for d, column := range columnOf {
			s.countColumn(&s.texts[d], s.column(sheetClass+1+column), column < 0, from, to, times)
		}
	}
	s.countVisitors(from, to)
}

// filtered notes which clicks pass the filters and are of the time. It reports
// whether there is anything to count.
func (s *scan) filtered(from, to int) bool {
	sheet := &s.Counter.sheet
	sheet.pass = grown(sheet.pass, to-from)
	for i := range sheet.pass {
		sheet.pass[i] = 1
	}
	if !s.whole && !s.ofTime(from, to) {
		return false
	}
	for n := range s.filter.texts {
		t := &s.filter.texts[n]
		column := s.column(t.column - classColumn + sheetClass)
		sheet.asked = grown(sheet.asked, len(column.values))
		some, all := uint8(0), uint8(1)
		for place, v := range column.values {
			is := uint8(0)
			if t.has[v] != t.not {
				is = 1
			}
			sheet.asked[place] = is
			some, all = some|is, all&is
		}
		switch {
		case all == 1:
			continue
		case some == 0 && !s.excluded:
			return false
		}
		sheet.places = column.places(sheet.places, from, to)
		for i, place := range sheet.places {
			sheet.pass[i] &= sheet.asked[place]
		}
	}
	return true
}

// ofTime leaves out what is before or after the time, and reports whether
// anything is left.
func (s *scan) ofTime(from, to int) bool {
	sheet, left := &s.Counter.sheet, uint8(0)
	sheet.slots = s.slotColumn().numbers(sheet.slots, from, to)
	low, high := uint64(s.first/SlotLength), uint64(s.end/SlotLength)
	for i, slot := range sheet.slots {
		if slot <= low || slot >= high {
			at := int64(min(slot, mostSlot)) * SlotLength
			if slot == low || slot == high {
				at += int64(s.millisColumn().at(from + i))
			}
			if at < s.first || at >= s.end {
				sheet.pass[i] = 0
			}
		}
		left |= sheet.pass[i]
	}
	return left != 0
}

// countTimes counts the selected clicks by slot, each so many times, and notes
// when the last one was that passes.
func (s *scan) countTimes(from, to int, times int64) {
	for _, i := range s.selected {
		s.Counter.slots.add(Text(s.slot(int(i))), times)
	}
	if millis(s.Last) <= s.last.Load() {
		return
	}
	latest, rows := int64(-1), []int(nil)
	for i, is := range s.Counter.sheet.pass[:to-from] {
		if is == 0 {
			continue
		}
		slot := s.slot(from + i)
		if slot > latest {
			latest, rows = slot, rows[:0]
		}
		if slot == latest {
			rows = append(rows, from+i)
		}
	}
	for _, i := range rows {
		s.saw(latest*SlotLength + int64(s.millisColumn().at(i)))
	}
}

// countVisitors counts the visitors of the clicks that pass.
func (s *scan) countVisitors(from, to int) {
	sheet := &s.Counter.sheet
	if !s.excluded && len(s.selected) < (to-from)/8 {
		visitors := s.visitorColumn()
		for _, i := range s.selected {
			s.bucket(s.slot(int(i))).Add(visitors.at(int(i)))
		}
		return
	}
	sheet.hashes = s.visitorColumn().numbers(sheet.hashes, from, to)
	if s.oneBucket {
		n := 0
		for i, hash := range sheet.hashes {
			sheet.hashes[n] = hash
			n += int(sheet.pass[i])
		}
		s.bucket(SlotOf(millis(s.First))).addAll(sheet.hashes[:n])
		return
	}
	sheet.slots = s.slotColumn().numbers(sheet.slots, from, to)
	for i, hash := range sheet.hashes {
		if sheet.pass[i] == 1 {
			s.bucket(int64(min(sheet.slots[i], mostSlot))).Add(hash)
		}
	}
}
