package columns

import (
	"cmp"
	"slices"
	"sort"

	"kurz/internal/click"
)

// sheetScratch is room that is used for one block after the other.
type sheetScratch struct {
	pass   []uint8 // by click: 1 if the query asks for it
	places []uint16
	asked  []uint8 // by place
	slots  []uint64
	ids    []uint64
	hashes []uint64
	later  []uint64
	visits visits
}

// AddSheet counts those clicks of a sheet that the query asks for and that have
// an ID from first up to, but without, end; both are FirstID of some time.
func (c *Counter) AddSheet(s *Sheet, first, end click.ID) error {
	scan := scan{Counter: c, Sheet: s, first: millis(first), end: millis(end)}
	scan.whole = s.First >= first && s.Last < end
	scan.divide()
	s.err = nil
	if scan.whole || !c.filter.Plain() {
		if err := scan.readTotal(); err != nil {
			return err
		}
		if done, err := scan.rareValues(first, end); err != nil || done {
			return err
		}
	}
	if scan.whole && !c.filter.owner {
		if left, err := scan.totals(); err != nil || !left {
			return err
		}
	}
	if scan.visits = !c.filter.owner && !c.filter.Plain() && scan.keepsMany(); scan.visits {
		if err := scan.readVisits(); err != nil {
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
	if scan.visits {
		return scan.countMarked()
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
	// Else, if it is not 0, all from this slot on are in a second one.
	second int64
	// counted says that clicks are counted by Totals, and only their visitors are
	// to be; excluded, that the Total of all clicks is counted already, and those
	// that do not pass are to be taken away.
	counted, excluded bool
	visited           bool // so are the visitors
	visits            bool // visitors are marked, and counted at last
	all               int64
	named             [][]count // for each filter what values it names, and their clicks
	others            int64     // of the clicks that were looked at by choose, those that are no people's
}

// divide finds out in which buckets of the series the clicks are.
func (s *scan) divide() {
	first, last := SlotOf(millis(s.First)), SlotOf(millis(s.Last))
	is := s.key(first)
	if s.oneBucket = is == s.key(last); s.oneBucket {
		return
	}
	n := sort.Search(int(last-first), func(i int) bool { return s.key(first+int64(i)) != is })
	if second := first + int64(n); s.key(second) == s.key(last) {
		s.second = second
	}
}

// readTotal reads the Total of the sheet.
func (s *scan) readTotal() (err error) {
	if s.total, err = s.Load(SheetTotal, 0, s.total); err != nil {
		return err
	}
	if len(s.total) == 0 || s.total[0] != sheetVersion {
		return ErrDamaged
	}
	s.named = make([][]count, len(s.filter.texts))
	r := &reader{b: s.total[1:]}
	counts := openTotal(r)
	eachCount(&counts, func(_ int, clicks, _ int64) { s.all += clicks }, func(_, d int, v count) {
		for i := range s.filter.texts {
			if t := &s.filter.texts[i]; t.dimension == d && t.has[t.key(v.text)] {
				s.named[i] = append(s.named[i], v)
			}
		}
	})
	if counts.err() != nil {
		return ErrDamaged
	}
	for i, list := range s.named {
		slices.SortFunc(list, func(a, b count) int { return cmp.Compare(a.text, b.text) })
		sums := list[:0]
		for _, v := range list {
			if n := len(sums); n > 0 && sums[n-1].text == v.text { // of people and of others
				sums[n-1].n += v.n
			} else {
				sums = append(sums, v)
			}
		}
		s.named[i] = sums
	}
	return nil
}

// rareValues counts the clicks where a filter keeps nothing but rare values.
func (s *scan) rareValues(first, end click.ID) (done bool, err error) {
	for i := range s.filter.texts {
		t := &s.filter.texts[i]
		if t.not || t.column == classColumn {
			continue
		}
		if slices.ContainsFunc(s.named[i], func(v count) bool { return !isRare(v.n, s.all) }) {
			continue
		}
		for _, v := range s.named[i] {
			err := s.rare(t.dimension, v.text, func(c *Chunk, from, to int) { s.AddChunk(c, from, to, first, end) })
			if err != nil {
				return false, err
			}
		}
		return true, nil
	}
	return false, nil
}

// manyOf says what share of the clicks a filter keeps at least for their visitors
// to be marked: looking up the hashes of fewer is less work.
const manyOf = 16

// keepsMany reports whether each filter keeps many clicks.
func (s *scan) keepsMany() bool {
	for i, named := range s.named {
		n := int64(0)
		for _, v := range named {
			n += v.n
		}
		if !s.filter.texts[i].not && n*manyOf < s.all {
			return false
		}
	}
	return true
}

// totals counts by Totals where that is less work. It reports whether anything
// may be left to count.
func (s *scan) totals() (left bool, err error) {
	gone := int64(0) // at most
	for i := range s.filter.texts {
		named := int64(0)
		for _, v := range s.named[i] {
			named += v.n
		}
		switch not := s.filter.texts[i].not; {
		case not:
			gone += named
		case named == 0:
			return false, nil
		default:
			gone += s.all - named
		}
	}
	if len(s.named) == 1 {
		if s.counted, err = s.shares(&s.filter.texts[0], s.named[0]); err != nil || s.counted {
			return !s.visited, err
		}
	}
	if s.excluded = 2*gone < s.all; s.excluded {
		err = s.addTotal(s.total[1:], 1, false)
	}
	return true, err
}

// share is what Shares gave of a value.
type share struct{ total, marks []byte }

// openShare reads a share.
func openShare(data []byte) (o share, err error) {
	r := &reader{b: data}
	if version := r.take(1); r.bad || version[0] != sheetVersion {
		return o, ErrDamaged
	}
	o.total = r.take(r.number(len(data)))
	o.marks = r.b
	if r.bad {
		return o, ErrDamaged
	}
	return o, nil
}

// shares counts what a filter keeps by the shares of the values that it names,
// if there is one of each.
func (s *scan) shares(t *textFilter, named []count) (all bool, err error) {
	var found []share
	for _, v := range named {
		if s.share, err = s.Share(t.dimension, v.text, s.share); err != nil || s.share == nil {
			return false, err
		}
		one, err := openShare(slices.Clone(s.share))
		if err != nil {
			return false, err
		}
		found = append(found, one)
	}
	times := int64(1)
	if t.not {
		times = -1
		if err := s.addTotal(s.total[1:], 1, false); err != nil {
			return false, err
		}
	}
	for _, one := range found {
		if err := s.addTotal(one.total, times, !t.not); err != nil {
			return false, err
		}
	}
	switch {
	case !t.not:
		s.visited, err = s.markShares(found)
	case len(named) == 1:
		s.visited, err = s.estimate(t.dimension, named[0].text)
	}
	return true, err
}

// estimate counts the visitors with any value but one, if each month of the
// sheet is in a bucket with certainly so many that they are estimated.
func (s *scan) estimate(dimension int, value Text) (all bool, err error) {
	first, months := monthsFrom(s.First, s.Last)
	if months == 0 || s.filter.groupsAsked() != 0 || millis(s.Last) > s.last.Load() {
		return false, nil
	}
	slots := make([]int64, 0, mostMonths) // one of each month's bucket
	for i := range int64(months) {
		low := max(FirstDay(first+i)*slotsPerDay, SlotOf(millis(s.First)))
		high := min(FirstDay(first+i+1)*slotsPerDay-1, SlotOf(millis(s.Last)))
		if s.key(low) != s.key(high) {
			return false, nil
		}
		slots = append(slots, low)
	}
	for i, slot := range slots {
		if s.without, err = s.Load(sheetWithout+dimension, i, s.without); err != nil {
			return false, err
		}
		v := &s.scratch
		*v = Visitors{registers: v.registers}
		clear(v.registers)
		if !v.mergeWithout(s.without, value) {
			return false, nil
		}
		bucket := s.bucket(slot)
		if bucket.registers == nil && v.Count() <= surelyMany {
			return false, nil // what was counted so far is among what is counted then
		}
		bucket.Merge(v)
	}
	return true, nil
}

// addTotal counts a Total that AppendDay wrote, but for its visitors, so many
// times. Where all of it is asked for, its last click is seen.
func (s *scan) addTotal(data []byte, times int64, asked bool) error {
	r := &reader{b: data}
	counts := openTotal(r)
	eachCount(&counts, func(g int, clicks, last int64) {
		s.bots += times * int64(g) * clicks
		if asked && s.filter.groups[g] {
			s.saw(last)
		}
	}, func(g, d int, v count) {
		if s.filter.groups[g] {
			s.texts[d].add(v.text, times*v.n)
		}
	})
	eachSlotClicks(r, func(slot slotClicks) {
		for g, n := range slot.clicks {
			if s.filter.groups[g] {
				s.addClicks(slot.number, times*n)
			}
		}
	})
	if counts.bad {
		return ErrDamaged
	}
	return r.err()
}

// count counts the clicks of the block from one up to, but without, another.
func (s *scan) count(from, to int) {
	passing := s.filtered(from, to)
	if passing == 0 && !s.excluded {
		return
	}
	classes := s.column(sheetClass)
	many := s.excluded || passing >= (to-from)/8
	switch {
	case s.excluded:
		s.choose(classes, from, 0)
		s.countSelected(from, to, -1)
	case !s.counted:
		s.choose(classes, from, 1)
		s.countSelected(from, to, 1)
	case !many:
		s.choose(classes, from, 1)
	}
	if many {
		s.asked(classes, from, to)
	}
	s.countVisitors(from, to, many)
}

// choose selects the clicks with a mark that are of the kinds asked for.
func (s *scan) choose(classes *coded, from int, mark uint8) {
	bots := int64(0)
	s.selected = appendRows(s.selected[:0], s.Counter.sheet.pass, mark)
	selected := s.selected[:0]
	for _, i := range s.selected {
		g := Class(classes.values[classes.at(from+int(i))]).people()
		bots += int64(g)
		if s.filter.groups[g] {
			selected = append(selected, int32(from)+i)
		}
	}
	s.selected, s.others = selected, bots
}

// asked leaves out what is not of the kinds asked for.
func (s *scan) asked(classes *coded, from, to int) {
	if s.filter.groups[0] && s.filter.groups[1] {
		return
	}
	var asked [256]uint8
	for place, v := range classes.values[:min(len(classes.values), len(asked))] {
		if s.filter.groups[Class(v).people()] {
			asked[place] = 1
		}
	}
	sheet := &s.Counter.sheet
	sheet.places = classes.places(sheet.places, from, to)
	for i, place := range sheet.places {
		sheet.pass[i] &= asked[uint8(place)]
	}
}

// countSelected counts the selected clicks, each so many times.
func (s *scan) countSelected(from, to int, times int64) {
	s.bots += times * s.others
	if len(s.selected) == 0 {
		return
	}
	for _, i := range s.selected {
		s.addClicks(s.slot(int(i)), times)
	}
	s.rest = others(s.rest[:0], s.selected, from, to)
	for d, column := range columnOf {
		s.countColumn(&s.texts[d], s.column(sheetClass+1+column), column < 0, from, to, times)
	}
}

// appendRows appends the numbers of the rows that have a mark.
func appendRows(dst []int32, marks []uint8, mark uint8) []int32 {
	n := len(dst)
	dst = slices.Grow(dst, len(marks))[:n+len(marks)]
	for i, is := range marks {
		dst[n] = int32(i)
		if is == mark {
			n++
		}
	}
	return dst[:n]
}

// filtered notes which clicks pass the filters and are of the time, and gives
// how many.
func (s *scan) filtered(from, to int) int {
	sheet := &s.Counter.sheet
	sheet.pass = grown(sheet.pass, to-from)
	for i := range sheet.pass {
		sheet.pass[i] = 1
	}
	n := to - from
	if !s.whole {
		n = s.ofTime(from, to)
	}
	for f := range s.filter.texts {
		if n == 0 {
			return 0
		}
		t := &s.filter.texts[f]
		column := s.column(t.column - classColumn + sheetClass)
		sheet.asked = grown(sheet.asked, len(column.values))
		all := uint8(1)
		for place, v := range column.values {
			sheet.asked[place] = 0
			if t.has[v] != t.not {
				sheet.asked[place] = 1
			}
			all &= sheet.asked[place]
		}
		if all == 1 {
			continue
		}
		n = 0
		sheet.places = column.places(sheet.places, from, to)
		for i, place := range sheet.places {
			pass := sheet.pass[i] & sheet.asked[place]
			sheet.pass[i] = pass
			n += int(pass)
		}
	}
	return n
}

// ofTime leaves out what is before or after the time, and gives how many are
// left.
func (s *scan) ofTime(from, to int) int {
	sheet, left := &s.Counter.sheet, 0
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
		left += int(sheet.pass[i])
	}
	return left
}

// countLast notes when the last of some clicks was, which are within a slot.
func (s *scan) countLast(rows []int32) {
	if len(rows) == 0 || millis(s.Last) <= s.last.Load() {
		return
	}
	latest, last := int64(-1), int64(0)
	for _, i := range rows {
		if slot := s.slot(int(i)); slot > latest {
			latest, last = slot, 0
		} else if slot < latest {
			continue
		}
		last = max(last, int64(s.millisColumn().at(int(i))))
	}
	s.saw(latest*SlotLength + last)
}
