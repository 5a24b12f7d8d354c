package journal

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"

	"kurz/internal/click"
	"kurz/internal/fault"
)

// reader is where the last Read stopped.
type reader struct {
	mu      sync.Mutex
	number  uint64   // of the segment; scan goes over it
	file    *os.File // it; nil if scan goes over none
	scan    scanner
	after   uint64 // the last sequence given
	started bool
	arena   []byte
	// Damage before this place was counted.
	countedNumber uint64
	countedOff    int64
}

// Read implements click.Log. A context that ends keeps it from reading on; what
// was read up to then is given.
func (j *Journal) Read(ctx context.Context, after uint64, dst []click.Record, limit int) ([]click.Record, error) {
	r := &j.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arena = r.arena[:0]
	if !r.started || r.after != after {
		r.number, r.started = 0, true
		r.leave()
	}
	r.after = after
	for n := 0; n < limit; {
		if ctx.Err() != nil {
			if n > 0 {
				break
			}
			return dst, ctx.Err()
		}
		more, err := j.position(after)
		if err != nil {
			return dst, err
		}
		if !more {
			break
		}
		off := r.scan.off
		seq, data, damaged, ok := r.scan.next()
		if damaged > 0 {
			j.countDamage(damaged, off)
		}
		if !ok || seq <= after {
			continue
		}
		start := len(r.arena)
		r.arena = append(r.arena, data...)
		dst = append(dst, click.Record{Sequence: seq, Data: r.arena[start:len(r.arena):len(r.arena)]})
		r.after = seq
		n++
	}
	return dst, nil
}

// leave lets go of the segment that the reader is in.
func (r *reader) leave() {
	if r.file != nil {
		r.file.Close() // nothing was written
	}
	r.file, r.scan.src = nil, nil
}

// position brings the reader's scanner to where a record above after may be,
// or reports that there is none. It is called with the reader's lock held,
// which keeps segments from being released.
func (j *Journal) position(after uint64) (bool, error) {
	r := &j.reader
	if r.scan.src != nil && r.scan.off < r.scan.end {
		return true, nil
	}
	for {
		next, found, err := j.upcoming(after)
		if err != nil || found || next == nil {
			return found, err
		}
		// A file of the reader's own, opened while appends go on.
		file, err := os.Open(next.path)
		if err != nil {
			return false, fault.Wrap(fault.Unavailable, err, "The journal can't be read at the moment")
		}
		r.leave()
		r.file, r.number = file, next.number
		r.scan.reset(file, next.seed, 0, next.first, next.adrift)
	}
}

// upcoming reports whether the segment that the reader is in has more for it,
// and otherwise gives the next one that has, to be opened; nil if there is none.
func (j *Journal) upcoming(after uint64) (next *segment, more bool, err error) {
	r := &j.reader
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, false, fault.Wrap(fault.Unavailable, errClosed, "The journal can't be read at the moment")
	}
	for _, s := range j.segments[j.segmentOf(after):] {
		if r.scan.src == nil || r.number != s.number {
			if s.end > headerSize {
				return s, false, nil
			}
			continue
		}
		r.scan.end, r.scan.expect = s.end, s.last
		if s == j.active {
			r.scan.expect = j.next - 1
		}
		if r.scan.off < r.scan.end {
			return nil, true, nil
		}
	}
	return nil, false, nil
}

// segmentOf gives the index of the segment that the reader is in, or, where it
// is in none, of the one that after is or was in: it may end with damage that
// is still to be counted.
func (j *Journal) segmentOf(after uint64) int {
	r := &j.reader
	if r.scan.src != nil {
		i, _ := slices.BinarySearchFunc(j.segments, r.number, func(s *segment, n uint64) int { return cmp.Compare(s.number, n) })
		return i
	}
	i, _ := slices.BinarySearchFunc(j.segments, after, func(s *segment, n uint64) int {
		if s.first <= n {
			return -1
		}
		return 1
	})
	return max(0, i-1)
}

// countDamage counts damage found by a scan from off, once.
func (j *Journal) countDamage(n uint64, off int64) {
	r := &j.reader
	if r.number < r.countedNumber || (r.number == r.countedNumber && off < r.countedOff) {
		return
	}
	r.countedNumber, r.countedOff = r.number, r.scan.off
	j.damaged.Add(n)
	j.log.Error("damaged records in the journal are left out", "segment", r.number, "offset", off, "records", n)
}

// Release implements click.Log: segments without a record above through are
// deleted. It may block for the disk.
func (j *Journal) Release(through uint64) error {
	j.reader.mu.Lock()
	defer j.reader.mu.Unlock()
	j.mu.Lock()
	j.released = max(j.released, through)
	n := j.releasable()
	closed := j.closed
	j.mu.Unlock()
	if n == 0 || closed {
		return nil
	}
	// Only once a later segment is safe, with the sequence that it goes on at.
	if err := j.sync(); err != nil {
		return err
	}
	j.mu.Lock()
	n = min(n, j.releasable())
	gone := slices.Clone(j.segments[:n])
	j.segments = slices.Delete(j.segments, 0, n)
	j.mu.Unlock()
	if slices.ContainsFunc(gone, func(s *segment) bool { return s.number == j.reader.number }) {
		j.reader.leave()
	}
	var err error
	for _, s := range gone {
		err = errors.Join(err, s.remove())
	}
	wake(j.wanting)
	return err
}

// releasable tells how many segments hold nothing above released. It is called
// with mu held.
func (j *Journal) releasable() int {
	n := 0
	for n < len(j.segments)-1 && j.segments[n].last <= j.released {
		n++
	}
	return n
}
