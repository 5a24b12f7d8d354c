package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"kurz/internal/click"
)

// segment is one file of a journal. What changes after it was made is guarded
// by Journal.mu, but memory of a retired segment by Journal.syncing.
type segment struct {
	number uint64
	path   string
	file   *os.File // nil once nothing is appended any more
	size   int64    // of the file
	seed   uint32

	first uint64 // sequence of the first record; 0 before it is active
	last  uint64 // of the last intact record, once sealed
	end   int64  // after the last record; in an old segment, after the last byte that is not 0
	// adrift says that first is only the least that it may be.
	adrift bool

	memory  []byte             // the mapping; nil where writes are plain
	scratch []byte             // for plain writes
	head    [recordHeader]byte // for mapped ones
	synced  int64              // up to here it is durable; guarded by Journal.syncing
}

const suffix = ".segment"

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, suffix))
}

// numberOf gives the number in a segment's file name.
func numberOf(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, err == nil
}

// errNoAllocation says that the file system can't promise space: a write
// through a mapping could then die of a full disk.
var errNoAllocation = errors.New("space can't be allocated ahead on this file system")

// allocateFile makes a file of opts.SegmentSize bytes, durably, but for its
// directory entry. plain reports that it must not be mapped.
func allocateFile(path string, opts Options) (f *os.File, plain bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, false, err
	}
	err = opts.Allocate(f, opts.SegmentSize)
	if plain = errors.Is(err, errNoAllocation); plain {
		err = f.Truncate(opts.SegmentSize)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, false, fmt.Errorf("allocating %s: %w", path, err)
	}
	return f, plain, nil
}

// newSegment makes a segment of a file that allocateFile made and names what
// it is. When it returns, the file has its name durably.
func newSegment(f *os.File, dir string, id click.LogID, number uint64, opts Options, plain bool) (*segment, error) {
	s := &segment{
		number: number, path: segmentPath(dir, number), file: f,
		size: opts.SegmentSize, seed: seedOf(id), end: headerSize, synced: 0,
	}
	if _, err := f.WriteAt(filePart(id, number, s.size), fileAt); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, err
	}
	if !plain && !opts.PlainWrites && canMap {
		memory, err := mapFile(f, s.size)
		if err != nil {
			return nil, fmt.Errorf("mapping %s: %w", s.path, err)
		}
		prepare(memory, 0)
		s.memory = memory
	}
	return s, nil
}

func (s *segment) fits(n int) bool { return s.end+recordSize(n) <= s.size }

// activate makes first the sequence of the first record.
func (s *segment) activate(first uint64) error {
	s.first = first
	return s.write(firstAt, firstPart(s.seed, first))
}

// seal notes that nothing will be appended any more.
func (s *segment) seal(last, bound uint64) error {
	s.last = last
	return s.write(sealAt, sealPart(s.seed, seal{end: s.end, last: last, bound: bound}))
}

// put appends a record. After an error nothing was appended.
func (s *segment) put(seq uint64, dataSum uint32, data []byte) error {
	size := recordSize(len(data))
	var err error
	if s.memory != nil {
		putHead(s.head[:], seq, dataSum, len(data))
		err = putMapped(s.memory[s.end:s.end+size], s.head[:], data)
	} else {
		s.scratch = append(s.scratch[:0], make([]byte, size)...)
		putHead(s.scratch, seq, dataSum, len(data))
		copy(s.scratch[recordHeader:], data)
		_, err = s.file.WriteAt(s.scratch, s.end)
	}
	if err == nil {
		s.end += size
	}
	return err
}

// putMapped writes a record into memory, its first 8 bytes last.
func putMapped(dst, head, data []byte) (err error) {
	defer onFault(debug.SetPanicOnFault(true), &err)
	n := copy(dst[recordHeader:], data)
	clear(dst[recordHeader+n:])
	copy(dst[8:recordHeader], head[8:])
	copy(dst[:8], head[:8])
	return nil
}

// onFault, deferred, turns the death of a mapping, as by a failing disk, into
// an error.
func onFault(before bool, err *error) {
	debug.SetPanicOnFault(before)
	if r := recover(); r != nil {
		fault, ok := r.(interface {
			error
			Addr() uintptr
		})
		if !ok {
			panic(r) //nolint:forbidigo // not ours to swallow
		}
		*err = fmt.Errorf("writing through a mapping: %w", fault)
	}
}

// write writes into the header.
func (s *segment) write(at int64, b []byte) (err error) {
	if s.memory == nil {
		_, err = s.file.WriteAt(b, at)
		return err
	}
	defer onFault(debug.SetPanicOnFault(true), &err)
	copy(s.memory[at:], b)
	return nil
}

// sync makes the segment durable up to end, its header too. It is called with
// Journal.syncing held.
func (s *segment) sync(end int64) error {
	if s.file == nil {
		return nil
	}
	if s.memory == nil {
		if err := syncData(s.file); err != nil {
			return err
		}
	} else {
		from := s.synced
		if err := syncMapped(s.file, s.memory, from, end); err != nil {
			return err
		}
		prepare(s.memory, end)
	}
	s.synced = end
	return nil
}

// unmap lets go of the mapping. It is called with Journal.syncing held.
func (s *segment) unmap() error {
	if s.memory == nil {
		return nil
	}
	memory := s.memory
	s.memory = nil
	return unmapFile(memory)
}

// trim gives back the room after the last record of a sealed segment.
func (s *segment) trim() error {
	if s.end >= s.size {
		return nil
	}
	if err := os.Truncate(s.path, s.end); err != nil {
		return err
	}
	s.size = s.end
	return nil
}

// close lets go of mapping and file. A segment that nothing is appended to needs
// neither, and journals may have more of these than a process may have open
// files. It is called with Journal.syncing held, or before anything is appended.
func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.unmap(), s.file.Close())
	s.file = nil
	return err
}

func (s *segment) remove() error { return errors.Join(s.close(), os.Remove(s.path)) }
