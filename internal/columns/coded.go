package columns

import "encoding/binary"

// above are numbers above their least.
type above struct {
	least uint64
	zeros int // each is so many bits wider, which are 0
	packed
}

func (a *above) at(i int) uint64 { return a.least + a.packed.at(i)<<a.zeros }

// within reports that no number is below first, nor as high as end; where it
// does not, that may still be so.
func (a *above) within(first, end uint64) bool {
	most := a.least + (1<<a.width-1)<<a.zeros
	return a.least >= first && most >= a.least && most < end && a.width+a.zeros <= 64
}

// open reads what appendAbove wrote: r is at its beginning, raw ends with it and
// padding. It reports whether that is whole; if not, all numbers are 0.
func (a *above) open(raw []byte, r reader, rows int) bool {
	a.least, a.zeros = r.uvarint(), r.number(63)
	a.packed = openPacked(raw, &r, rows)
	if r.err() != nil {
		*a = above{}
		return false
	}
	return true
}

// numbers unpacks the numbers from one up to, but without, another.
func (a *above) numbers(dst []uint64, from, to int) []uint64 {
	dst = grown(dst, to-from)
	switch a.width {
	case 0:
		for i := range dst {
			dst[i] = a.least
		}
	case 64:
		for i := range dst {
			dst[i] = a.least + binary.LittleEndian.Uint64(a.b[8*(from+i):])<<a.zeros
		}
	default:
		bit, mask, zeros := from*a.width, uint64(1)<<a.width-1, a.zeros&63
		for i := range dst {
			dst[i] = a.least + binary.LittleEndian.Uint64(a.b[bit>>3:])>>(bit&7)&mask<<zeros
			bit += a.width
		}
	}
	return dst
}

// coded is a column with a dictionary, which has room for every place that the
// packed numbers can name.
type coded struct {
	values []uint64
	packed
}

// open reads what dictionary.append wrote: r is at its beginning, raw ends with
// it and padding. A place has at most so many bits. It reports whether that is
// whole; if not, all values are 0.
func (c *coded) open(raw []byte, r reader, rows, bits int) bool {
	c.values = c.values[:0]
	v := uint64(0)
	for range r.number(1 << bits) {
		v += r.uvarint()
		c.values = append(c.values, v)
	}
	c.packed = openPacked(raw, &r, rows)
	if c.width > bits || len(c.values) > 1<<min(c.width, bits) {
		r.fail()
	}
	whole := r.err() == nil
	if !whole {
		c.values, c.packed = c.values[:0], packed{}
	}
	for len(c.values) < 1<<c.width {
		c.values = append(c.values, 0)
	}
	return whole
}

// openPacked reads the packed numbers that end a column.
func openPacked(raw []byte, r *reader, rows int) packed {
	width := r.take(1)
	if r.bad {
		return packed{}
	}
	w := int(width[0])
	if w > widest && w != 64 {
		r.fail()
		return packed{}
	}
	from := len(raw) - padding - len(r.b)
	if r.take(packedLen(w, rows)); r.bad {
		return packed{}
	}
	return packed{b: raw[from:], width: w}
}

// grown gives a slice of n elements, in the room of another if that is enough.
func grown[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
