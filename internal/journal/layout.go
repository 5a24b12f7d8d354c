package journal

import (
	"encoding/binary"
	"hash/crc32"

	"kurz/internal/click"
)

// A segment is a header of headerSize bytes and records up to its end, each at
// a multiple of 8:
//
//	 0  CRC-32C of the LogID, the data, the length and the sequence
//	 4  length of the data, with recordMark in the top 8 bits
//	 8  sequence
//	16  data, then zeros up to a multiple of 8
//
// Numbers are little-endian. The first 8 bytes are written last: before that,
// there is no record.
//
// The header has three parts, each with a CRC-32C of its own that covers the
// LogID too: what the file is, written when it is made; the first sequence,
// written when it becomes the active segment; and the seal, written when
// nothing more will be appended.
const (
	headerSize   = 4096
	recordHeader = 16
	recordMark   = 0x1d // a byte that no HTTP header can hold
	recordAlign  = 8

	magic   = "kurzjrnl"
	version = 1

	fileAt, fileLen   = 0, 48
	firstAt, firstLen = 64, 8
	sealAt, sealLen   = 96, 24
	sumLen            = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seedOf gives the value that every checksum of a journal begins with.
func seedOf(id click.LogID) uint32 { return crc32.Checksum(id[:], castagnoli) }

// recordSize gives the room that a record with n bytes of data takes.
func recordSize(n int) int64 {
	return recordHeader + (int64(n)+recordAlign-1)/recordAlign*recordAlign
}

// putHead writes the part of a record before its data, which dataSum is the
// checksum of.
func putHead(dst []byte, seq uint64, dataSum uint32, n int) {
	binary.LittleEndian.PutUint32(dst[4:], recordMark<<24|uint32(n))
	binary.LittleEndian.PutUint64(dst[8:], seq)
	binary.LittleEndian.PutUint32(dst, crc32.Update(dataSum, castagnoli, dst[4:recordHeader]))
}

// header is what a segment's header says, as far as its parts are intact.
type header struct {
	file   bool // the first part is intact
	id     click.LogID
	number uint64
	size   int64

	first uint64 // 0: not known, or never active

	sealed bool
	seal   seal
}

// seal says where a segment ends.
type seal struct {
	end  int64  // after the last byte that may belong to a record
	last uint64 // the last intact sequence, first-1 for none
	// bound is the highest sequence that may have been given to a record of
	// the segment; above last where a crash may have cost records.
	bound uint64
}

func filePart(id click.LogID, number uint64, size int64) []byte {
	b := make([]byte, fileLen+sumLen)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	copy(b[16:], id[:])
	binary.LittleEndian.PutUint64(b[32:], number)
	binary.LittleEndian.PutUint64(b[40:], uint64(size))
	return withSum(b, seedOf(id))
}

func firstPart(seed uint32, first uint64) []byte {
	b := make([]byte, firstLen+sumLen)
	binary.LittleEndian.PutUint64(b, first)
	return withSum(b, seed)
}

func sealPart(seed uint32, s seal) []byte {
	b := make([]byte, sealLen+sumLen)
	binary.LittleEndian.PutUint64(b, uint64(s.end))
	binary.LittleEndian.PutUint64(b[8:], s.last)
	binary.LittleEndian.PutUint64(b[16:], s.bound)
	return withSum(b, seed)
}

func withSum(b []byte, seed uint32) []byte {
	n := len(b) - sumLen
	binary.LittleEndian.PutUint32(b[n:], crc32.Update(seed, castagnoli, b[:n]))
	return b
}

func sumOK(b []byte, seed uint32) bool {
	n := len(b) - sumLen
	return crc32.Update(seed, castagnoli, b[:n]) == binary.LittleEndian.Uint32(b[n:])
}

// logOf gives the LogID that a header names, if its first part is intact.
func logOf(b []byte) (id click.LogID, ok bool) {
	if len(b) < fileAt+fileLen+sumLen || string(b[:8]) != magic {
		return id, false
	}
	copy(id[:], b[16:32])
	return id, sumOK(b[fileAt:fileAt+fileLen+sumLen], seedOf(id))
}

// versionOf gives the version that a header with an intact first part names.
func versionOf(b []byte) uint32 { return binary.LittleEndian.Uint32(b[8:]) }

// parseHeader reads what is intact of the header of a segment of the log id.
func parseHeader(b []byte, id click.LogID) header {
	var h header
	if len(b) < headerSize {
		b = append(b[:len(b):len(b)], make([]byte, headerSize-len(b))...)
	}
	seed := seedOf(id)
	if owner, ok := logOf(b); ok && owner == id && versionOf(b) == version {
		h.file, h.id = true, owner
		h.number = binary.LittleEndian.Uint64(b[32:])
		h.size = int64(binary.LittleEndian.Uint64(b[40:]))
	}
	if p := b[firstAt : firstAt+firstLen+sumLen]; sumOK(p, seed) {
		h.first = binary.LittleEndian.Uint64(p)
	}
	if p := b[sealAt : sealAt+sealLen+sumLen]; sumOK(p, seed) {
		h.seal = seal{
			end:   int64(binary.LittleEndian.Uint64(p)),
			last:  binary.LittleEndian.Uint64(p[8:]),
			bound: binary.LittleEndian.Uint64(p[16:]),
		}
		h.sealed = h.first > 0 && h.seal.end >= headerSize && h.seal.last+1 >= h.first
	}
	return h
}
