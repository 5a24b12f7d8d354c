package redirect

import (
	"math/bits"
	"sync/atomic"
)

// filter is a Bloom filter of hashes, blocked so that an answer takes one line
// of memory (Putze, Sanders and Singler, "Cache-, hash- and space-efficient
// Bloom filters", JEA 2009): a hash has one bit in each of the eight words of
// its block. Of hashes that were not added it takes some 0.5 % for added when
// it is full, fewer before; of those that were, none for missing.
//
// Add is for one goroutine at a time, has for any.
type filter struct {
	blocks []block
	room   int
	added  int // hashes that were new to it
}

type block [8]atomic.Uint64

// filterBits is how many there are for each hash where the filter is full.
const filterBits = 12

func newFilter(room int) *filter {
	return &filter{blocks: make([]block, max(room*filterBits/512, 1)), room: room}
}

func (f *filter) block(hash uint64) *block {
	at, _ := bits.Mul64(hash, uint64(len(f.blocks)))
	return &f.blocks[at]
}

// bit gives the hash's bit in the ith word: six bits of a product each.
func bit(hash uint64, i int) uint64 {
	const odd = 0x9e3779b97f4a7c15
	return 1 << (hash * odd >> (64 - 6*(i+1)) & 63)
}

func (f *filter) add(hash uint64) {
	b, before := f.block(hash), true
	for i := range b {
		mask := bit(hash, i)
		before = before && b[i].Load()&mask != 0
		b[i].Or(mask)
	}
	if !before {
		f.added++
	}
}

func (f *filter) has(hash uint64) bool {
	b := f.block(hash)
	for i := range b {
		if b[i].Load()&bit(hash, i) == 0 {
			return false
		}
	}
	return true
}
