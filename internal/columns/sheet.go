package columns

import (
	"encoding/binary"
	"slices"

	"kurz/internal/account"
	"kurz/internal/click"
)

// SheetRows is the most clicks of a block of a sheet.
const SheetRows = 1 << sheetBits

// sheetBits are enough for every place in a block's dictionary.
const sheetBits = 14

// A sheet has clicks a second time, for reports of everybody or of an owner: by
// owner and ID, in blocks of SheetRows, of which each column is kept apart, so
// that a report reads only those that it asks about. It has what reports count,
// but neither IDs nor links. A column of a block is the version and what
// dictionary.append or appendAbove gives; the owners are runs.
const sheetVersion = 3

// The columns of a sheet.
const (
	sheetOwners = iota
	sheetSlots
	sheetMillis // within the slot
	sheetVisitors
	sheetPlaces // of the visitors in sheetVisits
	sheetClass
	sheetTexts   // those that are dimensions, which come first
	SheetColumns = sheetTexts + Referrer
	// SheetTotal is no column, but the version and the Total of the whole sheet.
	SheetTotal = SheetColumns
	// sheetWithout is nor one: from there on stand the visitors by dimension, a
	// month a block.
	sheetWithout = SheetTotal + 1
	// sheetVisits is nor one (see visits.go).
	sheetVisits = sheetWithout + dimensions
	// From sheetRare on stand the clicks of rare values by dimension (see rare.go).
	sheetRare = sheetVisits + 1
	// SheetParts is how many numbers there are for columns and what is none.
	SheetParts = sheetRare + dimensions
)

// Blocks gives how many blocks a sheet has.
func Blocks(clicks int) int { return (clicks + SheetRows - 1) / SheetRows }

// AppendSheet calls put with everything that is to be kept of a sheet of rows,
// which are in the order of Rows.ByOwner, and gives what Shares needs. data is
// valid until put returns.
func (e *Encoder) AppendSheet(r *Rows, rows []int32, put func(column, block int, data []byte)) *Places {
	var total Total
	total.addRows(r, rows, &totaller{})
	put(SheetTotal, 0, total.AppendDay([]byte{sheetVersion}))
	block, places := 0, appendVisits(r, rows, put)
	for some := range slices.Chunk(rows, SheetRows) {
		for column := range SheetColumns {
			r.Breathe()
			b := append(e.b[:0], sheetVersion)
			b = e.sheetColumn(b, column, r, some, places.of[block*SheetRows:])
			e.b = append(b, make([]byte, padding)...)
			put(column, block, e.b)
		}
		block++
	}
	return places
}

// shareOf says what share of the clicks of a sheet a value has more than that is
// counted in advance: so few are such that they take little room, and so many
// are what people ask for.
const shareOf = 256

// Shares calls share with the share of each value of each dimension that has
// many of the clicks of a sheet, by the place of the dimension in
// click.Dimensions, and put, as AppendSheet does, with what else is to be kept of
// them. places is what AppendSheet gave. data is the callee's: the version, the
// length of the Total and it, and what marker.append gives.
func Shares(r *Rows, rows []int32, places *Places, share func(dimension int, value Text, data []byte), put func(column, block int, data []byte)) {
	room := &totaller{}
	m := newMarker(r, rows, places)
	first, months := monthsOf(r, rows)
	for d, column := range columnOf {
		byValue := map[Text][]int32{}
		for _, i := range rows {
			v := r.dimension(column, i)
			byValue[v] = append(byValue[v], i)
		}
		r.Breathe()
		var frequent []Text
		for v, some := range byValue {
			if isRare(int64(len(some)), int64(len(rows))) {
				continue
			}
			frequent = append(frequent, v)
			r.Breathe()
			var total Total
			total.addRows(r, some, room)
			counts := total.AppendDay(nil)
			data := binary.AppendUvarint([]byte{sheetVersion}, uint64(len(counts)))
			share(d, v, m.append(append(data, counts...), some))
		}
		slices.Sort(frequent)
		for i := range months {
			r.Breathe()
			put(sheetWithout+d, i, newWithout(r, byValue, frequent, first+int64(i)).append(nil))
		}
	}
}

// mostMonths is how many months a sheet has at most where visitors are estimated
// in each.
const mostMonths = 2

// monthsOf gives the first month of a sheet and how many it has, 0 if they are
// too many for visitors to be estimated in each.
func monthsOf(r *Rows, rows []int32) (first int64, months int) {
	low, high := r.IDs[rows[0]], r.IDs[rows[0]]
	for _, i := range rows {
		low, high = min(low, r.IDs[i]), max(high, r.IDs[i])
	}
	return monthsFrom(low, high)
}

func monthsFrom(low, high click.ID) (first int64, months int) {
	first = MonthOf(DayOf(SlotOf(millis(low))))
	if n := MonthOf(DayOf(SlotOf(millis(high)))) - first + 1; n <= mostMonths {
		months = int(n)
	}
	return first, months
}

// dimension gives the text of a click in a column of columnOf.
func (r *Rows) dimension(column int, i int32) Text {
	if column < 0 {
		return Text(r.Classes[i].Trigger())
	}
	return r.Texts[column][i]
}

func (e *Encoder) sheetColumn(b []byte, column int, r *Rows, rows []int32, places []uint64) []byte {
	n := len(rows)
	ms := func(i int) uint64 { return uint64(millis(r.IDs[rows[i]])) }
	switch column {
	case sheetOwners:
		return appendRuns(b, n, func(i int) account.ID { return r.Owners[rows[i]] })
	case sheetSlots:
		return appendAbove(b, n, func(i int) uint64 { return ms(i) / SlotLength })
	case sheetMillis:
		return appendAbove(b, n, func(i int) uint64 { return ms(i) % SlotLength })
	case sheetVisitors:
		return appendAbove(b, n, func(i int) uint64 { return r.Visitors[rows[i]] })
	case sheetPlaces:
		return appendAbove(b, n, func(i int) uint64 { return places[i] })
	case sheetClass:
		return e.d.append(b, n, func(i int) uint64 { return uint64(r.Classes[rows[i]]) })
	}
	texts := r.Texts[column-sheetTexts]
	return e.d.append(b, n, func(i int) uint64 { return uint64(texts[rows[i]]) })
}

// totaller is room for addRows, empty before and after.
type totaller struct {
	texts, slots counter
	some         []int32
}

// addRows counts rows, but for their visitors, into an empty Total.
func (t *Total) addRows(r *Rows, rows []int32, room *totaller) {
	slots := &room.slots
	for g := range t.Counts {
		some := room.some[:0]
		for _, i := range rows {
			if r.Classes[i].people() == g {
				some = append(some, i)
				slots.add(Text(SlotOf(millis(r.IDs[i]))), 1)
			}
		}
		room.some = some
		t.Counts[g].count(r, some, &room.texts)
		list := slots.take()
		found := make([]slotClicks, len(list))
		for i, s := range list {
			found[i].number, found[i].clicks[g] = int64(s.text), s.n
		}
		t.slots = mergeSlots(t.slots, found)
	}
}

// Sheet gives access to a sheet, a block at a time, of which a column is read
// when it is asked for. It is for one goroutine.
type Sheet struct {
	// Load reads what AppendSheet put, in the room of buf if that is enough.
	Load func(column, block int, buf []byte) ([]byte, error)
	// Share reads what Shares put, nil for nothing, in the room of buf if that is
	// enough.
	Share func(dimension int, value Text, buf []byte) ([]byte, error)
	// Clicks is how many there are; First and Last are the least and the
	// greatest ID.
	Clicks      int
	First, Last click.ID
	// From AloneFrom up to, but without, AloneEnd no other clicks of the report
	// are, in milliseconds since 1970.
	AloneFrom, AloneEnd int64

	block, rows int
	buffers     [SheetColumns][]byte
	opened      [SheetColumns]bool
	err         error

	owners  []account.ID
	starts  []int // of the owners' runs, and at last rows
	numbers [sheetClass]above
	columns [SheetColumns]coded
	total   []byte
	share   []byte
	without []byte
	outline []byte
	packed  []byte
	chunk   Chunk
}

// open begins a block.
func (s *Sheet) open(block int) {
	s.block, s.rows = block, min(s.Clicks-block*SheetRows, SheetRows)
	s.opened = [SheetColumns]bool{}
}

// begin gives a reader of a column that was not asked for before.
func (s *Sheet) begin(column int) (raw []byte, r reader, ok bool) {
	if s.opened[column] {
		return nil, r, false
	}
	s.opened[column] = true
	raw, err := s.Load(column, s.block, s.buffers[column])
	if err != nil {
		s.fail(err)
		return nil, r, true
	}
	s.buffers[column] = raw
	if len(raw) < 1+padding || raw[0] != sheetVersion {
		return nil, r, true
	}
	return raw, reader{b: raw[1 : len(raw)-padding]}, true
}

func (s *Sheet) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *Sheet) number(column int) *above {
	a := &s.numbers[column]
	if raw, r, ok := s.begin(column); ok && !a.open(raw, r, s.rows) {
		s.fail(ErrDamaged)
	}
	return a
}

func (s *Sheet) slotColumn() *above    { return s.number(sheetSlots) }
func (s *Sheet) millisColumn() *above  { return s.number(sheetMillis) }
func (s *Sheet) visitorColumn() *above { return s.number(sheetVisitors) }
func (s *Sheet) visitColumn() *above   { return s.number(sheetPlaces) }

// slot gives the slot of a click.
func (s *Sheet) slot(i int) int64 { return int64(min(s.slotColumn().at(i), mostSlot)) }

func (s *Sheet) column(i int) *coded {
	column := &s.columns[i]
	if raw, r, ok := s.begin(i); ok && !column.open(raw, r, s.rows, sheetBits) {
		s.fail(ErrDamaged)
	}
	return column
}

// find gives the clicks of an owner in the block.
func (s *Sheet) find(owner account.ID) (from, to int) {
	if _, r, ok := s.begin(sheetOwners); ok {
		if s.owners, s.starts, ok = readRuns(r, s.rows, SheetRows, s.owners, s.starts); !ok {
			s.fail(ErrDamaged)
		}
	}
	if i, found := slices.BinarySearch(s.owners, owner); found {
		return s.starts[i], s.starts[i+1]
	}
	return 0, 0
}

// readRuns reads what appendRuns wrote. Where that is damaged, all is one run
// of 0.
func readRuns[T ~int64](r reader, rows, most int, values []T, starts []int) ([]T, []int, bool) {
	values, starts = values[:0], starts[:0]
	start, v, whole := 0, uint64(0), true
	for range r.number(most) {
		v += r.uvarint()
		n := r.number(most)
		whole = whole && n > 0 && (start == 0 || T(v) > values[len(values)-1])
		values, starts = append(values, T(v)), append(starts, start)
		start += n
	}
	if whole = whole && r.err() == nil && start == rows; !whole {
		values, starts = append(values[:0], 0), append(starts[:0], 0)
	}
	return values, append(starts, rows), whole
}

func appendRuns[T ~int64](dst []byte, n int, at func(i int) T) []byte {
	runs := 0
	for i := range n {
		if i == 0 || at(i) != at(i-1) {
			runs++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(runs))
	before := T(0)
	for i := 0; i < n; {
		v, from := at(i), i
		for i < n && at(i) == v {
			i++
		}
		dst = binary.AppendUvarint(dst, uint64(v)-uint64(before))
		dst = binary.AppendUvarint(dst, uint64(i-from))
		before = v
	}
	return dst
}
