package columns

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

// The visitors of a day are, after the version, how many hashes of people and
// of others there are, and they, sorted. Then come the slots, each with its
// distance from the one before, how many of either it has, and their places
// among the hashes, each in placeBytes.

// AppendVisitors appends what MergeVisitors reads.
func (s *Slots) AppendVisitors(dst []byte) []byte {
	var all [2][]uint64
	for g := range all {
		for i := range s.list {
			all[g] = append(all[g], s.list[i].visitors[g]...)
		}
		slices.Sort(all[g])
		all[g] = slices.Compact(all[g])
	}
	dst = append(dst, rollupVersion)
	for _, hashes := range all {
		dst = binary.AppendUvarint(dst, uint64(len(hashes)))
	}
	dst = appendHashes(appendHashes(dst, all[0]), all[1])
	before := int64(0)
	for i := range s.list {
		slot := &s.list[i]
		dst = binary.AppendUvarint(dst, uint64(slot.number-before))
		before = slot.number
		for _, hashes := range slot.visitors {
			dst = binary.AppendUvarint(dst, uint64(len(hashes)))
		}
		for g, hashes := range slot.visitors {
			at := 0
			for _, hash := range hashes {
				n, _ := slices.BinarySearch(all[g][at:], hash)
				at += n
				place := binary.LittleEndian.AppendUint32(nil, uint32(at))
				dst = append(dst, place[:placeBytes(len(all[g]))]...)
			}
		}
	}
	return dst
}

// placeBytes gives how many bytes a place among n hashes takes.
func placeBytes(n int) int { return (bits.Len(uint(max(n, 2)-1)) + 7) / 8 }

// daySet are the visitors of a day, of people and of others.
type daySet struct {
	hashes [2][]byte
	slots  reader
}

// mostVisitors is how many visitors of a day there are at most.
const mostVisitors = 1<<32 - 1

// open reads what AppendVisitors wrote up to the slots, and keeps it.
func (s *daySet) open(b []byte) error {
	s.slots = reader{b: b}
	r := &s.slots
	if version := r.take(1); r.bad || version[0] != rollupVersion {
		return ErrDamaged
	}
	n := [2]int{r.number(mostVisitors), r.number(mostVisitors)}
	for g := range n {
		s.hashes[g] = r.take(8 * n[g])
	}
	if r.bad {
		return ErrDamaged
	}
	return nil
}

// len gives how many hashes there are of people or of others.
func (s *daySet) len(g int) int { return len(s.hashes[g]) / 8 }

func (s *daySet) hash(g, place int) uint64 {
	return binary.LittleEndian.Uint64(s.hashes[g][8*place:])
}

// eachSlot calls fn with the places that the visitors of each slot have, some
// bytes each.
func (s *daySet) eachSlot(fn func(number int64, places [2][]byte)) error {
	size := [2]int{placeBytes(s.len(0)), placeBytes(s.len(1))}
	return s.slots.slots(func(number int64, r *reader) {
		n := [2]int{r.number(s.len(0)), r.number(s.len(1))}
		places := [2][]byte{r.take(n[0] * size[0]), nil}
		places[1] = r.take(n[1] * size[1])
		if !r.bad {
			fn(number, places)
		}
	})
}

// eachPlace calls fn with the places in what daySet.eachSlot gives of n hashes;
// those that are none are left out.
func eachPlace(places []byte, n int, fn func(place int)) {
	size := placeBytes(n)
	for ; len(places) >= size; places = places[size:] {
		place := int(places[0])
		for i := 1; i < size; i++ {
			place |= int(places[i]) << (8 * i)
		}
		if place < n {
			fn(place)
		}
	}
}

// MergeVisitors adds visitors that AppendVisitors wrote.
func (s *Slots) MergeVisitors(b []byte) error {
	var day daySet
	if err := day.open(b); err != nil {
		return err
	}
	return day.eachSlot(func(number int64, places [2][]byte) {
		for g := range places {
			list := make([]uint64, 0, len(places[g])/placeBytes(day.len(g)))
			eachPlace(places[g], day.len(g), func(place int) { list = append(list, day.hash(g, place)) })
			if len(list) > 0 {
				to := s.at(number)
				to.visitors[g] = union(to.visitors[g], list)
			}
		}
	})
}

// sets counts the visitors that no number and no sketch tells of.
func (p *plan) sets() error {
	s := sets{plan: p}
	err := p.each(needVisitors|needBucket, func(first, last int64) error {
		return p.from.Rollups(SlotVisitors, first, last, s.day)
	})
	s.settle()
	return err
}

// sets are the visitors of one bucket after the other.
type sets struct {
	*plan
	daySet
	marks [2][]uint64 // a bit for each visitor of the day
	// The lists of one bucket so far, each sorted; key is its own, slot is in it.
	lists       [][]uint64
	key, slot   int64
	first, last int64 // days
}

func (s *sets) day(day int64, data []byte) error {
	if err := s.open(data); err != nil {
		return err
	}
	needs := s.needs[day-s.plan.day]
	whole, one := s.whole(day, day), s.oneBucket(day, day)
	if whole && needs&needVisitors != 0 {
		for g, asked := range s.c.filter.groups {
			if asked {
				s.c.visitors.addHashes(&reader{b: s.hashes[g]}, s.len(g))
			}
		}
		needs &^= needVisitors
	}
	if whole && one && needs&needBucket != 0 {
		s.begin(day, day*slotsPerDay)
		for g := range s.marks {
			s.marks[g] = marked(s.marks[g], s.len(g))
		}
		s.end()
		needs &^= needBucket
	}
	if needs == 0 {
		return nil
	}
	return s.bySlot(day, needs)
}

// bySlot counts the visitors of a day that is divided.
func (s *sets) bySlot(day int64, needs need) error {
	for g := range s.marks {
		s.marks[g] = unmarked(s.marks[g], s.len(g))
	}
	c, key := s.c, int64(0)
	open := false
	err := s.eachSlot(func(number int64, places [2][]byte) {
		if !s.has(number) || DayOf(number) != day {
			return
		}
		if is := c.key(number); needs&needBucket != 0 && (!open || is != key) {
			if open {
				s.end()
			}
			s.begin(day, number)
			key, open = is, true
		}
		for g, asked := range c.filter.groups {
			if !asked {
				continue
			}
			if needs&needBucket != 0 {
				s.mark(g, places[g])
			}
			if needs&needVisitors != 0 {
				eachPlace(places[g], s.len(g), func(place int) { c.visitors.Add(s.hash(g, place)) })
			}
		}
	})
	if open {
		s.end()
	}
	return err
}

// mark marks visitors by their places.
func (s *sets) mark(g int, places []byte) {
	marks, n := s.marks[g], s.len(g)
	if placeBytes(n) != 2 {
		eachPlace(places, n, func(place int) { marks[place>>6] |= 1 << (place & 63) })
		return
	}
	for ; len(places) >= 2; places = places[2:] {
		if place := int(binary.LittleEndian.Uint16(places)); place < n {
			marks[place>>6] |= 1 << (place & 63)
		}
	}
}

// unmarked gives marks for n visitors, in the room of others if that is enough.
func unmarked(marks []uint64, n int) []uint64 {
	marks = grown(marks, (n+63)/64)
	clear(marks)
	return marks
}

func marked(marks []uint64, n int) []uint64 {
	marks = grown(marks, (n+63)/64)
	for i := range marks {
		marks[i] = math.MaxUint64
	}
	if rest := n % 64; rest > 0 {
		marks[len(marks)-1] = 1<<rest - 1
	}
	return marks
}

// begin begins a list of visitors of the bucket that a slot is in.
func (s *sets) begin(day, slot int64) {
	if key := s.c.key(slot); len(s.lists) == 0 || key != s.key {
		s.settle()
		s.key, s.slot, s.first = key, slot, day
	}
	s.last = day
}

// end adds those who are marked to the bucket's lists, or to its registers if it
// has any, and unmarks them.
func (s *sets) end() {
	v := s.c.bucket(s.slot)
	for g, asked := range s.c.filter.groups {
		switch {
		case !asked:
		case v.registers != nil:
			s.eachMarked(g, v.register)
		default:
			n := 0
			for _, word := range s.marks[g] {
				n += bits.OnesCount64(word)
			}
			list := make([]uint64, 0, n)
			s.eachMarked(g, func(hash uint64) { list = append(list, hash) })
			if len(list) > 0 {
				s.lists = append(s.lists, list)
			}
		}
	}
}

// eachMarked calls fn with those who are marked, and unmarks them.
func (s *sets) eachMarked(g int, fn func(hash uint64)) {
	for i, word := range s.marks[g] {
		s.marks[g][i] = 0
		for ; word != 0; word &= word - 1 {
			fn(s.hash(g, i<<6|bits.TrailingZeros64(word)))
		}
	}
}

// mostLists is how many lists are merged to be counted.
const mostLists = 4

// settle counts the visitors of the bucket, and begins anew.
func (s *sets) settle() {
	if len(s.lists) == 0 {
		return
	}
	v := s.c.bucket(s.slot)
	if v.empty() && len(s.lists) <= mostLists && s.within(s.key, s.first, s.last) {
		// Nobody else comes into this bucket: its number is enough.
		v.closed = int64(distinct(s.lists))
	} else {
		for _, list := range s.lists {
			v.addAll(list)
		}
	}
	s.lists = s.lists[:0]
}

// distinct gives how many different numbers there are in lists, each of which
// is sorted.
func distinct(lists [][]uint64) int {
	for len(lists) > 2 {
		last := len(lists) - 1
		lists = append(lists[:last-1:last-1], union(lists[last-1], lists[last]))
	}
	if len(lists) == 1 {
		return len(lists[0])
	}
	a, b, n := lists[0], lists[1], 0
	for i, j := 0, 0; ; n++ {
		if i >= len(a) {
			return n + len(b) - j
		}
		if j >= len(b) {
			return n + len(a) - i
		}
		x, y := a[i], b[j]
		if x <= y {
			i++
		}
		if y <= x {
			j++
		}
	}
}
