package sqlite

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"zombiezen.com/go/sqlite"

	"kurz/internal/link"
	"kurz/internal/search"
)

const (
	selectSegments = `SELECT id, docs, live, first, last, dead FROM search_segments ORDER BY id`
	selectState    = `SELECT next_segment, covered, taken FROM search_state`
	selectBlock    = `SELECT data FROM search_blocks WHERE id = ?`
	selectByID     = selectLink + `id = ?`
	selectTail     = selectLink + `id > ? ORDER BY id DESC`
	selectLoose    = `SELECT link FROM search_loose WHERE link <= ?`

	blocksPerSegment = 1 << 16
)

// maxTail is how many links are looked at one by one because they are not in the
// index yet. Are there more, it is not of use yet.
const maxTail = 16_384

var errNoIndex = errors.New("the search index has yet to be made")

// index is what is kept in memory of the search index.
type index struct {
	mu          sync.Mutex
	directories map[int64]*search.Directory
	swept       bool        // of what an earlier process did not finish
	dirty       atomic.Bool // links were stored or changed since Tidy began last
	behind      atomic.Bool // Tidy has not yet come to an end
	calls       int         // of Tidy
	// When segments are made, and how many links they have at most.
	tailFrom, looseFrom, docs int
	damaged                   atomic.Bool
}

// segment is a row of search_segments.
type segment struct {
	search.Segment
	docs, live int
}

func listSegments(c *sqlite.Conn) (list []segment, err error) {
	err = query(c, selectSegments, nil, func(r *cells) bool {
		s := segment{}
		s.ID, s.docs, s.live = r.int(), int(r.int()), int(r.int())
		s.First, s.Last = link.ID(r.int()), link.ID(r.int())
		if !r.s.ColumnIsNull(r.n) {
			dead := readBytes(r.s, r.n, nil)
			s.Dead = make(search.Set, (len(dead)+7)/8)
			for i := range dead {
				s.Dead[i/8] |= uint64(dead[i]) << (i % 8 * 8)
			}
		}
		list = append(list, s)
		return true
	})
	return list, err
}

// indexState is the row of search_state.
type indexState struct {
	next           int64
	covered, taken link.ID
}

func readIndexState(c *sqlite.Conn) (st indexState, err error) {
	err = query(c, selectState, nil, func(r *cells) bool {
		st = indexState{r.int(), link.ID(r.int()), link.ID(r.int())}
		return false
	})
	return st, err
}

// search answers q by the index, and by looking at what is not in it. It gives
// errNoIndex if that is too much.
func (s *Links) search(c *sqlite.Conn, q link.Query) ([]link.Link, link.Cursor, error) {
	state, err := readIndexState(c)
	if err != nil {
		return nil, link.Cursor{}, err
	}
	own, full, err := tail(c, &q, state.covered)
	if err != nil {
		return nil, link.Cursor{}, err
	}
	from := &blocks{c: c, index: &s.index}
	if full {
		return search.Page(q, nil, nil, own, from)
	}
	selects := q.Filter()
	loose := map[link.ID]bool{}
	err = query(c, selectLoose, func(b *binder) { b.int(int64(state.covered)) }, func(r *cells) bool {
		loose[link.ID(r.int())] = true
		return true
	})
	for id := range loose {
		if err != nil {
			break
		}
		l, found, e := oneLink(c, selectByID, func(b *binder) { b.int(int64(id)) })
		if err = e; found && selects(&l) {
			own = append(own, l)
		}
	}
	if err != nil {
		return nil, link.Cursor{}, err
	}
	list, err := listSegments(c)
	if err != nil {
		return nil, link.Cursor{}, err
	}
	segments := make([]search.Segment, len(list))
	for i := range list {
		segments[i] = list[i].Segment
	}
	page, next, err := search.Page(q, segments, loose, own, from)
	if errors.Is(err, search.ErrDamaged) {
		s.index.damaged.Store(true)
		err = errNoIndex
	}
	return page, next, err
}

// tail gives what q selects of the links that no segment has yet. It is full if
// nothing that a segment has can be on the page.
func tail(c *sqlite.Conn, q *link.Query, covered link.ID) (own []link.Link, full bool, err error) {
	selects := q.Filter()
	seen := 0
	var bad error
	err = query(c, selectTail, func(b *binder) { b.int(int64(covered)) }, func(r *cells) bool {
		if seen++; seen > maxTail {
			bad = errNoIndex
			return false
		}
		var l link.Link
		if l, bad = readLink(r); bad != nil {
			return false
		}
		if q.Sort == link.NewestFirst && !q.After.IsZero() && l.ID >= q.After.ID || !selects(&l) {
			return true
		}
		own = append(own, l)
		full = q.Sort == link.NewestFirst && len(own) > q.Limit
		return !full
	})
	if err == nil {
		err = bad
	}
	return own, full, err
}

// blocks is a search.Source.
type blocks struct {
	c     *sqlite.Conn
	index *index
	data  []byte
}

// Directory is that of search.Source.
func (b *blocks) Directory(segment int64) (*search.Directory, error) {
	b.index.mu.Lock()
	d := b.index.directories[segment]
	b.index.mu.Unlock()
	if d != nil {
		return d, nil
	}
	data, err := b.Block(segment, 0)
	if err != nil {
		return nil, err
	}
	if d, err = search.ParseDirectory(data); err != nil {
		return nil, err
	}
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	if len(b.index.directories) >= maxDirectories || b.index.directories == nil {
		b.index.directories = map[int64]*search.Directory{}
	}
	b.index.directories[segment] = d
	return d, nil
}

// maxDirectories bounds those that are kept in memory, some 5 KiB each.
const maxDirectories = 2048

// Block is that of search.Source.
func (b *blocks) Block(segment int64, place int) ([]byte, error) {
	if segment <= 0 || segment > math.MaxInt64/blocksPerSegment || place >= blocksPerSegment {
		return nil, search.ErrDamaged
	}
	found := false
	err := query(b.c, selectBlock, func(bind *binder) { bind.int(segment*blocksPerSegment + int64(place)) }, func(r *cells) bool {
		b.data, found = readBytes(r.s, 0, b.data), true
		return false
	})
	if err != nil {
		return nil, err
	}
	n := len(b.data) - sumSize
	if !found || n < 0 || binary.LittleEndian.Uint32(b.data[n:]) != crc32.Checksum(b.data[:n], castagnoli) {
		return nil, search.ErrDamaged
	}
	return b.data[:n], nil
}

// A block ends with its CRC-32C: one that is cut could be read all the same, and
// links in it would not be found.
const sumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func withSum(block []byte) []byte {
	return binary.LittleEndian.AppendUint32(slices.Clip(block), crc32.Checksum(block, castagnoli))
}

// Link is that of search.Source.
func (b *blocks) Link(id link.ID) (link.Link, error) {
	l, found, err := oneLink(b.c, selectByID, func(bind *binder) { bind.int(int64(id)) })
	if err == nil && !found {
		err = search.ErrDamaged
	}
	return l, err
}
