// Package journal is a crash-safe queue of records on the disk: many append,
// one reads, and what was read is forgotten when the reader says so. It is the
// click.Log of a node.
//
// It guarantees that an appended record survives the death of the process at
// once, and a power cut after Options.Sync (before Append returns, in strict
// mode). That no bytes on the disk, torn, flipped or hostile, stop it: damaged
// records are left out and counted, and every intact one is read. That no
// sequence is given twice, whatever a crash left of the tail. And that a full
// disk costs records, which are counted, but never blocks or kills.
//
// A journal is a folder of numbered segments, preallocated files that an
// Append writes through a memory mapping: a copy and a checksum, no system
// call. Each Open begins a new segment and seals the ones it finds, so within
// a segment sequences have no gap, and a sealed one is opened by its header
// alone. Start reading at Journal, then layout.go, open.go, keeper.go, read.go.
package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kurz/internal/click"
	"kurz/internal/fault"
)

// MaxRecord is the size of the largest record, in bytes.
const MaxRecord = 64 << 10

// Sizes of segments.
const (
	DefaultSegmentSize = 32 << 20
	MinSegmentSize     = 128 << 10
)

// Options say how a journal is kept. The zero Options are strict, without a
// reserve.
type Options struct {
	// SegmentSize is the size of each file, DefaultSegmentSize where 0. Segments
	// that exist keep theirs.
	SegmentSize int64
	// Sync is how long a record may wait to be made safe against a power cut;
	// 0 is strict: Append returns when it is.
	Sync time.Duration
	// Reserve keeps one more segment allocated, for when the disk is full.
	Reserve bool
	// Retry is how long to wait after a segment could not be made, a second
	// where 0.
	Retry time.Duration
	// PlainWrites writes with a system call for each record in place of the
	// memory mapping, as happens by itself where there is no mapping, or no
	// way to allocate the space under it.
	PlainWrites bool
	// Rand is where the LogID is drawn, crypto/rand where nil.
	Rand io.Reader
	// Logger gets what an operator should know, never a record's data; nil
	// discards it.
	Logger *slog.Logger
	// Allocate reserves size bytes for a new file, in place of the platform's
	// way. It is for tests of a full disk.
	Allocate func(f *os.File, size int64) error
}

// Journal implements click.Log. All methods are safe for concurrent use.
type Journal struct {
	dir  string
	opts Options
	log  *slog.Logger
	lock io.Closer
	id   click.LogID
	seed uint32 // CRC of id: a record of another journal is not intact here

	appended chan struct{}
	dirty    chan struct{} // wakes the syncer
	wanting  chan struct{} // wakes the maker
	stop     chan struct{}
	keepers  sync.WaitGroup

	lost    atomic.Uint64
	damaged atomic.Uint64

	// mu is held for an append: no system call happens under it, but that of
	// a plain write.
	mu       sync.Mutex
	made     *sync.Cond // a spare was made, or could not be
	closed   bool
	next     uint64 // sequence of the next record
	count    uint64 // of records appended since Open
	released uint64
	segments []*segment // oldest first; the last is active, if active is set
	active   *segment
	spare    *segment
	number   uint64 // of the next segment
	full     error  // why there is no spare
	reserved bool   // the reserve exists

	// syncing is held for a sync; before mu.
	syncing sync.Mutex
	retired []*segment // written to the end, not yet synced; guarded by mu

	durable durability
	reader  reader
}

// Append implements click.Log. It waits only where records come faster than
// the disk makes room for them, and for the disk in strict mode. A record over
// MaxRecord is fault.PayloadTooLarge, one without bytes fault.ValidationFailed.
// In strict mode an Unavailable may also mean that the record is in the journal
// but may not outlive a power cut.
func (j *Journal) Append(record []byte) (uint64, error) {
	if len(record) == 0 || len(record) > MaxRecord {
		j.lost.Add(1)
		return 0, sizeFault(len(record))
	}
	sum := crc32.Update(j.seed, castagnoli, record)
	j.mu.Lock()
	if j.active == nil || !j.active.fits(len(record)) {
		if err := j.rotate(); err != nil {
			j.mu.Unlock()
			return 0, j.lose(err)
		}
	}
	seq := j.next
	if err := j.active.put(seq, sum, record); err != nil {
		j.mu.Unlock()
		return 0, j.lose(err)
	}
	j.next++
	j.count++
	j.mu.Unlock()
	wake(j.appended)
	wake(j.dirty)
	if j.opts.Sync == 0 {
		if err := j.durable.await(seq); err != nil {
			return seq, j.lose(err)
		}
	}
	return seq, nil
}

func sizeFault(n int) error {
	if n == 0 {
		return fault.New(fault.ValidationFailed, "A record without bytes can't be kept")
	}
	return fault.New(fault.PayloadTooLarge, "A record of %d bytes is over the %d that can be kept", n, MaxRecord)
}

func (j *Journal) lose(cause error) error {
	j.lost.Add(1)
	return fault.Wrap(fault.Unavailable, cause, "The journal can't take records at the moment")
}

// rotate makes the spare segment the active one. It is called with mu held.
func (j *Journal) rotate() error {
	for j.spare == nil {
		switch {
		case j.closed:
			return errClosed
		case j.full != nil:
			return j.full
		}
		wake(j.wanting)
		j.made.Wait() // another may have rotated meanwhile
		if j.active != nil && j.active.fits(MaxRecord) {
			return nil
		}
	}
	if j.closed {
		return errClosed
	}
	j.retire()
	s := j.spare
	j.spare = nil
	wake(j.wanting)
	if err := s.activate(j.next); err != nil {
		s.last = j.next - 1 // not a record is in it
		j.retired = append(j.retired, s)
		j.segments = append(j.segments, s)
		return err
	}
	j.active = s
	j.segments = append(j.segments, s)
	return nil
}

// retire seals the active segment, if there is one. It is called with mu held.
func (j *Journal) retire() {
	if j.active == nil {
		return
	}
	if err := j.active.seal(j.next-1, j.next-1); err != nil {
		j.log.Warn("sealing a journal segment", "file", j.active.path, "error", err)
	}
	j.retired = append(j.retired, j.active)
	j.active = nil
}

var errClosed = errors.New("the journal is closed")

// ID implements click.Log.
func (j *Journal) ID() click.LogID { return j.id }

// Appended implements click.Log.
func (j *Journal) Appended() <-chan struct{} { return j.appended }

// Stats is what a journal says of itself.
type Stats struct {
	Appended uint64 // records since Open
	Lost     uint64 // records refused since Open
	Damaged  uint64 // records found damaged by Read since Open, as far as they can be told apart
	Pending  uint64 // records not yet released
	Segments int
	Bytes    int64 // on the disk, spare and reserve included
	Full     error // why no segment can be made after the present one; nil if one can
	Reserved bool  // there is a reserve for a full disk
}

// Stats tells how the journal is. It does not block.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	st := Stats{
		Appended: j.count, Lost: j.lost.Load(), Damaged: j.damaged.Load(),
		Segments: len(j.segments), Full: j.full, Reserved: j.reserved,
	}
	for _, s := range j.segments {
		st.Bytes += s.size
		last := s.last
		if s == j.active {
			last = j.next - 1
		}
		if from := max(s.first, j.released+1); last >= from {
			st.Pending += last - from + 1
		}
	}
	if j.spare != nil {
		st.Bytes += j.spare.size
	}
	if j.reserved {
		st.Bytes += j.opts.SegmentSize
	}
	return st
}

// Close makes everything durable and lets go of the folder. Appends that come
// later are refused. A second Close does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	last, spare := j.active, j.spare
	j.retire()
	j.spare = nil
	j.made.Broadcast()
	j.mu.Unlock()
	close(j.stop)
	j.keepers.Wait()

	err := j.sync()
	j.durable.reach(0, errClosed)
	if spare != nil {
		err = errors.Join(err, spare.remove())
	}
	j.reader.mu.Lock()
	defer j.reader.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if last != nil {
		err = errors.Join(err, last.trim())
	}
	for _, s := range j.segments {
		err = errors.Join(err, s.close())
	}
	j.reader.leave()
	err = errors.Join(err, j.lock.Close())
	if err != nil {
		return fmt.Errorf("closing journal %s: %w", j.dir, err)
	}
	return nil
}

func (o Options) withDefaults() (Options, error) {
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.SegmentSize < MinSegmentSize {
		return o, fmt.Errorf("a segment size of %d is below the least, %d", o.SegmentSize, MinSegmentSize)
	}
	o.SegmentSize = (o.SegmentSize + headerSize - 1) / headerSize * headerSize
	if o.Sync < 0 {
		return o, fmt.Errorf("a sync interval of %v is below 0", o.Sync)
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Allocate == nil {
		o.Allocate = allocate
	}
	return o, nil
}

// wake sends a value unless one is waiting.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
