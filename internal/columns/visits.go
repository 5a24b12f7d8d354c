package columns

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"kurz/internal/click"
)

// The visits of a sheet are its visitors by day (in UTC), each once a day: a
// click names the one that it is of by its place among them, from 1 on, and 0
// where it has none. So a report of many clicks marks places, and looks at each
// visitor of a day once. They are blocks of sheetVisits: how many days there are,
// the distance of each from the one before and how many visitors it has; their
// registers and ranks, packed; of each the quarters of an hour of its first and
// of its last click, a byte each; the places of those who were there on the day
// with visitors before, too, and how far back that visit is; and from visitHashes
// on the hashes of a day each, sorted.
const (
	visitDays = iota
	visitRanks
	visitQuarters
	visitReturns
	visitHashes
)

// mostHashBlocks is how many blocks of hashes there are at most: the last one has
// those of all days that are left. It takes years of few clicks to fill them.
const mostHashBlocks = 1 << 12

const visitBits = registerBits + rankBits

// Places tell of rows which visits of a sheet they are of.
type Places struct {
	of       []uint64 // by the place of the row in the sheet
	quarters []quarters
}

// quarters are those of the first and of the last of some clicks of a day, a
// quarter of an hour each.
type quarters struct{ first, last uint8 }

func quarterOf(id click.ID) uint8 { return uint8(SlotOf(millis(id)) % slotsPerDay) }

func (q *quarters) add(quarter uint8) {
	q.first, q.last = min(q.first, quarter), max(q.last, quarter)
}

// appendVisits puts the visits of rows.
func appendVisits(r *Rows, rows []int32, put func(column, block int, data []byte)) *Places {
	type visit struct {
		hash    uint64
		day, at int32
	}
	list := make([]visit, 0, len(rows))
	for i, row := range rows {
		if hash := r.Visitors[row]; hash != 0 {
			list = append(list, visit{hash, int32(DayOf(SlotOf(millis(r.IDs[row])))), int32(i)})
		}
	}
	compared := 0
	slices.SortFunc(list, func(a, b visit) int {
		if compared++; compared%breathCompares == 0 {
			r.Breathe()
		}
		if a.day != b.day {
			return cmp.Compare(a.day, b.day)
		}
		return cmp.Compare(a.hash, b.hash)
	})
	r.Breathe()
	places := &Places{of: make([]uint64, len(rows)), quarters: make([]quarters, 1, len(list)+1)}
	hashes, days, counts := []byte{sheetVersion}, []int32(nil), []int(nil)
	for i, v := range list {
		if i == 0 || v.day != list[i-1].day {
			days, counts = append(days, v.day), append(counts, 0)
		}
		if i == 0 || v.day != list[i-1].day || v.hash != list[i-1].hash {
			hashes = binary.LittleEndian.AppendUint64(hashes, v.hash)
			counts[len(counts)-1]++
			places.quarters = append(places.quarters, noQuarters)
		}
		place := len(hashes) / 8
		places.of[v.at] = uint64(place)
		places.quarters[place].add(quarterOf(r.IDs[rows[v.at]]))
	}
	r.Breathe()
	head, before := binary.AppendUvarint([]byte{sheetVersion}, uint64(len(days))), int32(0)
	for i, day := range days {
		head = binary.AppendUvarint(head, uint64(day-before))
		head = binary.AppendUvarint(head, uint64(counts[i]))
		before = day
	}
	put(sheetVisits, visitDays, head)
	of := hashes[1:]
	for block := range min(len(days), mostHashBlocks) {
		n := counts[block]
		if block == mostHashBlocks-1 {
			n = len(of) / 8
		}
		put(sheetVisits, visitHashes+block, append([]byte{sheetVersion}, of[:8*n]...))
		of = of[8*n:]
	}
	ranks := appendPacked([]byte{sheetVersion}, visitBits, len(hashes)/8, func(i int) uint64 {
		register, rank := register(binary.LittleEndian.Uint64(hashes[1+8*i:]))
		return register<<rankBits | uint64(rank)
	})
	put(sheetVisits, visitRanks, append(ranks, make([]byte, padding)...))
	between := []byte{sheetVersion}
	for _, q := range places.quarters[1:] {
		between = append(between, q.first, q.last)
	}
	put(sheetVisits, visitQuarters, between)
	put(sheetVisits, visitReturns, appendReturns([]byte{sheetVersion}, hashes[1:], counts))
	return places
}

// appendReturns appends the visits of those who were there on the day before, in
// a list of days of which counts has the visitors.
func appendReturns(dst, hashes []byte, counts []int) []byte {
	at := func(place int) uint64 { return binary.LittleEndian.Uint64(hashes[8*(place-1):]) }
	var list []int
	var back []byte
	before, first := 1, 1
	for day, n := range counts {
		if day > 0 {
			for was, is := before, first; was < first && is < first+n; {
				switch x, y := at(was), at(is); {
				case x < y:
					was++
				case x > y:
					is++
				default:
					list, back = append(list, is), binary.AppendUvarint(back, uint64(is-was))
					was, is = was+1, is+1
				}
			}
		}
		before, first = first, first+n
	}
	return append(appendPlaces(dst, list, first), back...)
}

// visits are those of a sheet, of which some are marked.
type visits struct {
	days   []visitDay
	pieces []visitPiece
	turns  []uint8 // by slot, from the first of the first day on: which piece of its day it is in
	most   int     // pieces of a day
	width  int     // of places
	marks  []uint64
	listed []uint64 // of one list of a share
	// hashes are those of the visits from hashFirst up to, but without, hashEnd.
	hashes             []byte
	hashFirst, hashEnd int
	ranks              []byte // nil until they are asked for, as are quarters
	// quarters are two bytes for each place, from 1 on.
	quarters []byte
	returns  []visitReturn // by place, once they are read
	returned bool          // they are
	sketched bool          // the report's visitors are counted

	rankRoom, headRoom, quarterRoom, returnRoom []byte
	lists                                       [2][]uint64
}

// visitReturn is a visit of someone who was there on the day before, and that one.
type visitReturn struct{ place, before int }

// visitDay is a day with visitors, whose places are from first up to, but without, end.
type visitDay struct {
	number     int64
	first, end int
}

// visitPiece is what of a day is in one bucket of the series.
type visitPiece struct {
	day, turn  int
	key, slot  int64 // of the bucket, and the first of the piece
	start, end int64 // of what has that key around it, in seconds since 1970
}

// readVisits reads the days with visitors, and divides them. Nothing is marked
// then.
func (s *scan) readVisits() (err error) {
	v := &s.Counter.sheet.visits
	if v.headRoom, err = s.Load(sheetVisits, visitDays, v.headRoom); err != nil {
		return err
	}
	r := &reader{b: v.headRoom}
	if version := r.take(1); r.bad || version[0] != sheetVersion {
		return ErrDamaged
	}
	v.days, v.pieces, v.ranks, v.quarters, v.returned, v.sketched, v.hashEnd = v.days[:0], v.pieces[:0], nil, nil, false, false, 0
	number, place := 0, 1
	for range r.number(s.Clicks) {
		distance, n := r.number(mostSlot/slotsPerDay), r.number(s.Clicks)
		number += distance
		if r.bad || number > mostSlot/slotsPerDay || len(v.days) > 0 && distance == 0 || place+n > s.Clicks+1 {
			return ErrDamaged
		}
		v.days = append(v.days, visitDay{int64(number), place, place + n})
		place += n
	}
	if r.err() != nil {
		return ErrDamaged
	}
	v.most = 1
	if v.turns = v.turns[:0]; len(v.days) > 0 {
		v.turns = grown(v.turns, int(v.days[len(v.days)-1].number-v.days[0].number+1)*slotsPerDay)
		clear(v.turns)
	}
	for day := range v.days {
		v.most = max(v.most, s.divideDay(day))
	}
	if v.most == 1 {
		v.turns = v.turns[:0]
	}
	v.width = bits.Len(uint(place))
	v.marks = unmarked(v.marks, v.most<<v.width)
	return nil
}

// divideDay finds out which pieces a day has, and gives how many.
func (s *scan) divideDay(day int) (turns int) {
	v := &s.Counter.sheet.visits
	first := v.days[day].number * slotsPerDay
	for i := range int64(slotsPerDay) {
		key := s.key(first + i)
		if last := len(v.pieces) - 1; turns == 0 || v.pieces[last].key != key {
			v.pieces = append(v.pieces, visitPiece{day, turns, key, first + i, s.stretch.start, s.stretch.end})
			turns++
		}
		v.turns[first-v.days[0].number*slotsPerDay+i] = uint8(turns - 1)
	}
	return turns
}

// countVisitors counts the visitors of the clicks that pass, and notes when the
// last of these was: the selected ones, or, where they are many, those that are
// marked.
func (s *scan) countVisitors(from, to int, many bool) {
	sheet := &s.Counter.sheet
	if many && millis(s.Last) > s.last.Load() {
		s.selected = appendRows(s.selected[:0], sheet.pass, 1)
		for i := range s.selected {
			s.selected[i] += int32(from)
		}
	}
	s.countLast(s.selected)
	if s.visits {
		s.mark(from, to, many)
		return
	}
	if !many {
		visitors := s.visitorColumn()
		for _, i := range s.selected {
			s.bucket(s.bucketSlot(int(i))).Add(visitors.at(int(i)))
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
	if s.second != 0 {
		s.countTwo()
		return
	}
	for i, hash := range sheet.hashes {
		if sheet.pass[i] == 1 {
			s.bucket(int64(min(sheet.slots[i], mostSlot))).Add(hash)
		}
	}
}

// countTwo counts the visitors that are marked in one of two buckets.
func (s *scan) countTwo() {
	sheet := &s.Counter.sheet
	sheet.later = grown(sheet.later, len(sheet.hashes))
	n, later := 0, 0
	for i, hash := range sheet.hashes {
		sheet.hashes[n], sheet.later[later] = hash, hash
		if pass := int(sheet.pass[i]); int64(sheet.slots[i]) >= s.second {
			later += pass
		} else {
			n += pass
		}
	}
	s.bucket(SlotOf(millis(s.First))).addAll(sheet.hashes[:n])
	s.bucket(SlotOf(millis(s.Last))).addAll(sheet.later[:later])
}

// bucketSlot gives a slot of the bucket that a click is in.
func (s *scan) bucketSlot(i int) int64 {
	if s.oneBucket {
		return SlotOf(millis(s.First))
	}
	return s.slot(i)
}

// mark marks the visits of the clicks that pass, as countVisitors counts them.
func (s *scan) mark(from, to int, many bool) {
	sheet, places := &s.Counter.sheet, s.visitColumn()
	v := &sheet.visits
	if len(v.days) == 0 {
		return
	}
	marks, mask := v.marks, uint64(1)<<v.width-1
	base := v.days[0].number * slotsPerDay
	turn := func(slot uint64) uint64 {
		if at := int64(min(slot, mostSlot)) - base; at >= 0 && at < int64(len(v.turns)) {
			return uint64(v.turns[at]) << v.width
		}
		return 0
	}
	switch {
	case !many:
		for _, i := range s.selected {
			place := places.at(int(i)) & mask
			if len(v.turns) > 0 {
				place |= turn(s.slotColumn().at(int(i)))
			}
			marks[place>>6] |= 1 << (place & 63)
		}
	case len(v.turns) > 0:
		sheet.hashes = places.numbers(sheet.hashes, from, to)
		sheet.slots = s.slotColumn().numbers(sheet.slots, from, to)
		slots := sheet.slots[:len(sheet.hashes)]
		pass := sheet.pass[:len(sheet.hashes)]
		for i, place := range sheet.hashes {
			place = place&mask | turn(slots[i])
			marks[place>>6] |= uint64(pass[i]) << (place & 63)
		}
	default:
		sheet.hashes = places.numbers(sheet.hashes, from, to)
		pass := sheet.pass[:len(sheet.hashes)]
		for i, place := range sheet.hashes {
			place &= mask
			marks[place>>6] |= uint64(pass[i]) << (place & 63)
		}
	}
}

// unsure is around a bucket where clocks that are set back may be in it again, in
// seconds.
const unsure = 4 * 60 * 60

// countMarked counts the visitors that are marked.
func (s *scan) countMarked() error {
	v := &s.Counter.sheet.visits
	for pieces := v.pieces; len(pieces) > 0; {
		n := 1
		for n < len(pieces) && pieces[n].key == pieces[0].key {
			n++
		}
		if err := s.countPieces(pieces[:n]); err != nil {
			return err
		}
		pieces = pieces[n:]
	}
	return nil
}

// countPieces counts the visitors of one bucket.
func (s *scan) countPieces(pieces []visitPiece) error {
	v := &s.Counter.sheet.visits
	marked := pieces[:0:0]
	for _, p := range pieces {
		if v.count(p) > 0 {
			marked = append(marked, p)
		}
	}
	if len(marked) == 0 {
		return nil
	}
	bucket, into := s.bucket(marked[0].slot), &s.visitors
	alone := len(marked) <= len(v.lists) && bucket.empty()
	for _, p := range marked {
		alone = alone && (p.start-unsure)*1000 >= s.AloneFrom && (p.end+unsure)*1000 <= s.AloneEnd
	}
	switch {
	case !alone:
		into = bucket
	case len(marked) == 1:
		bucket.closed = int64(v.count(marked[0]))
	case marked[1].day == marked[0].day+1:
		both, err := s.countBoth(marked[0], marked[1])
		if err != nil {
			return err
		}
		bucket.closed = int64(v.count(marked[0]) + v.count(marked[1]) - both)
	default:
		for i, p := range marked {
			if err := s.readHashes(p.day); err != nil {
				return err
			}
			list := v.lists[i][:0]
			v.each(p, func(place int) { list = append(list, v.hash(place)) })
			v.lists[i] = list
		}
		bucket.closed = int64(distinct(v.lists[:]))
	}
	if alone && v.sketched {
		return nil
	}
	for _, p := range marked {
		if err := s.addMarked(into, p); err != nil {
			return err
		}
	}
	return nil
}

// addMarked adds the visitors of a piece to others.
func (s *scan) addMarked(into *Visitors, p visitPiece) (err error) {
	v := &s.Counter.sheet.visits
	if into.registers == nil {
		if err := s.readHashes(p.day); err != nil {
			return err
		}
		list := v.lists[0][:0]
		v.each(p, func(place int) { list = append(list, v.hash(place)) })
		v.lists[0] = list
		into.addSorted(list)
		return nil
	}
	if v.ranks == nil {
		if v.rankRoom, err = s.Load(sheetVisits, visitRanks, v.rankRoom); err != nil {
			return err
		}
		v.ranks = v.rankRoom
		if n := v.end() - 1; len(v.ranks) != 1+packedLen(visitBits, n)+padding || v.ranks[0] != sheetVersion {
			return ErrDamaged
		}
	}
	ranks, registers := packed{b: v.ranks[1:], width: visitBits}, into.registers
	v.each(p, func(place int) {
		is := ranks.at(place - 1)
		if i, rank := is>>rankBits&(1<<registerBits-1), min(uint8(is&(1<<rankBits-1)), mostRegister); rank > registers[i] {
			registers[i] = rank
		}
	})
	return nil
}

// countBoth gives how many visitors are marked in a piece and in one of the next
// day.
func (s *scan) countBoth(before, is visitPiece) (n int, err error) {
	v := &s.Counter.sheet.visits
	if err := s.readReturns(); err != nil {
		return 0, err
	}
	day := v.days[is.day]
	first, _ := slices.BinarySearchFunc(v.returns, day.first, func(r visitReturn, place int) int { return cmp.Compare(r.place, place) })
	for _, r := range v.returns[first:] {
		if r.place >= day.end {
			break
		}
		if v.marked(is, r.place) && v.marked(before, r.before) {
			n++
		}
	}
	return n, nil
}

func (v *visits) marked(p visitPiece, place int) bool {
	at := p.turn<<v.width | place
	return v.marks[at>>6]>>(at&63)&1 != 0
}

func (s *scan) readReturns() (err error) {
	v := &s.Counter.sheet.visits
	if v.returned {
		return nil
	}
	if v.returnRoom, err = s.Load(sheetVisits, visitReturns, v.returnRoom); err != nil {
		return err
	}
	r := &reader{b: v.returnRoom}
	if version := r.take(1); r.bad || version[0] != sheetVersion {
		return ErrDamaged
	}
	v.listed = unmarked(v.listed, v.end())
	n := v.markPlaces(r, v.listed)
	v.returns = slices.Grow(v.returns[:0], n)
	for i, word := range v.listed {
		for ; word != 0; word &= word - 1 {
			place := i<<6 + bits.TrailingZeros64(word)
			v.returns = append(v.returns, visitReturn{place, place - r.number(place)})
		}
	}
	if r.err() != nil {
		return ErrDamaged
	}
	v.returned = true
	return nil
}

// readHashes reads the hashes of a day.
func (s *scan) readHashes(day int) (err error) {
	v := &s.Counter.sheet.visits
	if first := v.days[day].first; v.hashEnd > first && v.hashFirst <= first {
		return nil
	}
	block := min(day, mostHashBlocks-1)
	if v.hashes, err = s.Load(sheetVisits, visitHashes+block, v.hashes); err != nil {
		return err
	}
	v.hashFirst, v.hashEnd = v.days[block].first, v.days[block].end
	if block == mostHashBlocks-1 {
		v.hashEnd = v.end()
	}
	if len(v.hashes) != 1+8*(v.hashEnd-v.hashFirst) || v.hashes[0] != sheetVersion {
		v.hashEnd = 0
		return ErrDamaged
	}
	return nil
}

func (v *visits) hash(place int) uint64 {
	return binary.LittleEndian.Uint64(v.hashes[1+8*(place-v.hashFirst):])
}

// words calls fn with the words of marks of a piece, and the place of the first
// bit of each.
func (v *visits) words(p visitPiece, fn func(word uint64, place int)) {
	day, base := &v.days[p.day], p.turn<<v.width
	for place := day.first; place < day.end; {
		at := base + place
		word := v.marks[at>>6] >> (at & 63)
		n := min(64-at&63, day.end-place)
		if n < 64 {
			word &= 1<<n - 1
		}
		fn(word, place)
		place += n
	}
}

func (v *visits) count(p visitPiece) (n int) {
	v.words(p, func(word uint64, _ int) { n += bits.OnesCount64(word) })
	return n
}

// each calls fn with the places that are marked.
func (v *visits) each(p visitPiece, fn func(place int)) {
	v.words(p, func(word uint64, place int) {
		for ; word != 0; word &= word - 1 {
			fn(place + bits.TrailingZeros64(word))
		}
	})
}
