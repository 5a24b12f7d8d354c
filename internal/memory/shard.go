package memory

import (
	"sync"
	"sync/atomic"

	"kurz/internal/link"
)

// entry is a route in the cache. Readers see hash, key and route, which never
// change, and count uses; a newer route of the key is a new entry in its place.
type entry struct {
	hash  uint64
	at    uint64 // the place in its queue; guarded by the shard's lock
	in    *fifo  // likewise
	key   link.Key
	route link.Route
	uses  atomic.Uint32 // up to maxUses
}

const (
	// maxUses is how often an entry may pass the end of the main queue without
	// having been asked for in between.
	maxUses = 7
	// promoted is how often a new entry must be asked for to reach it.
	promoted = 1
)

func (e *entry) used() {
	// Most hits are on entries that have the most already, and then write
	// nothing, so that processors don't fight for them.
	if n := e.uses.Load(); n < maxUses {
		e.uses.CompareAndSwap(n, n+1)
	}
}

func (e *entry) missing() bool { return e.route.Version == 0 }

// routeShard is the part of Routes that has the keys of some hashes.
type routeShard struct {
	table atomic.Pointer[table] // read without the lock

	mu      sync.Mutex
	filled  int // slots of the table that are not nil
	links   int
	missing int
	evicted uint64

	small, main, absent         fifo
	room, smallRoom, absentRoom int // room: of small and main together
	ghosts                      ghosts
	tombs                       tombstones

	_ [64]byte // keeps neighbours off the same cache line
}

func (s *routeShard) init(capacity int) {
	s.room = max(capacity, 2)
	s.smallRoom = max(s.room/10, 1)
	s.absentRoom = max(s.room/16, 8)
	s.table.Store(newTable(8))
}

// put stores e, in the place of old unless that is nil.
func (s *routeShard) put(e, old *entry) {
	if old != nil && old.missing() == e.missing() {
		e.uses.Store(old.uses.Load())
		e.in, e.at = old.in, old.at
		e.in.ring[e.at&e.in.mask()] = e
		t := s.table.Load()
		t.slots[t.index(old)].Store(e)
		return
	}
	if old != nil {
		s.drop(old)
	}
	s.insert(e)
	switch {
	case e.missing():
		s.missing++
		s.absent.push(e)
		for s.absent.len() > s.absentRoom {
			if gone := s.absent.pop(); gone != nil {
				s.remove(gone)
			}
		}
		return
	case s.ghosts.take(e.hash):
		s.main.push(e)
	default:
		s.small.push(e)
	}
	s.links++
	for s.small.len()+s.main.len() > s.room {
		s.evict()
	}
}

// evict makes room for one route or takes a step towards it.
func (s *routeShard) evict() {
	if s.small.len() > s.smallRoom || s.main.len() == 0 {
		switch e := s.small.pop(); {
		case e == nil:
		case e.uses.Load() >= promoted:
			e.uses.Store(0)
			s.main.push(e)
		default:
			s.remove(e)
			s.evicted++
			s.ghosts.add(e.hash, s.room)
		}
		return
	}
	e := s.main.pop()
	if e == nil {
		return
	}
	if n := e.uses.Load(); n > 0 {
		e.uses.Store(n - 1)
		s.main.push(e)
		return
	}
	s.remove(e)
	s.evicted++
}

// drop removes an entry that is still in its queue and leaves a hole there.
func (s *routeShard) drop(e *entry) {
	e.in.ring[e.at&e.in.mask()] = nil
	s.remove(e)
}

// remove takes an entry out of the table.
func (s *routeShard) remove(e *entry) {
	t := s.table.Load()
	t.slots[t.index(e)].Store(t.dead)
	if e.missing() {
		s.missing--
	} else {
		s.links--
	}
}

// find gives the key's entry, or nil. It needs no lock.
func (s *routeShard) find(hash uint64, k link.Key) *entry {
	t := s.table.Load()
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := t.slots[i].Load()
		if e == nil || e.hash == hash && e.key == k && e != t.dead {
			return e
		}
	}
}

// insert puts an entry whose key is not there into the table.
func (s *routeShard) insert(e *entry) {
	t := s.table.Load()
	if s.filled >= len(t.slots)/8*5 {
		t = s.rebuild(t)
	}
	if t.insert(e) {
		s.filled++
	}
}

// rebuild makes a table without dead slots, with room to grow.
func (s *routeShard) rebuild(old *table) *table {
	live := s.links + s.missing
	size := 8
	for live*16 >= size*7 {
		size *= 2
	}
	t := newTable(size)
	for i := range old.slots {
		if e := old.slots[i].Load(); e != nil && e != old.dead {
			t.insert(e)
		}
	}
	s.filled = live
	s.table.Store(t)
	return t
}

// table is an open-addressed hash table with linear probing. Its readers need
// no lock: a slot changes in one atomic step, an entry never moves within a
// table, and the slot of a removed entry gets the dead one, which ends nobody's
// search. A reader that has the old table in hand when a new one comes answers
// as of that moment.
type table struct {
	slots []atomic.Pointer[entry] // a power of two; never full
	dead  *entry
}

func newTable(size int) *table {
	return &table{slots: make([]atomic.Pointer[entry], size), dead: new(entry)}
}

// insert takes the first free slot and reports whether it was never used.
func (t *table) insert(e *entry) bool {
	mask := uint64(len(t.slots) - 1)
	for i := e.hash & mask; ; i = (i + 1) & mask {
		if old := t.slots[i].Load(); old == nil || old == t.dead {
			t.slots[i].Store(e)
			return old == nil
		}
	}
}

// index gives the slot of an entry that is in the table.
func (t *table) index(e *entry) uint64 {
	mask := uint64(len(t.slots) - 1)
	i := e.hash & mask
	for t.slots[i].Load() != e {
		i = (i + 1) & mask
	}
	return i
}

// fifo is a queue of entries; nil stands for one that was dropped meanwhile.
type fifo struct {
	ring       []*entry // a power of two, or none
	head, tail uint64   // counts since the beginning
}

func (q *fifo) mask() uint64 { return uint64(len(q.ring) - 1) }

func (q *fifo) len() int { return int(q.tail - q.head) }

func (q *fifo) push(e *entry) {
	if q.len() == len(q.ring) {
		bigger := fifo{ring: make([]*entry, max(8, 2*len(q.ring)))}
		for i := q.head; i < q.tail; i++ {
			bigger.ring[i&bigger.mask()] = q.ring[i&q.mask()]
		}
		q.ring = bigger.ring
	}
	e.in, e.at = q, q.tail
	q.ring[q.tail&q.mask()] = e
	q.tail++
}

// pop gives the oldest entry of a queue that is not empty.
func (q *fifo) pop() *entry {
	i := q.head & q.mask()
	e := q.ring[i]
	q.ring[i] = nil
	q.head++
	return e
}

// ghosts remember, by 32 bits of hash, which keys left the small queue lately.
// It takes 8 bytes a key, and none until something is evicted.
type ghosts struct {
	buckets [][4]ghost
	room    uint32
	clock   uint32 // counts additions
}

type ghost struct {
	print uint32 // 0: none
	added uint32
}

func (g *ghosts) bucket(hash uint64) (*[4]ghost, uint32) {
	return &g.buckets[hash>>8&uint64(len(g.buckets)-1)], uint32(hash>>24) | 1
}

func (g *ghosts) add(hash uint64, room int) {
	if g.buckets == nil {
		n := 1
		for n*4 < room {
			n *= 2
		}
		g.buckets, g.room = make([][4]ghost, n), uint32(room)
	}
	g.clock++
	bucket, trace := g.bucket(hash)
	oldest := 0
	for i := range bucket {
		if g.clock-bucket[i].added > g.clock-bucket[oldest].added {
			oldest = i
		}
	}
	bucket[oldest] = ghost{trace, g.clock}
}

// take reports whether the key left lately, and forgets that it did.
func (g *ghosts) take(hash uint64) bool {
	if g.buckets == nil {
		return false
	}
	bucket, trace := g.bucket(hash)
	for i := range bucket {
		if bucket[i].print == trace && g.clock-bucket[i].added < g.room {
			bucket[i] = ghost{}
			return true
		}
	}
	return false
}
