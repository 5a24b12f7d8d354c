// Package search is an index of links: of the parts of their texts, and of all
// that listings are filtered and sorted by.
//
// Links are indexed in segments of up to 16,384, which never change once they
// are built. For each three characters that stand together in a text, and for
// each owner, domain and tag, a segment has the set of its links that have them;
// it has the times that make a status, and for each order the places of its
// links in that order. So a page is found by joining sets, and of the rows of
// the links only those are read that are on it, and a few for each segment. What
// a search finds is looked for in the row itself in the end: the sets only say
// where it is not.
//
// A link that changes after its segment was built is said to be loose until
// another segment has it: a search looks at the loose ones directly.
//
// Start reading at Build, then Page.
package search

import (
	"encoding/binary"
	"errors"
	"time"

	"kurz/internal/account"
	"kurz/internal/link"
)

const (
	// MaxDocs is the most links that a segment has.
	MaxDocs = 1 << 14
	// blockSize is what a block has at most, apart from one long set: what fits
	// in a page of the store's together with what the store adds.
	blockSize = 4000
)

// ErrDamaged says that a segment can't be read.
var ErrDamaged = errors.New("the search index is damaged")

// A term is what a set of links is kept for: three characters in 21 bits each,
// or, with the top bit set, a hash of something else.
type term int64

const (
	runeBits = 21
	// end stands for the character after the last, alone for those that are not
	// asked for.
	end   = 1<<runeBits - 1
	alone = 1<<runeBits - 2
)

func gram(a, b, c rune) term { return term(a)<<(2*runeBits) | term(b)<<runeBits | term(c) }

// What a hashed term is of.
const (
	ofOwner = iota + 1
	ofDomain
	ofTag
	ofArchived
)

// hashed is stored, so it never changes: FNV-1a.
func hashed(kind byte, s string) term {
	h := uint64(0xcbf29ce484222325)
	h = (h ^ uint64(kind)) * 0x100000001b3
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return term(h | 1<<63)
}

func ownerTerm(id account.ID) term {
	return hashed(ofOwner, string(binary.BigEndian.AppendUint64(nil, uint64(id))))
}

// The columns of a segment. Each has the same number of bytes a link.
const (
	idColumn       = iota
	updatedColumn  // places in the order of the latest change
	codeColumn     // of the code
	titleColumn    // of the title
	endColumn      // of the end
	startsColumn   // seconds; see second
	expiresColumn  // the same
	revokedColumn  // the same
	columnsOfLinks // how many there are
)

var columnWidth = [columnsOfLinks]int{8, 2, 2, 2, 2, 4, 4, 4}

// second gives a time in seconds since 1970 and one more; 0 is none. What lies
// beyond stands for the farthest.
func second(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(min(max(t.Unix(), 0), 1<<32-2)) + 1
}

// orderColumn gives the column with the places in the order of a sort; that of
// the links' IDs has none, since it is their own.
func orderColumn(s link.Sort) int {
	switch s {
	case link.LatestChange, link.FirstChange:
		return updatedColumn
	case link.ByCode, link.ByCodeDown:
		return codeColumn
	case link.ByTitle, link.ByTitleDown:
		return titleColumn
	case link.FirstEnd, link.LastEnd:
		return endColumn
	}
	return idColumn
}

// Set is a set of a segment's links, by their places.
type Set []uint64

// NewSet makes an empty set for so many links.
func NewSet(docs int) Set { return make(Set, (docs+63)/64) }

// Add adds a place.
func (s Set) Add(i int) { s[i>>6] |= 1 << (i & 63) }

// Has reports whether a place is in the set.
func (s Set) Has(i int) bool { return s[i>>6]>>(i&63)&1 != 0 }
