package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"kurz/internal/click"
)

// HeaderSize is where a segment's first record begins.
const HeaderSize = headerSize

// RecordSize gives the room that a record with n bytes of data takes.
func RecordSize(n int) int64 { return recordSize(n) }

// ScanBytes gives what the reader of segments finds in one.
func ScanBytes(segment []byte, id click.LogID) (records []click.Record, damaged uint64) {
	h := parseHeader(segment, id)
	var s scanner
	s.reset(bytes.NewReader(segment), seedOf(id), int64(len(segment)), max(1, h.first), h.first == 0)
	if h.sealed {
		s.end, s.expect = h.seal.end, h.seal.last
	}
	for {
		seq, data, n, ok := s.next()
		damaged += n
		if !ok {
			return records, damaged
		}
		records = append(records, click.Record{Sequence: seq, Data: bytes.Clone(data)})
	}
}

func withData(seed uint32, data []byte) uint32 { return crc32.Update(seed, castagnoli, data) }

// EncodeSegment gives a segment with records from the sequence first up.
func EncodeSegment(id click.LogID, first uint64, records ...[]byte) []byte {
	head := make([]byte, headerSize)
	copy(head[fileAt:], filePart(id, 1, MinSegmentSize))
	copy(head[firstAt:], firstPart(seedOf(id), first))
	b := bytes.Clone(head)
	for i, data := range records {
		r := make([]byte, recordSize(len(data)))
		putHead(r, first+uint64(i), withData(seedOf(id), data), len(data))
		copy(r[recordHeader:], data)
		b = append(b, r...)
	}
	return b
}

// Durable gives up to where records are safe against a power cut.
func Durable(j *Journal) uint64 {
	j.durable.mu.Lock()
	defer j.durable.mu.Unlock()
	return j.durable.through
}

// FailSync lets the journal believe that a sync of what was appended failed.
func FailSync(j *Journal, err error) {
	j.mu.Lock()
	through := j.next
	j.mu.Unlock()
	j.durable.reach(through, err)
}

// Mapped reports whether the segment that is appended to is in mapped memory.
func Mapped(j *Journal) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.active != nil && j.active.memory != nil
}

// SetVersion makes a segment say that it has another version.
func SetVersion(segment []byte, id click.LogID, v uint32) {
	part := segment[fileAt : fileAt+fileLen+sumLen]
	binary.LittleEndian.PutUint32(part[8:], v)
	withSum(part, seedOf(id))
}

// Forget takes from a segment what of its header is written late, as a power
// cut does that takes the page of the header and leaves records.
func Forget(segment []byte) {
	clear(segment[firstAt : firstAt+firstLen+sumLen])
	clear(segment[sealAt : sealAt+sealLen+sumLen])
}
