package columns

import (
	"encoding/binary"
	"math/bits"
)

// The marks of a share are the visits in which somebody made a click with its
// value: of people, then of all others, and each in four lists, by what is known
// of when that was. So the visitors of a day, and of both parts of a day that a
// time zone divides, are counted without a look at single clicks.
const (
	markedBoth  = iota // in the quarters of an hour of the visit's first and last click, and maybe between
	markedFirst        // in that of the first alone
	markedLast         // in that of the last alone
	markedElse         // in quarters that are told after the list
	markLists
)

// noQuarters are those of no clicks.
var noQuarters = quarters{first: slotsPerDay}

// marker makes marks. It is empty before and after each value.
type marker struct {
	rows     *Rows
	places   *Places
	of       []uint64   // by row
	quarters []quarters // by place
	marks    []uint64   // a bit for each place
	lists    [markLists][]int
	people   Visitors // their registers, all 0
}

func newMarker(r *Rows, rows []int32, p *Places) *marker {
	n := len(p.quarters)
	m := &marker{rows: r, places: p, of: make([]uint64, r.Len()), quarters: make([]quarters, n), marks: unmarked(nil, n)}
	for i, row := range rows {
		m.of[row] = p.of[i]
	}
	for i := range m.quarters {
		m.quarters[i] = noQuarters
	}
	m.people.estimate()
	return m
}

// sketchFrom is from how many visits on an estimate of the visitors is shorter
// than what is read of them else.
const sketchFrom = registers / 2 * 8 / visitBits

// append appends the marks of some rows and, where there are many visits of people,
// an estimate of their visitors.
func (m *marker) append(dst []byte, rows []int32) []byte {
	visits := 0
	for g := range len(Counts{}) {
		for n, row := range rows {
			if n%breathRows == breathRows-1 {
				m.rows.Breathe()
			}
			place := m.of[row]
			if place == 0 || m.rows.Classes[row].people() != g {
				continue
			}
			m.marks[place>>6] |= 1 << (place & 63)
			m.quarters[place].add(quarterOf(m.rows.IDs[row]))
		}
		group := m.appendGroup(nil)
		dst = append(binary.AppendUvarint(dst, uint64(len(group))), group...)
		if g == 0 {
			for _, list := range m.lists {
				visits += len(list)
			}
		}
	}
	if visits < sketchFrom {
		return dst
	}
	for _, row := range rows {
		if hash := m.rows.Visitors[row]; hash != 0 && m.rows.Classes[row].people() == 0 {
			m.people.register(hash)
		}
	}
	m.rows.Breathe()
	dst = m.people.Append(dst)
	clear(m.people.registers)
	return dst
}

func (m *marker) appendGroup(dst []byte) []byte {
	for i := range m.lists {
		m.lists[i] = m.lists[i][:0]
	}
	var others []byte
	for i, word := range m.marks {
		m.marks[i] = 0
		for ; word != 0; word &= word - 1 {
			place := i<<6 + bits.TrailingZeros64(word)
			is, visit := m.quarters[place], m.places.quarters[place]
			list := markedElse
			switch is {
			case visit:
				list = markedBoth
			case quarters{visit.first, visit.first}:
				list = markedFirst
			case quarters{visit.last, visit.last}:
				list = markedLast
			default:
				others = append(others, is.first, is.last)
			}
			m.lists[list] = append(m.lists[list], place)
			m.quarters[place] = noQuarters
		}
	}
	m.rows.Breathe()
	for _, list := range m.lists {
		dst = appendPlaces(dst, list, len(m.quarters))
	}
	return append(dst, others...)
}

// wordsFor gives how many words have a bit for each place before an end.
func wordsFor(end int) int { return (end + 63) / 64 }

// appendPlaces appends how many places there are and they, which are sorted and
// before an end: as words of a bit each if that is shorter, else their distances.
func appendPlaces(dst []byte, list []int, end int) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	if words := wordsFor(end); len(list) > 8*words {
		marks := make([]uint64, words)
		for _, place := range list {
			marks[place>>6] |= 1 << (place & 63)
		}
		for _, word := range marks {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		}
		return dst
	}
	before := 0
	for _, place := range list {
		dst = binary.AppendUvarint(dst, uint64(place-before))
		before = place
	}
	return dst
}

// markShares counts the visitors of values by their marks, unless there are days
// in more than two pieces.
func (s *scan) markShares(list []share) (all bool, err error) {
	if err := s.readVisits(); err != nil {
		return false, err
	}
	v := &s.Counter.sheet.visits
	if v.most > 2 {
		return false, nil
	}
	if len(v.days) == 0 {
		return true, nil
	}
	if v.most == 2 {
		if err := s.readQuarters(); err != nil {
			return false, err
		}
	}
	var sketches []*reader
	for _, one := range list {
		r := &reader{b: one.marks}
		for _, asked := range s.filter.groups {
			group := &reader{b: r.take(r.number(len(r.b)))}
			if asked {
				v.mark(group)
				r.bad = r.bad || group.err() != nil
			}
		}
		if r.bad {
			return false, ErrDamaged
		}
		if len(r.b) > 0 {
			sketches = append(sketches, r)
		}
	}
	// What is estimated already needs no more than estimates.
	if v.sketched = s.filter.groupsAsked() == 0 && len(sketches) == len(list) && s.visitors.registers != nil; v.sketched {
		for _, r := range sketches {
			if s.visitors.merge(r); r.err() != nil {
				return false, ErrDamaged
			}
		}
	}
	return true, s.countMarked()
}

func (s *scan) readQuarters() (err error) {
	v := &s.Counter.sheet.visits
	if v.quarterRoom, err = s.Load(sheetVisits, visitQuarters, v.quarterRoom); err != nil {
		return err
	}
	if len(v.quarterRoom) != 2*v.end()-1 || v.quarterRoom[0] != sheetVersion {
		return ErrDamaged
	}
	v.quarters = v.quarterRoom[1:]
	return nil
}

// end gives the place after the last one.
func (v *visits) end() int { return v.days[len(v.days)-1].end }

// mark marks what appendGroup wrote.
func (v *visits) mark(r *reader) {
	if v.most == 1 {
		for list := range markLists {
			if n := v.markPlaces(r, v.marks); list == markedElse {
				r.take(2 * n)
			}
		}
		return
	}
	for list := range markLists {
		v.listed = unmarked(v.listed, v.end())
		n, told := v.markPlaces(r, v.listed), []byte(nil)
		if list == markedElse {
			told = r.take(2 * n)
		}
		if r.bad || !v.markDivided(list, told) {
			r.fail()
			return
		}
	}
}

// markDivided marks the visits of a list in the pieces of their days. told are the
// quarters of markedElse. It reports whether all is as it should be.
func (v *visits) markDivided(list int, told []byte) bool {
	day, base := 0, 0
	for i, word := range v.listed {
		for ; word != 0; word &= word - 1 {
			place := i<<6 + bits.TrailingZeros64(word)
			for place >= v.days[day].end {
				if day++; day == len(v.days) {
					return false
				}
				base = int(v.days[day].number-v.days[0].number) * slotsPerDay
			}
			if place == 0 {
				return false
			}
			first, last := v.quarters[2*place-2], v.quarters[2*place-1]
			switch list {
			case markedFirst:
				last = first
			case markedLast:
				first = last
			case markedElse:
				if len(told) < 2 {
					return false
				}
				first, last, told = told[0], told[1], told[2:]
			}
			if max(first, last) >= slotsPerDay {
				return false
			}
			at := int(v.turns[base+int(first)])<<v.width | place
			v.marks[at>>6] |= 1 << (at & 63)
			at = int(v.turns[base+int(last)])<<v.width | place
			v.marks[at>>6] |= 1 << (at & 63)
		}
	}
	return true
}

// markPlaces marks what appendPlaces wrote, and gives how many there are.
func (v *visits) markPlaces(r *reader, marks []uint64) int {
	end := v.end()
	n, words := r.number(end), wordsFor(end)
	if n > 8*words {
		data := r.take(8 * words)
		for i := range len(data) / 8 {
			marks[i] |= binary.LittleEndian.Uint64(data[8*i:])
		}
		return n
	}
	place := 0
	for range n {
		if place += r.number(end); place >= end {
			r.fail()
			return 0
		}
		marks[place>>6] |= 1 << (place & 63)
	}
	return n
}
