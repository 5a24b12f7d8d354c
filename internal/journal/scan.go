package journal

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// scanner finds the intact records between two offsets of a segment. It makes
// no use of what it can't verify: any bytes will do.
type scanner struct {
	src  io.ReaderAt
	seed uint32
	// off is where the next record should begin, end where there are none.
	off, end int64
	// expect is the sequence of the last record before end; 0: not known.
	expect uint64
	// last is the sequence of the last intact record, or the one before the
	// first; anchor is where the record after it should begin. Sequences in a
	// segment have no gap, so that between anchor and another record there is
	// room for a known number of records.
	last   uint64
	anchor int64
	// adrift is set while last is only a lower bound.
	adrift bool
	// solid is after the last bytes seen that are neither a record nor zeros.
	solid int64

	window []byte // of src, from base
	base   int64
}

// windowSize is how much is read from a file at once.
const windowSize = 256 << 10

// reset makes s begin anew at the first record of a segment, whose sequence is
// first, or, adrift, anything from first up.
func (s *scanner) reset(src io.ReaderAt, seed uint32, end int64, first uint64, adrift bool) {
	*s = scanner{
		src: src, seed: seed, off: headerSize, end: end,
		last: first - 1, anchor: headerSize, adrift: adrift, window: s.window[:0],
	}
}

// next gives the next intact record and how many damaged ones, as far as can
// be told, were left out before it. The data is valid until the next call. At
// the end ok is false.
func (s *scanner) next() (seq uint64, data []byte, damaged uint64, ok bool) {
	from, solid := s.off, s.solid
	for s.off+recordHeader <= s.end {
		b := s.at(s.off, recordHeader)
		if binary.LittleEndian.Uint64(b) == 0 {
			s.skipZeros()
			continue
		}
		if seq, data, ok = s.record(b); !ok {
			s.off += recordAlign
			s.solid = s.off
			continue
		}
		if from < s.off {
			damaged = s.missing(seq)
		}
		s.last, s.adrift = seq, false
		s.off += recordSize(len(data))
		s.anchor = s.off
		return seq, data, damaged, true
	}
	return 0, nil, s.finish(solid), false
}

// finish goes to the end, where no further record has room, and gives how many
// damaged records it comes after. Nothing but zeros was seen past solid before.
func (s *scanner) finish(solid int64) uint64 {
	if s.off < s.end {
		for _, c := range s.at(s.off, int(s.end-s.off)) {
			if c != 0 {
				s.solid = s.end
			}
		}
		s.off = s.end
	}
	var damaged uint64
	if s.solid > solid {
		damaged = 1
	}
	if s.expect > s.last {
		damaged = s.missing(s.expect + 1)
		s.last, s.anchor = s.expect, s.off
	}
	return damaged
}

// missing tells how many records lie between the last and seq.
func (s *scanner) missing(seq uint64) uint64 {
	if n := seq - s.last - 1; !s.adrift && n > 0 {
		return n
	}
	return 1
}

// record gives the record that begins at off with the header b, if it is
// intact.
func (s *scanner) record(b []byte) (seq uint64, data []byte, ok bool) {
	sum := binary.LittleEndian.Uint32(b)
	word := binary.LittleEndian.Uint32(b[4:])
	seq = binary.LittleEndian.Uint64(b[8:])
	n := int(word & 0xffffff)
	if word>>24 != recordMark || n == 0 || n > MaxRecord || s.off+recordSize(n) > s.end || !s.plausible(seq) {
		return 0, nil, false
	}
	b = s.at(s.off, recordHeader+n)
	data = b[recordHeader:]
	return seq, data, crc32.Update(crc32.Update(s.seed, castagnoli, data), castagnoli, b[4:recordHeader]) == sum
}

// plausible reports whether a record with this sequence can begin at off. This
// is cheap, and keeps hostile bytes from costing a checksum at every step.
func (s *scanner) plausible(seq uint64) bool {
	if seq <= s.last {
		return false
	}
	return s.adrift || seq-s.last-1 <= uint64(s.off-s.anchor)/recordHeader
}

// zeros are compared with many bytes at a time.
const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"

// skipZeros moves off to the next word that is not 0, or to where no record has
// room.
func (s *scanner) skipZeros() {
	for s.off+recordHeader <= s.end {
		b := s.at(s.off, int(min(windowSize, s.end-s.off)))
		for len(b) >= len(zeros) && string(b[:len(zeros)]) == zeros {
			b = b[len(zeros):]
			s.off += int64(len(zeros))
		}
		for len(b) >= recordAlign && binary.LittleEndian.Uint64(b) == 0 {
			b = b[recordAlign:]
			s.off += recordAlign
		}
		if len(b) >= recordAlign {
			return
		}
	}
}

// at gives n bytes at off, which lie before end. What can't be read is zeros.
func (s *scanner) at(off int64, n int) []byte {
	if off < s.base || off+int64(n) > s.base+int64(len(s.window)) {
		s.fill(off)
	}
	i := int(off - s.base)
	return s.window[i : i+n]
}

func (s *scanner) fill(off int64) {
	n := int(min(windowSize, s.end-off))
	if cap(s.window) < n {
		s.window = make([]byte, n, windowSize)
	}
	s.window, s.base = s.window[:n], off
	got, err := s.src.ReadAt(s.window, off)
	if got == n {
		return
	}
	clear(s.window[got:])
	if err == nil || err == io.EOF {
		return
	}
	// A bad sector: read around it.
	const sector = 4096
	for at := 0; at < n; at += sector {
		part := s.window[at:min(at+sector, n)]
		if got, err := s.src.ReadAt(part, off+int64(at)); err != nil {
			clear(part[got:])
		}
	}
}
