package columns

import (
	"encoding/binary"
	"slices"
)

// without are the visitors of a sheet and a month by one dimension, in such a way that those
// who came with any other than one of its frequent values can be estimated: each
// register has the greatest rank, the value that it came with, and the greatest
// rank of another value. All values that are not frequent are one, the first.
//
// It is kept as the frequent values, how many and their distances, and the
// registers, packed.
type without struct {
	values    []Text // sorted
	registers []withoutRegister
}

type withoutRegister struct {
	rank, other uint8
	value       uint8 // its place in values, and one more; 0 for all others
}

const (
	rankBits     = 6
	valueBits    = 8
	withoutBits  = 2*rankBits + valueBits
	mostFrequent = 1<<valueBits - 1
)

// newWithout counts the visitors of people in a month. byValue has the rows of
// all values, of which some are frequent.
func newWithout(r *Rows, byValue map[Text][]int32, frequent []Text, month int64) *without {
	first, end := FirstID(FirstDay(month)*slotsPerDay*SlotLength), FirstID(FirstDay(month+1)*slotsPerDay*SlotLength)
	w := &without{values: frequent, registers: make([]withoutRegister, registers)}
	for v, rows := range byValue {
		value, found := slices.BinarySearch(frequent, v)
		if value++; !found {
			value = 0
		}
		for _, row := range rows {
			if hash := r.Visitors[row]; hash != 0 && r.Classes[row].people() == 0 && r.IDs[row] >= first && r.IDs[row] < end {
				i, rank := register(hash)
				w.registers[i].add(uint8(value), rank)
			}
		}
	}
	return w
}

func (r *withoutRegister) add(value, rank uint8) {
	switch {
	case value == r.value:
		r.rank = max(r.rank, rank)
	case rank > r.rank:
		r.rank, r.other, r.value = rank, r.rank, value
	case rank > r.other:
		r.other = rank
	}
}

func (w *without) append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, sheetVersion), uint64(len(w.values)))
	before := Text(0)
	for _, v := range w.values {
		dst = binary.AppendUvarint(dst, uint64(v-before))
		before = v
	}
	dst = appendPacked(dst, withoutBits, registers, func(i int) uint64 {
		r := w.registers[i]
		return uint64(r.rank) | uint64(r.other)<<rankBits | uint64(r.value)<<(2*rankBits)
	})
	return append(dst, make([]byte, padding)...)
}

// mergeWithout counts the visitors that came with any value but one, in
// registers. It reports whether they are kept.
func (v *Visitors) mergeWithout(data []byte, value Text) bool {
	if len(data) < 1+padding || data[0] != sheetVersion {
		return false
	}
	r := reader{b: data[1 : len(data)-padding]}
	place, text := uint64(0), 0
	for i := range r.number(mostFrequent) {
		if text += r.number(mostText); Text(text) == value {
			place = uint64(i + 1)
		}
	}
	from := len(data) - padding - len(r.b)
	if r.take(packedLen(withoutBits, registers)); r.err() != nil || place == 0 {
		return false
	}
	if v.registers == nil {
		v.estimate()
	}
	p := packed{b: data[from:], width: withoutBits}
	const mask = 1<<rankBits - 1
	for i := range v.registers {
		is := p.at(i)
		rank := is & mask
		if is>>(2*rankBits) == place {
			rank = is >> rankBits & mask
		}
		v.registers[i] = max(v.registers[i], min(uint8(rank), mostRegister))
	}
	return true
}
