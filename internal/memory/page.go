package memory

import (
	"encoding/binary"
	"math/bits"
	"time"
	"unsafe"

	"kurz/internal/account"
	"kurz/internal/link"
)

// page holds records one behind the other, in memory without pointers, so that
// the garbage collector has nothing to look at in it.
//
// A record never changes once it was published, nor does it move within the
// page: a record that is to be elsewhere is copied, and the page left to the
// collector when nothing in it is wanted any longer. So the strings of a route
// lie in the page itself, and keep it alive for whoever still has them.
type page struct {
	bytes []byte
	text  string // the same memory
	// Guarded by the shard's lock.
	used int // bytes written
	live int // of these, those of records in the index
}

const (
	minPage = 1 << 10
	maxPage = 1 << 16 // so that a place in it has 16 bits
)

func newPage(size int) *page {
	b := make([]byte, size)
	// The bytes of a string must not change while someone sees them: readers
	// get at them through the place of a published record only, and nothing is
	// written there again.
	return &page{bytes: b, text: unsafe.String(unsafe.SliceData(b), len(b))}
}

// A record is
//
//	0  uint16  its size
//	2  uint16  length of the destination
//	4  uint16  length of the expired URL
//	6  uint16  length of the domain
//	8  uint16  status
//	10 uint8   length of the code
//	11 uint8   flags
//	12 int64   ID
//
// then an int64 for each of the lowest six flags that is set, then code,
// domain, destination and expired URL.
const recordHead = 20

// The flags of a record.
const (
	hasOwner   = 1 << iota
	hasVersion // other than 1
	hasEdgeTTL
	hasStart
	hasEnd
	hasRevocation
	forwardsQuery

	hasNumbers = forwardsQuery - 1
)

// recordFlags gives the flags of a route's record.
func recordFlags(r *link.Route) (flags uint8) {
	for _, f := range [...]struct {
		is   bool
		flag uint8
	}{
		{r.Owner != 0, hasOwner},
		{r.Version != 1, hasVersion},
		{r.EdgeTTL != 0, hasEdgeTTL},
		{!r.StartsAt.IsZero(), hasStart},
		{!r.ExpiresAt.IsZero(), hasEnd},
		{!r.RevokedAt.IsZero(), hasRevocation},
		{r.ForwardQuery, forwardsQuery},
	} {
		if f.is {
			flags |= f.flag
		}
	}
	return flags
}

// recordSize gives the bytes that a record takes; more than maxPage says that
// there can't be one.
func recordSize(k link.Key, r *link.Route) int {
	if len(k.Code) > 0xff || r.Status < 0 || r.Status > 0xffff {
		return maxPage + 1
	}
	return recordHead + 8*bits.OnesCount8(recordFlags(r)&hasNumbers) +
		len(k.Code) + len(k.Domain) + len(r.Destination) + len(r.ExpiredURL)
}

// write writes a record behind the others, where nobody sees it yet.
func (p *page) write(k link.Key, r *link.Route, size int) {
	order, flags := binary.LittleEndian, recordFlags(r)
	b := p.bytes[p.used : p.used : p.used+size]
	b = order.AppendUint16(b, uint16(size-1))
	b = order.AppendUint16(b, uint16(len(r.Destination)))
	b = order.AppendUint16(b, uint16(len(r.ExpiredURL)))
	b = order.AppendUint16(b, uint16(len(k.Domain)))
	b = order.AppendUint16(b, uint16(r.Status))
	b = append(b, uint8(len(k.Code)), flags)
	b = order.AppendUint64(b, uint64(r.ID))
	for i, n := range [...]int64{
		int64(r.Owner), r.Version, int64(r.EdgeTTL),
		r.StartsAt.UnixMilli(), r.ExpiresAt.UnixMilli(), r.RevokedAt.UnixMilli(),
	} {
		if flags&(1<<i) != 0 {
			b = order.AppendUint64(b, uint64(n))
		}
	}
	b = append(b, k.Code...)
	b = append(b, k.Domain...)
	b = append(b, r.Destination...)
	_ = append(b, r.ExpiredURL...)
}

// record is one of a page.
type record struct {
	page *page
	at   int
}

// head gives the part of a record that all have.
func (r record) head() *[recordHead]byte {
	return (*[recordHead]byte)(r.page.bytes[r.at:])
}

func (r record) int64(i int) int64 {
	return int64(binary.LittleEndian.Uint64(r.page.bytes[r.at+i:]))
}

func (r record) size() int     { return uint16At(r.head(), 0) + 1 }
func (r record) bytes() []byte { return r.page.bytes[r.at : r.at+r.size()] }

func uint16At(head *[recordHead]byte, i int) int {
	return int(binary.LittleEndian.Uint16(head[i:]))
}

// texts gives where the texts begin.
func texts(head *[recordHead]byte) int {
	flags, n := head[11]&hasNumbers, recordHead
	for ; flags != 0; flags &= flags - 1 {
		n += 8
	}
	return n
}

func (r record) key() link.Key {
	head := r.head()
	text := r.page.text[r.at+texts(head):]
	n := int(head[10])
	return link.Key{Code: link.Code(text[:n]), Domain: link.Domain(text[n : n+uint16At(head, 6)])}
}

// is reports whether the record is of a key.
func (r record) is(k link.Key) bool {
	head := r.head()
	if int(head[10]) != len(k.Code) || uint16At(head, 6) != len(k.Domain) {
		return false
	}
	text := r.page.text[r.at+texts(head):]
	return text[:len(k.Code)] == string(k.Code) && text[len(k.Code):][:len(k.Domain)] == string(k.Domain)
}

func (r record) version() int64 {
	switch flags := r.head()[11]; {
	case flags&hasVersion == 0:
		return 1
	case flags&hasOwner == 0:
		return r.int64(recordHead)
	}
	return r.int64(recordHead + 8)
}

func (r record) missing() bool { return r.version() == 0 }

// read fills in all of a route but LoadedAt.
func (r record) read(route *link.Route) {
	head := r.head()
	flags := head[11]
	route.ID = link.ID(binary.LittleEndian.Uint64(head[12:]))
	route.Version = 1
	route.Status = uint16At(head, 8)
	route.ForwardQuery = flags&forwardsQuery != 0
	i := recordHead
	if flags&hasOwner != 0 {
		route.Owner = account.ID(r.int64(i))
		i += 8
	}
	if flags&hasVersion != 0 {
		route.Version = r.int64(i)
		i += 8
	}
	if flags&(hasEdgeTTL|hasStart|hasEnd|hasRevocation) != 0 {
		i = r.readRare(route, flags, i)
	}
	text := r.page.text[r.at+i+int(head[10])+uint16At(head, 6):]
	n := uint16At(head, 2)
	route.Destination = link.Href(text[:n])
	if expired := uint16At(head, 4); expired > 0 {
		route.ExpiredURL = link.Href(text[n : n+expired])
	}
}

// readRare fills in the numbers from i on that few links have, and gives where
// they end.
func (r record) readRare(route *link.Route, flags uint8, i int) int {
	if flags&hasEdgeTTL != 0 {
		route.EdgeTTL = time.Duration(r.int64(i))
		i += 8
	}
	for _, t := range [...]struct {
		flag uint8
		time *time.Time
	}{{hasStart, &route.StartsAt}, {hasEnd, &route.ExpiresAt}, {hasRevocation, &route.RevokedAt}} {
		if flags&t.flag != 0 {
			*t.time = time.UnixMilli(r.int64(i)).UTC()
			i += 8
		}
	}
	return i
}
