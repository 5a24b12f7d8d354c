//go:build linux

package powercut

import (
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

const pageSize = 4096

// image is the bytes of a file.
type image struct {
	size  int64
	pages map[int64]*[pageSize]byte // one that is missing is zeros
}

// node is a file or a folder. It is guarded by Disk.mu.
type node struct {
	number   uint64 // of the present mount
	mode     uint32
	uid, gid uint32
	changed  time.Time

	now, durable image
	dirty        map[int64]bool // pages of now that durable may not have
	synced       [2]time.Time   // the ends of the last sync and the one before

	entries map[string]*node
	kept    map[string]*node // the durable ones
	pending []change         // what leads from kept to entries, in order
}

// change is one of a folder's: a name came to mean a node, or nothing.
type change struct {
	name string
	node *node
	// more says that the next change happens with this one, or neither does.
	more bool
}

func newNode(mode uint32) *node {
	n := &node{mode: mode, changed: time.Now()}
	if n.folder() {
		n.entries, n.kept = map[string]*node{}, map[string]*node{}
	} else {
		n.now.pages, n.durable.pages = map[int64]*[pageSize]byte{}, map[int64]*[pageSize]byte{}
		n.dirty = map[int64]bool{}
	}
	return n
}

func (n *node) folder() bool { return n.mode&syscall.S_IFMT == syscall.S_IFDIR }

// set makes names of a folder mean something else, at once.
func (n *node) set(changes ...change) {
	for i, c := range changes {
		c.more = i < len(changes)-1
		c.apply(n.entries)
		n.pending = append(n.pending, c)
	}
	n.changed = time.Now()
}

func (c change) apply(entries map[string]*node) {
	if c.node == nil {
		delete(entries, c.name)
	} else {
		entries[c.name] = c.node
	}
}

func (n *node) write(data []byte, at int64) {
	for end := at + int64(len(data)); at < end; {
		page := n.page(at / pageSize)
		c := copy(page[at%pageSize:], data)
		data, at = data[c:], at+int64(c)
	}
	n.now.size = max(n.now.size, at)
	n.changed = time.Now()
}

// page gives a page to be written to.
func (n *node) page(i int64) *[pageSize]byte {
	n.dirty[i] = true
	p := n.now.pages[i]
	if p == nil {
		p = new([pageSize]byte)
		n.now.pages[i] = p
	}
	return p
}

func (n *node) read(dst []byte, at int64) int {
	total := int(max(0, min(int64(len(dst)), n.now.size-at)))
	for dst = dst[:total]; len(dst) > 0; {
		part := dst[:min(len(dst), int(pageSize-at%pageSize))]
		if p := n.now.pages[at/pageSize]; p != nil {
			copy(part, p[at%pageSize:])
		} else {
			clear(part)
		}
		dst, at = dst[len(part):], at+int64(len(part))
	}
	return total
}

// resize cuts off or adds zeros.
func (n *node) resize(size int64) {
	n.changed = time.Now()
	if size >= n.now.size {
		n.now.size = size
		return
	}
	n.now.size = size
	for i := range n.now.pages {
		if i*pageSize >= size {
			delete(n.now.pages, i)
			n.dirty[i] = true
		}
	}
	if rest := size % pageSize; rest > 0 && n.now.pages[size/pageSize] != nil {
		clear(n.page(size / pageSize)[rest:])
	}
}

// punch makes zeros of a range.
func (n *node) punch(at, length int64) {
	if end := min(at+length, n.now.size); at < end {
		n.write(make([]byte, end-at), at)
	}
}

// sync makes a node durable as it is.
func (n *node) sync() {
	if n.folder() {
		n.kept, n.pending = maps.Clone(n.entries), nil
		return
	}
	for i := range n.dirty {
		if p := n.now.pages[i]; p != nil {
			n.durable.put(i, p)
		} else {
			delete(n.durable.pages, i)
		}
	}
	clear(n.dirty)
	n.durable.size = n.now.size
	n.synced[0], n.synced[1] = time.Now(), n.synced[0]
}

func (m *image) put(i int64, p *[pageSize]byte) {
	own := m.pages[i]
	if own == nil {
		own = new([pageSize]byte)
		m.pages[i] = own
	}
	*own = *p
}

// cut makes a node, and what is durably below it, what a power cut leaves.
func (n *node) cut(tear Tear, counts *Counts, seen map[*node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	n.synced = [2]time.Time{}
	if !n.folder() {
		n.cutFile(tear, counts)
		return
	}
	kept := len(n.pending)
	if tear.Random == nil {
		kept = 0
	} else {
		// Journals of file systems keep the order of a folder's changes.
		for kept = tear.Random.IntN(kept + 1); kept > 0 && n.pending[kept-1].more; {
			kept--
		}
	}
	for _, c := range n.pending[:kept] {
		c.apply(n.kept)
	}
	counts.Undone += len(n.pending) - kept
	n.pending, n.entries = nil, maps.Clone(n.kept)
	for _, name := range slices.Sorted(maps.Keys(n.entries)) { // the same for the same seed
		n.entries[name].cut(tear, counts, seen)
	}
}

func (n *node) cutFile(tear Tear, counts *Counts) {
	if r := tear.Random; r != nil {
		if r.IntN(2) == 0 {
			n.durable.size = n.now.size
		}
		for _, i := range slices.Sorted(maps.Keys(n.dirty)) {
			counts.Torn += n.tearPage(i, r, tear.Sector)
		}
		n.durable.trim()
	}
	counts.Dropped += len(n.dirty)
	clear(n.dirty)
	n.now = image{size: n.durable.size, pages: map[int64]*[pageSize]byte{}}
	for i, p := range n.durable.pages {
		own := *p
		n.now.pages[i] = &own
	}
}

// tearPage keeps each sector of a page or drops it, and counts the kept ones.
func (n *node) tearPage(i int64, r *rand.Rand, sector int) (kept int) {
	from := n.now.pages[i]
	if from == nil {
		from = new([pageSize]byte)
	}
	page := new([pageSize]byte)
	if p := n.durable.pages[i]; p != nil {
		*page = *p
	}
	for at := 0; at < pageSize; at += sector {
		if r.IntN(2) == 0 {
			copy(page[at:at+sector], from[at:])
			kept++
		}
	}
	n.durable.put(i, page)
	return kept
}

// trim drops what lies beyond the size.
func (m *image) trim() {
	for i, p := range m.pages {
		switch over := m.size - i*pageSize; {
		case over <= 0:
			delete(m.pages, i)
		case over < pageSize:
			clear(p[over:])
		}
	}
}
