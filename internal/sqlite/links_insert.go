package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"

	"kurz/internal/fault"
	"kurz/internal/link"
)

// Insert is that of link.Store.
func (s *Links) Insert(ctx context.Context, n link.New) (link.Link, link.Outcome, error) {
	s.touched()
	i, err := newInsertion(n)
	if err != nil {
		return link.Link{}, 0, err
	}
	err = s.db.writeOne(ctx, func(c *sqlite.Conn) error {
		// Before the link: if that is not stored after all, this does no harm.
		if err := loosen(c, i.new.Link.ID); err != nil {
			return err
		}
		return s.insert(c, i)
	})
	if err != nil {
		return link.Link{}, 0, err
	}
	return i.made.Link, i.made.Outcome, i.made.Err
}

// politeAfter is for how many links others who write wait.
const politeAfter = 1_000

// InsertMany is that of link.Store: one transaction, or several if others wait
// to write meanwhile.
func (s *Links) InsertMany(ctx context.Context, list []link.New) ([]link.Made, error) {
	s.touched()
	insertions, made := make([]*insertion, len(list)), make([]link.Made, len(list))
	for n := range list {
		var err error
		if insertions[n], err = newInsertion(list[n]); err != nil {
			return nil, err
		}
	}
	for done := 0; done < len(insertions); {
		from := done
		err := s.db.writeMany(ctx, func(c *sqlite.Conn) error {
			taken, err := indexTakes(c)
			for done = from; err == nil && done < len(insertions); done++ {
				if done-from >= politeAfter && s.db.writer.awaited() {
					return nil
				}
				i := insertions[done]
				if i.new.Link.ID <= taken {
					err = loosen(c, i.new.Link.ID)
				}
				if err == nil {
					err = s.insert(c, i)
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for n, i := range insertions {
		made[n] = i.made
	}
	return made, nil
}

// touched notes that the search index has something to do.
func (s *Links) touched() {
	if !s.index.dirty.Load() {
		s.index.dirty.Store(true)
	}
}

// loosen notes a link that the search index does not take next though it has the
// ID for it.
func loosen(c *sqlite.Conn, id link.ID) error {
	_, err := change(c, insertLoose, func(b *binder) { b.int(int64(id)) })
	return err
}

// indexTakes gives up to which ID the search index takes links next.
func indexTakes(c *sqlite.Conn) (taken link.ID, err error) {
	err = query(c, selectTaken, nil, func(r *cells) bool {
		taken = link.ID(r.int())
		return false
	})
	return taken, err
}

// insertion is a link on its way into the file, and what became of it.
type insertion struct {
	new                        link.New
	tags                       string
	destinationKey, contentKey int64
	made                       link.Made
}

func newInsertion(n link.New) (*insertion, error) {
	n.Link.Tags = slices.Clone(n.Link.Tags)
	i := &insertion{new: n}
	var err error
	i.tags, err = encodeTags(n.Link.Tags)
	i.destinationKey, i.contentKey = matchKeys(&n.Link)
	return i, err
}

// insert is Insert within a transaction. What the contract calls an error of the
// link is in made.
func (s *Links) insert(c *sqlite.Conn, i *insertion) error {
	if i.new.Match != link.MatchNone && i.new.Link.Owner != 0 {
		if found, how, err := standIn(c, &i.new); err != nil || how != 0 {
			inUTC(&found)
			i.made = link.Made{Link: found, Outcome: how}
			return err
		}
	}
	stored, err := change(c, insertLink, func(b *binder) {
		bindLink(b, &i.new.Link, i.tags)
		b.someInt(i.destinationKey)
		b.someInt(i.contentKey)
	})
	if err != nil {
		return err
	}
	if stored == 1 {
		l := i.new.Link
		inUTC(&l)
		i.made = link.Made{Link: l, Outcome: link.Inserted}
		if s.beside {
			return announce(c, l.Key)
		}
		return nil
	}
	l, outcome, err := conflict(c, &i.new.Link)
	inUTC(&l)
	i.made = link.Made{Link: l, Outcome: outcome, Err: err}
	if fault.Is(err, fault.AliasTaken) || errors.Is(err, link.ErrIDTaken) {
		return nil
	}
	return err
}

// standIn looks for a link that is given back instead of n; outcome 0 says that
// there is none.
func standIn(c *sqlite.Conn, n *link.New) (link.Link, link.Outcome, error) {
	if n.Link.Operation != (link.Operation{}) {
		if l, found, err := oneLink(c, selectByOperation, func(b *binder) { b.blob(n.Link.Operation[:]) }); err != nil || found {
			return l, link.Repeated, err
		}
	}
	destinationKey, contentKey := matchKeys(&n.Link)
	same := func(b *binder) { bindMatch(b, destinationKey, &n.Link, n.At) }
	sql, bind := selectByDestination, func(b *binder) { same(b); b.int(n.At.UnixMilli()) }
	switch {
	case n.Match == link.MatchContent && contentKey != 0:
		sql, bind = selectByContent, func(b *binder) { bindContent(b, contentKey, &n.Link, n.At) }
	case n.Match == link.MatchContent:
		sql, bind = selectByNoContent, same
	}
	l, found, err := oneLink(c, sql, bind)
	if err != nil || !found {
		return link.Link{}, 0, err
	}
	return l, link.Found, nil
}

// conflict finds out what stood in the way of storing l.
func conflict(c *sqlite.Conn, l *link.Link) (link.Link, link.Outcome, error) {
	if l.Operation != (link.Operation{}) {
		if old, found, err := oneLink(c, selectByOperation, func(b *binder) { b.blob(l.Operation[:]) }); err != nil || found {
			return old, link.Repeated, err
		}
	}
	if _, found, err := linkByKey(c, l.Key); err != nil {
		return link.Link{}, 0, err
	} else if found {
		return link.Link{}, 0, fault.New(fault.AliasTaken, "Short code '%s' is taken", l.Code)
	}
	taken := false
	err := query(c, countID, func(b *binder) { b.int(int64(l.ID)) }, func(r *cells) bool {
		taken = r.int() > 0
		return false
	})
	if err == nil && taken {
		err = link.ErrIDTaken
	}
	if err == nil {
		err = fmt.Errorf("link %s was neither stored nor in conflict", l.Code)
	}
	return link.Link{}, 0, err
}
