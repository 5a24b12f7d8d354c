package memory

import (
	"sync/atomic"
	"unsafe"

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
	// search. Never full.
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

	slotSize  = int(unsafe.Sizeof(atomic.Uint64{}))
	entrySize = int(unsafe.Sizeof(entry{}))
)

func tagOf(hash uint64) uint32 { return uint32(hash>>32) << entryBits }

// entry is a key that is there. It is guarded by the shard's lock: a Get needs
// none.
type entry struct {
	ref        uint32 // the record: page and place in it; 0: none
	next, prev uint32 // neighbours in the queue; or the next free entry
}

// refOf names the place in a page.
func refOf(number, at int) uint32 { return uint32(number)<<16 | uint32(at) }

// found is a key's entry and record at one moment.
type found struct {
	record
	id  uint32
	ref uint32
}

// find finds a key. It needs no lock.
func (x *index) find(hash uint64, k link.Key, f *found) bool {
	tag := tagOf(hash)
	for i := x.first(hash); ; {
		slot := x.slots[i].Load()
		if slot == emptySlot {
			return false
		}
		id := uint32(slot) & entryMask
		if uint32(slot)&^entryMask == tag && id >= firstEntry {
			f.page, f.at = x.pages[slot>>48].Load(), int(slot>>32&0xffff)
			f.id, f.ref = id, uint32(slot>>32)
			if x.slots[i].Load() != slot {
				// The record moved meanwhile, and what was its page's number
				// may be another's.
				continue
			}
			if f.is(k) {
				return true
			}
		}
		i = x.after(i)
	}
}

// first gives where the search for a hash begins.
func (x *index) first(hash uint64) int {
	return int(uint64(uint32(hash)) * uint64(len(x.slots)) >> 32)
}

// after gives the slot behind another.
func (x *index) after(i int) int {
	if i++; i < len(x.slots) {
		return i
	}
	return 0
}

// read gives the record of an entry in use.
func (x *index) read(id uint32, f *found) {
	ref := x.entries[id].ref
	f.page, f.at = x.pages[ref>>16].Load(), int(ref&0xffff)
	f.id, f.ref = id, ref
}

// insert puts an entry whose key is not there into the table, and reports
// whether its slot was empty.
func (x *index) insert(hash uint64, id uint32) bool {
	for i := x.first(hash); ; i = x.after(i) {
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
func (x *index) place(hash uint64, id uint32) int {
	i, low := x.first(hash), tagOf(hash)|id
	for uint32(x.slots[i].Load()) != low {
		i = x.after(i)
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
	i := x.place(hash, id)
	x.slots[i].Store(deadSlot)
	if x.slots[x.after(i)].Load() != emptySlot {
		return 0
	}
	for x.slots[i].Load() == deadSlot {
		x.slots[i].Store(emptySlot)
		emptied++
		if i--; i < 0 {
			i = len(x.slots) - 1
		}
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
}

// unlink takes an entry out of its queue.
func (x *index) unlink(id uint32) {
	e := &x.entries[id]
	x.entries[e.prev].next, x.entries[e.next].prev = e.next, e.prev
}
