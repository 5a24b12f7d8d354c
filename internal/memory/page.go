package memory

import (
	"encoding/binary"
	"sync/atomic"
	"time"
	"unsafe"

	"kurz/internal/account"
	"kurz/internal/link"
)

// page holds records one behind the other, in memory without pointers, so that
// the garbage collector has nothing to look at in it.
//
// A record that was published keeps its place in the page, and its texts never
// change: a record that is to be elsewhere is copied, and the page left to the
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
//	0  uint16  its size, less 1
//	2  uint8   length of the code
//	3  uint8   how often it was asked for, up to maxUses, and its queue
//	4  uint32  when it was loaded; see stampOf
//	8  int64   ID
//	16 uint16  status
//	18 uint8   flags
//	19 uint8   bytes at the end that say nothing
//
// then two uint16, the lengths of the domain and the expired URL, if there is
// one of them; an int64 for each of the lowest six flags that is set; code,
// domain, destination and expired URL; and up to three bytes, so that the next
// record begins at a multiple of four.
//
// The first eight bytes are two words that change while others read them.
// Everything else never does. All of it lies where a Get looks anyway.
const (
	recordHead  = 20
	recordWords = 8 // of these, those of the words
	recordAlign = 4

	stateShift = 24 // in the first word
	sizeMask   = 0xffff
	codeShift  = 16
)

// The flags of a record.
const (
	hasOwner   = 1 << iota
	hasVersion // other than 1
	hasEdgeTTL
	hasStart
	hasEnd
	hasRevocation
	forwardsQuery
	hasLengths

	hasNumbers = forwardsQuery - 1
)

// recordFlags gives the flags of a route's record.
func recordFlags(k link.Key, r *link.Route) (flags uint8) {
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
		{k.Domain != "" || r.ExpiredURL != "", hasLengths},
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
	size := filled(recordFlags(k, r)) + len(k.Code) + len(k.Domain) + len(r.Destination) + len(r.ExpiredURL)
	return (size + recordAlign - 1) &^ (recordAlign - 1)
}

// filled gives how many bytes of a record stand before its texts.
func filled(flags uint8) int {
	if flags&(hasLengths|hasNumbers) == 0 {
		return recordHead
	}
	n := recordHead + int(flags/hasLengths)*4
	for flags &= hasNumbers; flags != 0; flags &= flags - 1 {
		n += 8
	}
	return n
}

// write writes a record behind the others, where nobody sees it yet; its state
// is 0.
func (p *page) write(k link.Key, r *link.Route, size int, loaded uint32) {
	order, flags := binary.LittleEndian, recordFlags(k, r)
	texts := len(k.Code) + len(k.Domain) + len(r.Destination) + len(r.ExpiredURL)
	b := p.bytes[p.used : p.used : p.used+size]
	b = order.AppendUint64(b, 0) // the words
	b = order.AppendUint64(b, uint64(r.ID))
	b = order.AppendUint16(b, uint16(r.Status))
	b = append(b, flags, uint8(size-filled(flags)-texts))
	if flags&hasLengths != 0 {
		b = order.AppendUint16(b, uint16(len(k.Domain)))
		b = order.AppendUint16(b, uint16(len(r.ExpiredURL)))
	}
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
	b = append(b, r.ExpiredURL...)
	clear(b[len(b):size])
	written := record{p, p.used}
	written.word(0).Store(uint32(len(k.Code))<<codeShift | uint32(size-1))
	written.word(1).Store(loaded)
}

// copy writes a record as another is at the moment, where nobody sees it yet.
func (r record) copy(from record) {
	r.word(0).Store(from.word(0).Load())
	r.word(1).Store(from.word(1).Load())
	copy(r.rest(), from.rest())
}

// record is one of a page.
type record struct {
	page *page
	at   int
}

// word gives one of the words that change.
func (r record) word(i int) *atomic.Uint32 {
	// The bytes of a word are seen as one, and never as part of a text.
	return (*atomic.Uint32)(unsafe.Pointer((*[4]byte)(r.page.bytes[r.at+4*i:])))
}

// rest gives what never changes.
func (r record) rest() []byte { return r.page.bytes[r.at+recordWords : r.at+r.size()] }

// head gives the part of it that all have; what is at i of a record is at
// i - recordWords of it.
func (r record) head() *[recordHead - recordWords]byte {
	return (*[recordHead - recordWords]byte)(r.page.bytes[r.at+recordWords:])
}

func (r record) flags() uint8 { return r.head()[18-recordWords] }

func (r record) int64(i int) int64 {
	return int64(binary.LittleEndian.Uint64(r.page.bytes[r.at+i:]))
}

func (r record) size() int { return int(r.word(0).Load()&sizeMask) + 1 }

// loaded gives the stamp of when it was loaded.
func (r record) loaded() uint32         { return r.word(1).Load() }
func (r record) setLoaded(stamp uint32) { r.word(1).Store(stamp) }

const (
	// maxUses is how often a link may pass the end of the main queue without
	// having been asked for in between.
	maxUses = 7
	// promoted is how often a new one must be asked for to reach it.
	promoted = 1

	queueBits = 3 // where the queue begins in the state
)

// used counts that the record was asked for.
func (r record) used() {
	w := r.word(0)
	// Most hits are on those that have the most already, and then write
	// nothing, so that processors don't fight for them.
	if n := w.Load(); n>>stateShift&maxUses < maxUses {
		w.CompareAndSwap(n, n+1<<stateShift)
	}
}

func (r record) uses() uint32  { return r.word(0).Load() >> stateShift & maxUses }
func (r record) queue() uint32 { return r.word(0).Load() >> (stateShift + queueBits) }

// set sets the queue and the uses. A use counted meanwhile may be forgotten.
func (r record) set(queue, uses uint32) {
	w := r.word(0)
	w.Store(w.Load()&(1<<stateShift-1) | (queue<<queueBits|uses)<<stateShift)
}

// lengths gives those of code, domain and expired URL.
func (r record) lengths() (code, domain, expired int) {
	code = int(r.word(0).Load() >> codeShift & 0xff)
	if r.flags()&hasLengths != 0 {
		order, b := binary.LittleEndian, r.page.bytes[r.at+recordHead:]
		domain, expired = int(order.Uint16(b)), int(order.Uint16(b[2:]))
	}
	return code, domain, expired
}

func (r record) key() link.Key {
	code, domain, _ := r.lengths()
	text := r.page.text[r.at+filled(r.flags()):]
	return link.Key{Code: link.Code(text[:code]), Domain: link.Domain(text[code : code+domain])}
}

// is reports whether the record is of a key.
func (r record) is(k link.Key) bool {
	code, domain, _ := r.lengths()
	if code != len(k.Code) || domain != len(k.Domain) {
		return false
	}
	text := r.page.text[r.at+filled(r.flags()):]
	return text[:code] == string(k.Code) && text[code:code+domain] == string(k.Domain)
}

func (r record) version() int64 {
	flags := r.flags()
	if flags&hasVersion == 0 {
		return 1
	}
	return r.int64(filled(flags & (hasLengths | hasOwner)))
}

func (r record) missing() bool { return r.version() == 0 }

// read fills in all of a route but LoadedAt. The key has so many bytes.
func (r record) read(route *link.Route, keyLength int) {
	head, flags := r.head(), r.flags()
	route.ID = link.ID(binary.LittleEndian.Uint64(head[:]))
	route.Version = 1
	route.Status = int(binary.LittleEndian.Uint16(head[16-recordWords:]))
	route.ForwardQuery = flags&forwardsQuery != 0
	i := filled(flags & hasLengths)
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
	text := r.page.text[r.at+i+keyLength : r.at+r.size()-int(head[19-recordWords])]
	if flags&hasLengths != 0 {
		_, _, expired := r.lengths()
		n := len(text) - expired
		route.ExpiredURL = link.Href(text[n:])
		text = text[:n]
	}
	route.Destination = link.Href(text)
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
