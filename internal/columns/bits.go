package columns

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// widest is the most bits of a number that is packed; wider ones take whole
// words.
const widest = 56

// widthOf gives the bits that numbers up to most are packed in.
func widthOf(most uint64) int {
	if w := bits.Len64(most); w <= widest {
		return w
	}
	return 64
}

// padding is what must stand after packed numbers, so that the last one can be
// read as a word.
const padding = 8

// appendPacked appends n numbers of a width, lowest bits first.
func appendPacked(dst []byte, width, n int, at func(i int) uint64) []byte {
	switch width {
	case 0:
		return dst
	case 64:
		for i := range n {
			dst = binary.LittleEndian.AppendUint64(dst, at(i))
		}
		return dst
	}
	var word uint64
	used := 0
	for i := range n {
		v := at(i)
		word |= v << used
		if used += width; used >= 64 {
			dst = binary.LittleEndian.AppendUint64(dst, word)
			used -= 64
			word = v >> (width - used)
		}
	}
	for ; used > 0; used -= 8 {
		dst = append(dst, byte(word))
		word >>= 8
	}
	return dst
}

// packedLen gives the bytes that n packed numbers take.
func packedLen(width, n int) int { return (width*n + 7) / 8 }

// packed are numbers that appendPacked wrote, with padding after them.
type packed struct {
	b     []byte
	width int
}

func (p packed) at(i int) uint64 {
	switch p.width {
	case 0:
		return 0
	case 64:
		return binary.LittleEndian.Uint64(p.b[8*i:])
	}
	bit := i * p.width
	return binary.LittleEndian.Uint64(p.b[bit>>3:]) >> (bit & 7) & (1<<p.width - 1)
}

// places unpacks the numbers from one up to, but without, another, which are
// places in a dictionary.
func (p packed) places(dst []uint16, from, to int) []uint16 {
	dst = slices.Grow(dst[:0], to-from)[:to-from]
	if p.width == 0 {
		clear(dst)
		return dst
	}
	// A word has four of them, whichever bit of its first byte they begin at.
	const _ = uint(64 - 7 - 4*sheetBits)
	width, mask := p.width, uint16(1)<<p.width-1
	bit, out := from*width, dst
	for len(out) >= 4 {
		word := binary.LittleEndian.Uint64(p.b[bit>>3:]) >> (bit & 7)
		out[0] = uint16(word) & mask
		word >>= width
		out[1] = uint16(word) & mask
		word >>= width
		out[2] = uint16(word) & mask
		word >>= width
		out[3] = uint16(word) & mask
		out, bit = out[4:], bit+4*width
	}
	for i := range out {
		out[i] = uint16(binary.LittleEndian.Uint64(p.b[bit>>3:])>>(bit&7)) & mask
		bit += width
	}
	return dst
}

// count counts the numbers from one up to, but without, another, which are
// places in a dictionary: by turns in two tables, since equal neighbours would
// wait for one another.
func (p packed) count(even, odd *[SheetRows]uint32, from, to int) {
	width, mask := p.width&63, uint64(1)<<p.width-1
	bit, n := from*p.width, to-from
	for ; n >= 4; n -= 4 { // as in places
		word := binary.LittleEndian.Uint64(p.b[bit>>3:]) >> (bit & 7)
		even[word&mask&(SheetRows-1)]++
		word >>= width
		odd[word&mask&(SheetRows-1)]++
		word >>= width
		even[word&mask&(SheetRows-1)]++
		word >>= width
		odd[word&mask&(SheetRows-1)]++
		bit += 4 * p.width
	}
	for ; n > 0; n-- {
		even[binary.LittleEndian.Uint64(p.b[bit>>3:])>>(bit&7)&mask&(SheetRows-1)]++
		bit += p.width
	}
}

// reader reads what was appended; after an error it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := r.b[0]
		r.b = r.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// number reads a number of at most limit.
func (r *reader) number(limit int) int {
	v := r.uvarint()
	if v > uint64(limit) {
		r.fail()
		return 0
	}
	return int(v)
}

// take reads n bytes.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) fail() { r.b, r.bad = nil, true }

// err tells whether all was read, and nothing else.
func (r *reader) err() error {
	if r.bad || len(r.b) > 0 {
		return ErrDamaged
	}
	return nil
}
