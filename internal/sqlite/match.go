package sqlite

import (
	"strconv"

	"kurz/internal/link"
)

// matchKeys hash what a match compares, so that its indexes are small. 0 says
// that there is nothing to match. They are stored: the hash must never change.
func matchKeys(l *link.Link) (destination, content int64) {
	if l.Owner == 0 {
		return 0, 0
	}
	destination = hash(hash(fnvBasis, strconv.FormatInt(int64(l.Owner), 10)), string(l.Destination))
	if l.ContentID != "" {
		content = hash(destination, l.ContentID)
	}
	return destination, content
}

// The 64-bit FNV-1a hash.
const (
	fnvBasis = -0x340d631b7bdddcdb // 0xcbf29ce484222325
	fnvPrime = 0x100000001b3
)

// hash goes on with a hash, never giving 0.
func hash(h int64, s string) int64 {
	for i := range len(s) {
		h = (h ^ int64(s[i])) * fnvPrime
	}
	return h | 1
}
