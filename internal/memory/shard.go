package memory

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"

	"kurz/internal/link"
)

// routeShard is the part of Routes that has the keys of some hashes.
type routeShard struct {
	index   atomic.Pointer[index] // read without the lock
	seed    maphash.Seed
	regions *regions // where pages and index are

	mu      sync.Mutex
	filled  int             // slots of the table that are not empty
	count   [firstEntry]int // entries in each queue
	fresh   uint32          // the first entry that was never used
	free    uint32          // the first of those used before; 0: none
	evicted uint64
	moved   uint64 // records copied to close holes

	page                int // the number of the page that is written; 0: none
	size, written, live int // bytes of all pages: all, written, in records in use

	room, smallRoom, absentRoom int // entries; room: of small and main together
	byteRoom                    int // for live
	ghosts                      ghosts
	tombs                       tombstones

	_ [64]byte // keeps neighbours off the same cache line
}

func (s *routeShard) init(seed maphash.Seed, g *regions, capacity, bytesEach int) {
	s.seed, s.regions = seed, g
	s.room = min(max(capacity, 2), maxEntries/17*16)
	s.smallRoom = max(s.room/10, 1)
	s.absentRoom = max(s.room/16, 8)
	s.byteRoom = max(s.room*bytesEach, 2*maxPage)
	s.fresh = firstEntry
	s.rebuild(8, 4)
}

func (s *routeShard) links() int { return s.count[smallQueue] + s.count[mainQueue] }

func (s *routeShard) entries() int { return s.links() + s.count[absentQueue] }

// put stores a route, unless there is a newer one.
func (s *routeShard) put(hash uint64, k link.Key, r *link.Route, loaded uint32) {
	var old found
	known := s.index.Load().find(hash, k, &old)
	size := recordSize(k, r)
	switch missing := r.Version == 0; {
	case known && old.version() > r.Version:
		return
	case known && (old.missing() != missing || size > maxPage):
		s.remove(hash, &old)
		known = false
	}
	if size > maxPage {
		return
	}
	number := s.makeRoom(size)
	p := s.index.Load().pages[number].Load()
	p.write(k, r, size, loaded)
	written := record{p, p.used}
	if known && bytes.Equal(old.rest(), written.rest()) {
		old.setLoaded(loaded)
		return
	}
	ref := s.take(number, size)
	if known {
		written.set(old.queue(), old.uses())
		s.index.Load().move(hash, old.id, ref)
		s.drop(&old)
	} else {
		s.insert(hash, written, ref)
	}
	s.bound()
}

// insert makes an entry of a key that is not there.
func (s *routeShard) insert(hash uint64, r record, ref uint32) {
	id := s.newEntry()
	x := s.index.Load()
	x.entries[id].ref = ref
	queue := uint32(smallQueue)
	switch {
	case r.missing():
		queue = absentQueue
	case s.ghosts.take(hash):
		queue = mainQueue
	}
	r.set(queue, 0)
	x.push(queue, id)
	s.count[queue]++
	if x.insert(hash, id) {
		s.filled++
	}
}

// bound keeps what there is within its room.
func (s *routeShard) bound() {
	for s.count[absentQueue] > s.absentRoom {
		s.removeFirst(absentQueue)
	}
	for s.links() > s.room || s.live > s.byteRoom && s.links() > 1 {
		s.evict()
	}
	for s.written-s.live > max(s.live/4, 2*s.pageSize()) {
		s.compact()
	}
}

// evict makes room for one route or takes a step towards it.
func (s *routeShard) evict() {
	x := s.index.Load()
	queue := uint32(mainQueue)
	if s.count[smallQueue] > s.smallRoom || s.count[mainQueue] == 0 {
		queue = smallQueue
	}
	id := x.entries[queue].next
	var f found
	x.read(id, &f)
	uses := f.uses()
	switch {
	case queue == smallQueue && uses >= promoted:
		uses = 0
	case queue == mainQueue && uses > 0:
		uses--
	default:
		hash := s.removeFirst(queue)
		s.evicted++
		if queue == smallQueue {
			s.ghosts.add(hash, s.room)
		}
		return
	}
	x.unlink(id)
	x.push(mainQueue, id)
	f.set(mainQueue, uses)
	s.count[queue]--
	s.count[mainQueue]++
}

// removeFirst removes the oldest entry of a queue that is not empty and gives
// its hash.
func (s *routeShard) removeFirst(queue uint32) (hash uint64) {
	x := s.index.Load()
	var f found
	x.read(x.entries[queue].next, &f)
	hash = f.key().Hash(s.seed)
	s.remove(hash, &f)
	return hash
}

// remove takes an entry away.
func (s *routeShard) remove(hash uint64, f *found) {
	x := s.index.Load()
	e := &x.entries[f.id]
	s.filled -= x.remove(hash, f.id)
	e.ref = 0
	x.unlink(f.id)
	s.count[f.queue()]--
	e.next, s.free = s.free, f.id
	s.drop(f)
}

// newEntry gives the number of an entry that is not in use.
func (s *routeShard) newEntry() uint32 {
	x := s.index.Load()
	if s.filled >= len(x.slots)/16*13 || s.free == 0 && int(s.fresh) == len(x.entries) {
		n := s.entries()
		s.rebuild(firstEntry+min(n+n/8+8, s.room+s.absentRoom+2), len(x.pages))
		x = s.index.Load()
	}
	if id := s.free; id != 0 {
		s.free = x.entries[id].next
		return id
	}
	s.fresh++
	return s.fresh - 1
}

// rebuild makes an index without dead slots, with room for so many entries and
// pages, or as many as there are.
func (s *routeShard) rebuild(entries, pages int) {
	old := s.index.Load()
	if old == nil {
		old = &index{entries: make([]entry, firstEntry)}
		s.note(old, 1)
		for queue := range uint32(firstEntry) {
			old.entries[queue].next, old.entries[queue].prev = queue, queue
		}
	}
	entries = max(entries, len(old.entries))
	x := &index{
		slots:   make([]atomic.Uint64, entries*3/2),
		entries: make([]entry, entries),
		pages:   make([]atomic.Pointer[page], pages),
	}
	for i := range old.pages {
		x.pages[i].Store(old.pages[i].Load())
	}
	s.filled = 0
	var f found
	for i := range copy(x.entries, old.entries) {
		if x.entries[i].ref != 0 {
			x.read(uint32(i), &f)
			x.insert(f.key().Hash(s.seed), f.id)
			s.filled++
		}
	}
	s.index.Store(x)
	s.note(x, 1)
	s.note(old, -1)
}

// note tells where an index is, or with a negative sign, was.
func (s *routeShard) note(x *index, sign int) {
	s.regions.add(unsafe.Pointer(unsafe.SliceData(x.slots)), len(x.slots)*slotSize, sign)
	s.regions.add(unsafe.Pointer(unsafe.SliceData(x.entries)), len(x.entries)*entrySize, sign)
}

// pageSize is that of the next page: pages grow with what there is, so that
// little of it is room not yet used.
func (s *routeShard) pageSize() int {
	return min(max(1<<bits.Len(uint(s.live/16)), minPage), maxPage)
}

// makeRoom sees to it that the page that is written has room, and gives its
// number.
func (s *routeShard) makeRoom(size int) int {
	x := s.index.Load()
	if s.page != 0 {
		p := x.pages[s.page].Load()
		if p.used+size <= len(p.bytes) {
			return s.page
		}
		if p.live == 0 {
			s.release(s.page)
		}
	}
	// A number is used again as late as can be. 0 is none.
	n := len(x.pages)
	number := 0
	for i := 1; i <= n && number == 0; i++ {
		if at := (s.page + i) % n; at != 0 && x.pages[at].Load() == nil {
			number = at
		}
	}
	if number == 0 {
		s.rebuild(len(x.entries), 2*n)
		x, number = s.index.Load(), n
	}
	p := newPage(max(s.pageSize(), size))
	x.pages[number].Store(p)
	s.page = number
	s.size += len(p.bytes)
	s.regions.add(unsafe.Pointer(unsafe.SliceData(p.bytes)), len(p.bytes), 1)
	return number
}

// take makes what was written behind the records of a page one of them.
func (s *routeShard) take(number, size int) (ref uint32) {
	p := s.index.Load().pages[number].Load()
	ref = refOf(number, p.used)
	p.used += size
	p.live += size
	s.written += size
	s.live += size
	return ref
}

// drop leaves a hole where a record was. It stays readable for whoever found
// it before.
func (s *routeShard) drop(f *found) {
	size := f.size()
	f.page.live -= size
	s.live -= size
	if number := int(f.ref >> 16); f.page.live == 0 && number != s.page {
		s.release(number)
	}
}

// release leaves a page in which nothing is in use to the collector.
func (s *routeShard) release(number int) {
	x := s.index.Load()
	p := x.pages[number].Load()
	s.size -= len(p.bytes)
	s.regions.add(unsafe.Pointer(unsafe.SliceData(p.bytes)), len(p.bytes), -1)
	s.written -= p.used
	x.pages[number].Store(nil)
}

// compact moves what is in use out of the page with the biggest holes.
func (s *routeShard) compact() {
	x := s.index.Load()
	worst, most := 0, 0
	for i := range x.pages {
		if p := x.pages[i].Load(); p != nil && i != s.page && p.used-p.live > most {
			worst, most = i, p.used-p.live
		}
	}
	if worst == 0 {
		s.page = 0 // the holes are in the page that is written
		return
	}
	p := x.pages[worst].Load()
	for at := 0; at < p.used; {
		r := record{p, at}
		size, k := r.size(), r.key()
		var f found
		hash := k.Hash(s.seed)
		if s.index.Load().find(hash, k, &f) && f.page == p && f.at == at {
			number := s.makeRoom(size)
			to := s.index.Load().pages[number].Load()
			moved := record{to, to.used}
			moved.copy(r)
			s.index.Load().move(hash, f.id, s.take(number, size))
			p.live -= size
			s.live -= size
			s.moved++
		}
		at += size
	}
	s.release(worst)
}
