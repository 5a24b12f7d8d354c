package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"zombiezen.com/go/sqlite"

	"kurz/internal/link"
	"kurz/internal/search"
)

const (
	// A segment is made of links that have none from so many on; until then
	// searches look at them one by one. The same for those that were changed.
	tailFrom  = 1024
	looseFrom = 512
	// So many segments that are not half full are joined.
	joinedFrom = 4
	// One transaction stores so many blocks, or drops them: it holds up those
	// that create links.
	blocksAtOnce = 32

	selectUncovered = `SELECT id FROM links WHERE id > ?1 ORDER BY id LIMIT ?2`
	selectBetween   = selectLink + `id > ? AND id <= ? ORDER BY id`
	selectLooseIDs  = `SELECT link FROM search_loose WHERE link <= ? ORDER BY link LIMIT ?`
	selectVersion   = `SELECT version FROM links WHERE id = ?`
	takeSegment     = `UPDATE search_state SET next_segment = next_segment + 1, taken = max(taken, ?)`
	coverLinks      = `UPDATE search_state SET covered = max(covered, ?)`
	insertBlock     = `INSERT INTO search_blocks (id, data) VALUES (?, ?)`
	insertSegment   = `INSERT INTO search_segments (id, docs, live, first, last) VALUES (?, ?, ?, ?, ?)`
	updateDead      = `UPDATE search_segments SET dead = ?, live = ? WHERE id = ?`
	deleteSegment   = `DELETE FROM search_segments WHERE id = ?`
	deleteLoose     = `DELETE FROM search_loose WHERE link = ?`
	// Blocks are dropped from the last on, so that the first tells of the rest.
	firstBlockFrom = `SELECT id FROM search_blocks WHERE id >= ? ORDER BY id LIMIT 1`
	deleteBlocks   = `DELETE FROM search_blocks WHERE id IN
		(SELECT id FROM search_blocks WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3)`
	resetState  = `UPDATE search_state SET covered = 0, taken = 0`
	dropSegment = `DELETE FROM search_segments`
	dropLoose   = `DELETE FROM search_loose`
)

// Tidy is that of link.Upkeep. Where nothing was changed it costs nothing.
func (s *Links) Tidy(ctx context.Context) error {
	dirty := s.index.dirty.Swap(false) || s.index.calls%lookEvery == 0
	if s.index.calls++; !dirty {
		return nil
	}
	s.index.behind.Store(true)
	if err := s.tidy(ctx); err != nil {
		s.index.dirty.Store(true)
		return err
	}
	s.index.behind.Store(false)
	return nil
}

// lookEvery is how many calls of Tidy pass before it looks for changes that it
// was not told of: those of other processes.
const lookEvery = 60

// Indexed reports whether the index was up to date when it was last looked.
func (s *Links) Indexed() bool { return !s.index.behind.Load() }

func (s *Links) tidy(ctx context.Context) error {
	if s.index.damaged.Load() {
		if err := s.dropIndex(ctx); err != nil {
			return err
		}
		s.index.damaged.Store(false)
	}
	if !s.index.swept {
		if err := s.sweepBlocks(ctx); err != nil {
			return err
		}
		s.index.swept = true
	}
	for _, step := range []func(context.Context) (bool, error){s.indexTail, s.indexLoose, s.join} {
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			did, err := step(ctx)
			if err != nil {
				s.index.swept = false
				if errors.Is(err, search.ErrDamaged) {
					s.index.damaged.Store(true)
				}
				return err
			}
			if !did {
				break
			}
		}
	}
	return nil
}

func (s *Links) breathe() {
	if s.Breathe != nil {
		s.Breathe()
	}
}

// dropIndex forgets all segments, so that they are made anew.
func (s *Links) dropIndex(ctx context.Context) error {
	s.index.swept = false
	return s.db.writeIdly(ctx, func(c *sqlite.Conn) error {
		for _, sql := range []string{dropSegment, dropLoose, resetState} {
			if _, err := change(c, sql, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweepBlocks drops blocks that no segment has: those of one that was not
// finished, or not dropped whole.
func (s *Links) sweepBlocks(ctx context.Context) error {
	known := map[int64]bool{}
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		list, err := listSegments(c)
		for _, segment := range list {
			known[segment.ID] = true
		}
		return err
	})
	for next := int64(0); err == nil; {
		id := int64(-1)
		err = s.db.scan(ctx, func(c *sqlite.Conn) error {
			return query(c, firstBlockFrom, func(b *binder) { b.int(next) }, func(r *cells) bool {
				id = r.int()
				return false
			})
		})
		if err != nil || id < 0 {
			break
		}
		if segment := id / blocksPerSegment; !known[segment] {
			err = s.dropBlocks(ctx, segment)
		}
		next = (id/blocksPerSegment + 1) * blocksPerSegment
	}
	return err
}

// dropBlocks drops the blocks of a segment.
func (s *Links) dropBlocks(ctx context.Context, segment int64) error {
	for {
		dropped := 0
		err := s.db.writeOne(ctx, func(c *sqlite.Conn) (err error) {
			dropped, err = change(c, deleteBlocks, func(b *binder) {
				b.int(segment * blocksPerSegment)
				b.int((segment + 1) * blocksPerSegment)
				b.int(blocksAtOnce)
			})
			return err
		})
		if err != nil || dropped < blocksAtOnce {
			return err
		}
	}
}

// take gives the ID of a new segment. From now on links up to an ID are loose
// when they are stored or changed.
func (s *Links) take(ctx context.Context, to link.ID) (segment int64, err error) {
	err = s.db.writeIdly(ctx, func(c *sqlite.Conn) error {
		state, err := readIndexState(c)
		if err != nil {
			return err
		}
		segment = state.next
		_, err = change(c, takeSegment, func(b *binder) { b.int(int64(to)) })
		return err
	})
	return segment, err
}

// indexTail makes a segment of links that have none.
func (s *Links) indexTail(ctx context.Context) (did bool, err error) {
	var state indexState
	n, last := 0, link.ID(0)
	err = s.db.scan(ctx, func(c *sqlite.Conn) error {
		var err error
		if state, err = readIndexState(c); err != nil {
			return err
		}
		return query(c, selectUncovered, func(b *binder) { b.int(int64(state.covered)); b.int(int64(s.index.docs)) }, func(r *cells) bool {
			n, last = n+1, link.ID(r.int())
			return true
		})
	})
	if err != nil || n < s.index.tailFrom {
		return false, err
	}
	id, err := s.take(ctx, last)
	if err != nil {
		return false, err
	}
	links := make([]link.Link, 0, n)
	err = s.db.scan(ctx, func(c *sqlite.Conn) error {
		var bad error
		err := query(c, selectBetween, func(b *binder) { b.int(int64(state.covered)); b.int(int64(last)) }, func(r *cells) bool {
			// Some may have come before they were taken.
			if len(links) == s.index.docs {
				last = links[len(links)-1].ID
				return false
			}
			var l link.Link
			l, bad = readLink(r)
			links = append(links, l)
			if len(links)%16 == 0 {
				s.breathe()
			}
			return bad == nil
		})
		return errors.Join(err, bad)
	})
	if err != nil {
		return false, err
	}
	built := search.Build(links, s.breathe)
	return true, s.publish(ctx, id, built, func(c *sqlite.Conn) error {
		_, err := change(c, coverLinks, func(b *binder) { b.int(int64(last)) })
		return err
	})
}

// publish stores a segment, and makes it one of the index together with what
// also does.
func (s *Links) publish(ctx context.Context, id int64, built *search.Built, also func(c *sqlite.Conn) error) error {
	next := id * blocksPerSegment
	for some := range slices.Chunk(built.Blocks, blocksAtOnce) {
		first := next
		next += int64(len(some))
		err := s.db.writeIdly(ctx, func(c *sqlite.Conn) error {
			for i, data := range some {
				_, err := change(c, insertBlock, func(b *binder) { b.int(first + int64(i)); b.blob(withSum(data)) })
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.breathe()
	}
	return s.db.writeIdly(ctx, func(c *sqlite.Conn) error {
		if n := len(built.IDs); n > 0 {
			_, err := change(c, insertSegment, func(b *binder) {
				b.int(id)
				b.int(int64(n))
				b.int(int64(n))
				b.int(int64(built.IDs[0]))
				b.int(int64(built.IDs[n-1]))
			})
			if err != nil {
				return err
			}
		}
		return also(c)
	})
}

// indexLoose makes a segment of the links that were changed.
func (s *Links) indexLoose(ctx context.Context) (did bool, err error) {
	var ids, gone []link.ID
	var links []link.Link
	var kills []kill
	err = s.db.scan(ctx, func(c *sqlite.Conn) error {
		state, err := readIndexState(c)
		if err != nil {
			return err
		}
		err = query(c, selectLooseIDs, func(b *binder) { b.int(int64(state.covered)); b.int(int64(s.index.docs)) }, func(r *cells) bool {
			ids = append(ids, link.ID(r.int()))
			return true
		})
		if err != nil || len(ids) < s.index.looseFrom {
			return err
		}
		if links, gone, err = s.readLinks(c, ids); err != nil {
			return err
		}
		kills, err = s.findDead(c, ids)
		return err
	})
	if err != nil || len(ids) < s.index.looseFrom {
		return false, err
	}
	id, err := s.take(ctx, 0)
	if err != nil {
		return false, err
	}
	built := search.Build(links, s.breathe)
	return true, s.publish(ctx, id, built, func(c *sqlite.Conn) error {
		for _, k := range kills {
			if err := k.store(c); err != nil {
				return err
			}
		}
		for _, id := range gone {
			if _, err := change(c, deleteLoose, func(b *binder) { b.int(int64(id)) }); err != nil {
				return err
			}
		}
		for i := range links {
			if err := settle(c, &links[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// settle says that a link is not loose, unless it was changed meanwhile.
func settle(c *sqlite.Conn, l *link.Link) error {
	version := int64(0)
	err := query(c, selectVersion, func(b *binder) { b.int(int64(l.ID)) }, func(r *cells) bool {
		version = r.int()
		return false
	})
	if err != nil || version != l.Version {
		return err
	}
	_, err = change(c, deleteLoose, func(b *binder) { b.int(int64(l.ID)) })
	return err
}

// readLinks gives the links with IDs, and those of the IDs that no link has.
func (s *Links) readLinks(c *sqlite.Conn, ids []link.ID) (links []link.Link, gone []link.ID, err error) {
	links = make([]link.Link, 0, len(ids))
	for i, id := range ids {
		l, found, err := oneLink(c, selectByID, func(b *binder) { b.int(int64(id)) })
		switch {
		case err != nil:
			return nil, nil, err
		case found:
			links = append(links, l)
		default:
			gone = append(gone, id)
		}
		if i%16 == 0 {
			s.breathe()
		}
	}
	return links, gone, nil
}

// kill is what a segment loses.
type kill struct {
	segment int64
	live    int
	dead    search.Set
}

func (k *kill) store(c *sqlite.Conn) error {
	if k.live == 0 {
		_, err := change(c, deleteSegment, func(b *binder) { b.int(k.segment) })
		return err
	}
	var dead []byte
	for _, word := range k.dead {
		dead = binary.LittleEndian.AppendUint64(dead, word)
	}
	_, err := change(c, updateDead, func(b *binder) { b.blob(dead); b.int(int64(k.live)); b.int(k.segment) })
	return err
}

// findDead finds the links with the IDs, which are in order, in their segments.
func (s *Links) findDead(c *sqlite.Conn, ids []link.ID) (kills []kill, err error) {
	list, err := listSegments(c)
	if err != nil {
		return nil, err
	}
	from := &blocks{c: c, index: &s.index}
	for _, segment := range list {
		low, _ := slices.BinarySearch(ids, segment.First)
		high, _ := slices.BinarySearch(ids, segment.Last+1)
		if low == high {
			continue
		}
		has, err := search.IDs(from, segment.ID)
		if err != nil {
			return nil, err
		}
		k := kill{segment.ID, segment.live, search.NewSet(len(has))}
		copy(k.dead, segment.Dead)
		for _, id := range ids[low:high] {
			if doc, found := slices.BinarySearch(has, id); found && !k.dead.Has(doc) {
				k.dead.Add(doc)
				k.live--
			}
		}
		if k.live < segment.live {
			kills = append(kills, k)
		}
		s.breathe()
	}
	return kills, nil
}

// join makes one segment of several that are not half full.
func (s *Links) join(ctx context.Context) (did bool, err error) {
	var joined []segment
	var links []link.Link
	err = s.db.scan(ctx, func(c *sqlite.Conn) error {
		list, err := listSegments(c)
		if err != nil {
			return err
		}
		if joined = s.toJoin(list); len(joined) == 0 {
			return nil
		}
		links, err = s.liveLinks(c, joined)
		return err
	})
	if err != nil || len(joined) == 0 {
		return false, err
	}
	id, err := s.take(ctx, 0)
	if err != nil {
		return false, err
	}
	built := search.Build(links, s.breathe)
	err = s.publish(ctx, id, built, func(c *sqlite.Conn) error {
		for _, segment := range joined {
			if _, err := change(c, deleteSegment, func(b *binder) { b.int(segment.ID) }); err != nil {
				return err
			}
		}
		return nil
	})
	for _, segment := range joined {
		if err == nil {
			err = s.dropBlocks(ctx, segment.ID)
		}
	}
	return true, err
}

// toJoin chooses segments to be joined.
func (s *Links) toJoin(list []segment) []segment {
	list = slices.DeleteFunc(slices.Clone(list), func(one segment) bool { return one.live >= s.index.docs/2 })
	if len(list) < joinedFrom {
		return nil
	}
	slices.SortFunc(list, func(a, b segment) int { return a.live - b.live })
	sum := 0
	for i, segment := range list {
		if sum += segment.live; sum > s.index.docs {
			return list[:i]
		}
	}
	return list
}

// liveLinks gives the links of segments that no other has, and that are not
// loose.
func (s *Links) liveLinks(c *sqlite.Conn, list []segment) ([]link.Link, error) {
	var ids []link.ID
	from := &blocks{c: c, index: &s.index}
	for _, segment := range list {
		has, err := search.IDs(from, segment.ID)
		if err != nil {
			return nil, err
		}
		for doc, id := range has {
			if segment.Dead == nil || !segment.Dead.Has(doc) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	loose := map[link.ID]bool{}
	err := query(c, `SELECT link FROM search_loose`, nil, func(r *cells) bool {
		loose[link.ID(r.int())] = true
		return true
	})
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id link.ID) bool { return loose[id] })
	links, _, err := s.readLinks(c, ids)
	return links, err
}
