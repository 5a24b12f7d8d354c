package memory

import (
	"sync/atomic"

	"kurz/internal/link"
)

// index finds the records of a shard. Its readers need no lock: a slot of the
// table names the record and the key's entry, which stays the same for as long
// as the key is there. It has a pointer for each page and none for each link.
//
// Where there is not room for all, another index takes this one's place, which
// nobody changes afterwards: a reader who has it in hand answers as of that
// moment.
type index struct {
	// slots is an open-addressed hash table with linear probing: record, tag
	// and entry, from the top; or emptySlot; or deadSlot, which ends nobody's
	// search. A power of two, never full.
	slots   []atomic.Uint64
	entries []entry // those below firstEntry are the heads of the queues
	pages   []atomic.Pointer[page]
}

const (
	emptySlot = 0
	deadSlot  = 1
	// entryBits of a slot name the entry, ten the hash, and 32 the record.
	entryBits  = 22
	entryMask  = 1<<entryBits - 1
	maxEntries = 1<<entryBits - 1
)

func tagOf(hash uint64) uint32 { return uint32(hash>>32) << entryBits }

// entry is a key that is there.
type entry struct {
	// state is how often it was asked for, up to maxUses, and its queue.
	state  atomic.Uint32
	loaded atomic.Uint32 // see stampOf
	// Guarded by the shard's lock.
	ref        uint32 // the record: page and place in it; 0: none
	next, prev uint32 // neighbours in the queue; or the next free entry
}

const (
	// maxUses is how often an entry may pass the end of the main queue without
	// having been asked for in between.
	maxUses = 7
	// promoted is how often a new entry must be asked for to reach it.
	promoted = 1

	usesMask  = 0xff
	queueBits = 8 // where the queue begins in state
)

func (e *entry) used() {
	// Most hits are on entries that have the most already, and then write
	// nothing, so that processors don't fight for them.
	if n := e.state.Load(); n&usesMask < maxUses {
		e.state.CompareAndSwap(n, n+1)
	}
}

func (e *entry) uses() uint32  { return e.state.Load() & usesMask }
func (e *entry) queue() uint32 { return e.state.Load() >> queueBits }

func (e *entry) set(queue, uses uint32) { e.state.Store(queue<<queueBits | uses) }

// refOf names the place in a page.
func refOf(number, at int) uint32 { return uint32(number)<<16 | uint32(at) }

// found is a key's entry and record at one moment.
type found struct {
	record
	entry  *entry
	id     uint32
	ref    uint32
	loaded uint32
}

// find finds a key. It needs no lock.
func (x *index) find(hash uint64, k link.Key, f *found) bool {
	mask, tag := uint64(len(x.slots)-1), tagOf(hash)
	for i := hash & mask; ; {
		slot := x.slots[i].Load()
		if slot == emptySlot {
			return false
		}
		id := uint32(slot) & entryMask
		if uint32(slot)&^entryMask == tag && id >= firstEntry {
			f.page, f.at = x.pages[slot>>48].Load(), int(slot>>32&0xffff)
			f.entry, f.id, f.ref = &x.entries[id], id, uint32(slot>>32)
			f.loaded = f.entry.loaded.Load()
			if x.slots[i].Load() != slot {
				// The record moved meanwhile, and what was its page's number
				// may be another's.
				continue
			}
			if f.is(k) {
				return true
			}
		}
		i = (i + 1) & mask
	}
}

// read gives the record of an entry in use.
func (x *index) read(id uint32, f *found) {
	e := &x.entries[id]
	f.page, f.at = x.pages[e.ref>>16].Load(), int(e.ref&0xffff)
	f.entry, f.id, f.ref, f.loaded = e, id, e.ref, e.loaded.Load()
}

// insert puts an entry whose key is not there into the table, and reports
// whether its slot was empty.
func (x *index) insert(hash uint64, id uint32) bool {
	mask := uint64(len(x.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if old := x.slots[i].Load(); old == emptySlot || old == deadSlot {
			x.slots[i].Store(x.slot(hash, id))
			return old == emptySlot
		}
	}
}

func (x *index) slot(hash uint64, id uint32) uint64 {
	return uint64(x.entries[id].ref)<<32 | uint64(tagOf(hash)|id)
}

// place gives the number of the slot of an entry that is there.
func (x *index) place(hash uint64, id uint32) uint64 {
	mask, low := uint64(len(x.slots)-1), tagOf(hash)|id
	i := hash & mask
	for uint32(x.slots[i].Load()) != low {
		i = (i + 1) & mask
	}
	return i
}

// move gives an entry that is there another record.
func (x *index) move(hash uint64, id, ref uint32) {
	i := x.place(hash, id)
	x.entries[id].ref = ref
	x.slots[i].Store(x.slot(hash, id))
}

// remove takes an entry that is there out of the table, and tells how many
// slots became empty: dead ones at the end of a run serve nobody's search.
func (x *index) remove(hash uint64, id uint32) (emptied int) {
	mask, i := uint64(len(x.slots)-1), x.place(hash, id)
	x.slots[i].Store(deadSlot)
	if x.slots[(i+1)&mask].Load() != emptySlot {
		return 0
	}
	for ; x.slots[i].Load() == deadSlot; i = (i - 1) & mask {
		x.slots[i].Store(emptySlot)
		emptied++
	}
	return emptied
}

// The queues, each a ring of entries through its head.
const (
	smallQueue = iota
	mainQueue
	absentQueue
	firstEntry
)

// push puts an entry at the end of a queue.
func (x *index) push(queue, id uint32) {
	head := &x.entries[queue]
	e, last := &x.entries[id], head.prev
	e.prev, e.next = last, queue
	x.entries[last].next, head.prev = id, id
	e.set(queue, 0)
}

// unlink takes an entry out of its queue.
func (x *index) unlink(id uint32) {
	e := &x.entries[id]
	x.entries[e.prev].next, x.entries[e.next].prev = e.next, e.prev
}
