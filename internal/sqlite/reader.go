package sqlite

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"sync"

	"zombiezen.com/go/sqlite"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

// reader reads the chunks that a query may ask for.
type reader struct {
	link       link.ID // 0: all
	first, end click.ID
	parts      []*part // those that end last first
	chunks     *chunks
	sheets     *sheets
}

func newReader(c *sqlite.Conn, q *click.Query) (r *reader, err error) {
	r = &reader{link: q.Link}
	r.first, r.end = columns.Span(q)
	if r.parts, err = listParts(c, selectParts, int64(r.first), int64(r.end)); err != nil {
		return nil, err
	}
	findAlone(r.parts)
	return r, r.use(c)
}

// findAlone finds out when each of some parts is alone.
func findAlone(list []*part) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *part) int { return cmp.Compare(a.first, b.first) })
	before := int64(math.MinInt64)
	for i, p := range list {
		p.aloneFrom, p.aloneEnd = before, math.MaxInt64
		if i+1 < len(list) {
			p.aloneEnd = list[i+1].first.Time().UnixMilli()
		}
		before = max(before, p.last.Time().UnixMilli()+1)
	}
}

// use makes the reader read by a connection.
func (r *reader) use(c *sqlite.Conn) (err error) {
	r.chunks = &chunks{conn: c}
	r.sheets, err = newSheets(c)
	return err
}

// count counts a piece.
func (r *reader) count(counter *columns.Counter, p piece) error {
	if p.rolled && r.link == 0 {
		return r.sheets.count(counter, p.part, p.first, p.end)
	}
	return r.read(p.part, p.first, p.end, func(chunk *columns.Chunk, from, to int) {
		counter.AddChunk(chunk, from, to, p.first, p.end)
	})
}

// work gives how many clicks are looked at for a piece.
func (r *reader) work(p piece) int64 {
	if r.link == 0 {
		return p.clicks
	}
	from, to := p.chunksOf(r.link)
	return int64(to-from) * columns.ChunkRows
}

// read calls each with the clicks of a part, unless none of them has an ID from
// first up to, but without, end.
func (r *reader) read(p *part, first, end click.ID, each func(c *columns.Chunk, from, to int)) error {
	if !p.overlaps(first, end) || first >= end {
		return nil
	}
	if r.link == 0 {
		return r.chunks.each(p, func(c *columns.Chunk) error {
			each(c, 0, c.Len())
			return nil
		})
	}
	from, to := p.chunksOf(r.link)
	for place := from; place < to; place++ {
		c, err := r.chunks.open(p, place)
		if err != nil {
			return err
		}
		if from, to := c.Find(r.link); from < to {
			each(c, from, to)
		}
		if c.Err() != nil {
			return errDamagedPart
		}
	}
	return nil
}

// pieces are what is to be counted, each a part or some of it.
type pieces struct {
	mu   sync.Mutex
	list []piece
	left []piece // what the helper could not do
}

// piece are the clicks of a part from first up to, but without, end.
type piece struct {
	*part
	first, end click.ID
}

func (w *pieces) add(p *part, first, end click.ID) {
	if p.overlaps(first, end) && first < end {
		w.list = append(w.list, piece{p, first, end})
	}
}

// front takes the first piece.
func (w *pieces) front() (p piece, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) == 0 {
		return p, false
	}
	p, w.list = w.list[0], w.list[1:]
	return p, true
}

// back takes the last piece.
func (w *pieces) back() (p piece, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) == 0 {
		return p, false
	}
	last := len(w.list) - 1
	p, w.list = w.list[last], w.list[:last]
	return p, true
}

// muchWork is from how many clicks on a helper is worth while.
const muchWork = 1 << 15

// count counts all pieces. Where that is much work, a processor is there for it
// and a connection is free, a helper takes some: from the other end, so that the
// two have few buckets of the series in common. Then, if it is not nil, it does
// more; wait gives its error and whether it did.
func (w *pieces) count(ctx context.Context, db *DB, r *reader, counter *columns.Counter, more func(c *sqlite.Conn) (done bool, err error)) (wait func() (done bool, err error), err error) {
	work := int64(0)
	for _, p := range w.list {
		work += r.work(p)
	}
	share := len(w.list) > 1 && work >= muchWork
	h := &helper{counted: make(chan error, 1), ended: make(chan error, 1)}
	if (share || more != nil) && runtime.GOMAXPROCS(0) > 1 {
		other := counter.Fork()
		go h.run(ctx, db, func(c *sqlite.Conn) error {
			if !share {
				return nil
			}
			return w.help(c, r.link, other)
		}, more)
		defer func() {
			if failed := <-h.counted; err == nil {
				err = failed
			}
			counter.Join(other)
			if err == nil {
				w.list = w.left
				err = w.each(w.front, r, counter)
			}
		}()
	} else {
		h.ended <- nil
	}
	err = w.each(w.front, r, counter)
	for more := err != nil; more; {
		_, more = w.front() // nothing is left for the helper
	}
	return h.wait, err
}

// helper does a part of the work, within a snapshot of its own.
type helper struct {
	counted, ended chan error
	done           bool
}

func (h *helper) run(ctx context.Context, db *DB, count func(c *sqlite.Conn) error, more func(c *sqlite.Conn) (bool, error)) {
	told := false
	err := db.help(ctx, func(c *sqlite.Conn) (err error) {
		err = count(c)
		h.counted <- err
		if told = true; err == nil && more != nil {
			h.done, err = more(c)
		}
		return err
	})
	if !told {
		h.counted <- err
	}
	h.ended <- err
}

func (h *helper) wait() (done bool, err error) {
	err = <-h.ended
	return h.done && err == nil, err
}

func (w *pieces) each(next func() (piece, bool), r *reader, counter *columns.Counter) error {
	for {
		p, ok := next()
		if !ok {
			return nil
		}
		if err := r.count(counter, p); err != nil {
			return err
		}
	}
}

// help counts pieces within a snapshot that is later than theirs: a part that
// is gone in it is left to others.
func (w *pieces) help(c *sqlite.Conn, id link.ID, counter *columns.Counter) error {
	r := &reader{link: id}
	if err := r.use(c); err != nil {
		return err
	}
	return w.each(func() (piece, bool) {
		for {
			p, ok := w.back()
			if !ok {
				return p, false
			}
			if there, err := isThere(c, p.part); err == nil && there {
				return p, true
			}
			w.left = append(w.left, p)
		}
	}, r, counter)
}
