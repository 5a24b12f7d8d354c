package search

import (
	"container/heap"
	"slices"

	"kurz/internal/link"
)

// Segment is a segment that is stored.
type Segment struct {
	ID          int64
	First, Last link.ID // no link of it is before or behind
	// Dead are those of its links that another segment has now; nil: none.
	Dead Set
}

// Source gives what is stored, all of one moment.
type Source interface {
	// Directory gives the parsed first block of a segment.
	Directory(segment int64) (*Directory, error)
	// Block gives another block of a segment. It is valid until the next call.
	Block(segment int64, place int) ([]byte, error)
	// Link reads the row of a link that a segment has.
	Link(id link.ID) (link.Link, error)
}

// Page gives what link.Store.Page does for the links of segments and those that
// are loose. In segments, loose ones are passed over; those of them that the
// query's Filter selects are to be in own.
func Page(q link.Query, segments []Segment, loose map[link.ID]bool, own []link.Link, from Source) ([]link.Link, link.Cursor, error) {
	if q.Sort == "" {
		q.Sort = link.NewestFirst
	}
	f := &finder{query: q, wanted: wantedBy(&q), selects: q.Filter(), loose: loose, from: from}
	f.addOwn(own)
	for _, s := range segments {
		if err := f.addSegment(s); err != nil {
			return nil, link.Cursor{}, err
		}
	}
	heap.Init(&f.streams)
	page := make([]link.Link, 0, min(q.Limit, 50)+1)
	for len(f.streams) > 0 && len(page) <= q.Limit {
		s := f.streams[0]
		if s.known {
			page = append(page, s.link)
		}
		more, err := f.advance(s)
		switch {
		case err != nil:
			return nil, link.Cursor{}, err
		case more:
			heap.Fix(&f.streams, 0)
		default:
			heap.Pop(&f.streams)
		}
	}
	if len(page) <= q.Limit {
		return page, link.Cursor{}, nil
	}
	page = page[:q.Limit]
	return page, link.CursorAt(q.Sort, &page[q.Limit-1]), nil
}

// finder is one search.
type finder struct {
	query   link.Query
	wanted  wanted
	selects func(*link.Link) bool
	loose   map[link.ID]bool
	from    Source
	streams streams
}

// stream gives links in the order of the query.
type stream struct {
	at    link.Cursor // of the next link; unless it is known, not behind it
	link  link.Link
	known bool
	// What is still to come: links that were read, or those of a segment.
	rest []link.Link
	seg  *opened
	next int
}

type streams []*stream

func (s streams) Len() int           { return len(s) }
func (s streams) Less(i, j int) bool { return s[i].at.Compare(&s[j].at) < 0 }
func (s streams) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *streams) Push(x any)        { *s = append(*s, x.(*stream)) }
func (s *streams) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// addOwn adds the links that were read already.
func (f *finder) addOwn(own []link.Link) {
	if rest := f.inOrder(own); len(rest) > 0 {
		s := &stream{rest: rest}
		_, _ = f.advance(s) // nothing is read
		f.streams = append(f.streams, s)
	}
}

// inOrder gives those that come after the query's cursor, in its order.
func (f *finder) inOrder(links []link.Link) []link.Link {
	links = slices.DeleteFunc(links, func(l link.Link) bool {
		at := link.CursorAt(f.query.Sort, &l)
		return !f.query.After.IsZero() && at.Compare(&f.query.After) <= 0
	})
	slices.SortFunc(links, func(a, b link.Link) int {
		x, y := link.CursorAt(f.query.Sort, &a), link.CursorAt(f.query.Sort, &b)
		return x.Compare(&y)
	})
	return links
}

// addSegment adds a segment. In the order of the IDs it is opened only when its
// turn comes, if ever.
func (f *finder) addSegment(seg Segment) error {
	s := &stream{seg: &opened{Segment: seg, from: f.from}}
	sort, after := f.query.Sort, f.query.After
	if orderColumn(sort) == idColumn {
		s.at = link.Cursor{Sort: sort, ID: seg.First}
		far := link.Cursor{Sort: sort, ID: seg.Last}
		if sort.Descends() {
			s.at, far = far, s.at
		}
		if after.IsZero() || far.Compare(&after) > 0 {
			f.streams = append(f.streams, s)
		}
		return nil
	}
	more, err := f.advance(s)
	if more {
		f.streams = append(f.streams, s)
	}
	return err
}

// advance moves a stream to its next link; more is false at its end.
func (f *finder) advance(s *stream) (more bool, err error) {
	if s.seg != nil && s.seg.set == nil {
		if more, err := f.open(s); err != nil || !more {
			return false, err
		}
	}
	if s.seg == nil {
		if len(s.rest) == 0 {
			return false, nil
		}
		s.link, s.rest = s.rest[0], s.rest[1:]
		s.at, s.known = link.CursorAt(f.query.Sort, &s.link), true
		return true, nil
	}
	for s.next < s.seg.docs {
		doc, err := f.place(s.seg, s.next)
		if err != nil {
			return false, err
		}
		if s.next++; !s.seg.set.Has(doc) {
			continue
		}
		l, ok, err := f.read(s.seg, doc)
		if err != nil {
			return false, err
		}
		if ok && f.selects(&l) {
			s.link, s.at, s.known = l, link.CursorAt(f.query.Sort, &l), true
			return true, nil
		}
	}
	return false, nil
}

// fewLinks are read rather than looked for in an order.
const fewLinks = 12

// open finds out which links of a segment may be selected, and goes to the first
// after the cursor; more is false if there is none.
func (f *finder) open(s *stream) (more bool, err error) {
	var left int
	if s.seg.set, left, err = f.wanted.in(s.seg); err != nil || left == 0 {
		return false, err
	}
	if left > fewLinks {
		s.next, err = f.seek(s.seg)
		return s.next < s.seg.docs, err
	}
	var links []link.Link
	for doc := range s.seg.docs {
		if !s.seg.set.Has(doc) {
			continue
		}
		l, ok, err := f.read(s.seg, doc)
		if err != nil {
			return false, err
		}
		if ok && f.selects(&l) {
			links = append(links, l)
		}
	}
	s.rest, s.seg = f.inOrder(links), nil
	return true, nil
}

// place gives which link is the nth in the query's order.
func (f *finder) place(seg *opened, n int) (int, error) {
	if f.query.Sort.Descends() {
		n = seg.docs - 1 - n
	}
	column := orderColumn(f.query.Sort)
	if column == idColumn {
		return n, nil
	}
	place, err := seg.cell(column, n)
	if err == nil && int(place) >= seg.docs {
		err = ErrDamaged
	}
	return int(place), err
}

// read reads the row of a link; ok is false for one that is loose.
func (f *finder) read(seg *opened, doc int) (l link.Link, ok bool, err error) {
	id, err := seg.id(doc)
	if err != nil || f.loose[id] {
		return l, false, err
	}
	l, err = f.from.Link(id)
	return l, err == nil, err
}

// seek gives the first place in the query's order that is after its cursor. The
// links that are dead or loose stand where they were once.
func (f *finder) seek(seg *opened) (int, error) {
	if f.query.After.IsZero() {
		return 0, nil
	}
	low, high := 0, seg.docs
	for low < high {
		middle := int(uint(low+high) / 2)
		n, at, err := f.probe(seg, middle, high)
		switch {
		case err != nil:
			return 0, err
		case n == high || at.Compare(&f.query.After) > 0:
			high = middle
		default:
			low = n + 1
		}
	}
	return low, nil
}

// probe gives the first place from n on with a link that stands where it
// belongs, and that place as a cursor; high if there is none before it.
func (f *finder) probe(seg *opened, n, high int) (int, link.Cursor, error) {
	for ; n < high; n++ {
		doc, err := f.place(seg, n)
		if err != nil {
			return 0, link.Cursor{}, err
		}
		if orderColumn(f.query.Sort) == idColumn {
			id, err := seg.id(doc)
			return n, link.Cursor{Sort: f.query.Sort, ID: id}, err
		}
		if seg.Dead != nil && seg.Dead.Has(doc) {
			continue
		}
		l, ok, err := f.read(seg, doc)
		if err != nil {
			return 0, link.Cursor{}, err
		}
		if ok {
			return n, link.CursorAt(f.query.Sort, &l), nil
		}
	}
	return high, link.Cursor{}, nil
}
