package sqlite

import (
	"context"
	"errors"
	"math/bits"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

const (
	// Two statements cost less than one with RETURNING, which makes a table of
	// its own each time.
	selectLinkTotal = `SELECT clicks, rolled FROM totals WHERE link = ?`
	addTotal        = `INSERT INTO totals (link, humans, clicks, rolled) VALUES (?1, ?2, ?3, 0)
		ON CONFLICT (link) DO UPDATE SET humans = humans + ?2, clicks = clicks + ?3`
	setRolled = `UPDATE totals SET rolled = 1 WHERE link = ?`
)

// sizes are when Tidy does what.
type sizes struct {
	// merge is how many parts of about one size become one. Parts of a size have
	// up to merge times as many clicks as the smallest of them.
	merge int
	// roll is how many clicks wait in fresh parts before they are rolled up: few
	// enough for reports to count them each time, many enough for a day's rollup
	// not to be written too often.
	roll int64
	// join is how many times roll clicks rolled parts have that become one, or how
	// many parts: a link is looked for in each.
	join int
	// busy is how many clicks a link has when it gets rollups: fewer are counted
	// each time.
	busy int64
}

var usualSizes = sizes{merge: 16, roll: 1 << 16, join: 4, busy: 1 << 12}

// Tidy implements click.Upkeep: it brings parts and rollups in order, a step at a time, until there is
// nothing to do. What a step is about waits for it, and only that: reports and
// Add go on, but for the transaction at its end. It may be called at any time,
// by one goroutine at once; what another program does meanwhile makes it begin
// anew.
func (s *Clicks) Tidy(ctx context.Context) error {
	for {
		done, err := s.step(ctx)
		if errors.Is(err, errPartGone) && ctx.Err() == nil {
			continue
		}
		if err != nil || done {
			return err
		}
	}
}

// step does what is most urgent. It reports whether there was nothing.
func (s *Clicks) step(ctx context.Context) (done bool, err error) {
	var waiting, small []*part
	err = s.db.scan(ctx, func(c *sqlite.Conn) (err error) {
		if waiting, err = listParts(c, selectFresh); err == nil {
			small, err = listParts(c, selectSmall, s.sizes.roll*2)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	clicks := clicksOf(waiting)
	bySize := map[int][]*part{}
	for _, p := range waiting {
		size := bits.Len64(uint64(p.clicks)) / bits.Len(uint(s.sizes.merge-1))
		bySize[size] = append(bySize[size], p)
	}
	if clicks >= s.sizes.roll {
		return false, s.roll(ctx, firstOf(waiting, 2*s.sizes.roll))
	}
	for _, list := range bySize {
		if len(list) >= s.sizes.merge {
			return false, s.rearrange(ctx, list, fresh, nil)
		}
	}
	enough := int64(s.sizes.join) * s.sizes.roll
	if list := firstOf(small, enough); clicksOf(list) >= enough || len(list) >= s.sizes.join {
		return false, s.rearrange(ctx, list, settled, nil)
	}
	return true, nil
}

func clicksOf(list []*part) (clicks int64) {
	for _, p := range list {
		clicks += p.clicks
	}
	return clicks
}

// firstOf gives the first parts that have so many clicks: what is done at once
// must fit into memory, however much waits.
func firstOf(list []*part, clicks int64) []*part {
	for i, p := range list {
		if clicks -= p.clicks; clicks <= 0 {
			return list[:i+1]
		}
	}
	return list
}

// rearrange makes one part of some. Then, in the same transaction, it calls
// with, if that is not nil.
func (s *Clicks) rearrange(ctx context.Context, list []*part, f form, with func(c *sqlite.Conn, rows *columns.Rows, order []int32) error) error {
	rows, err := s.rows(ctx, list)
	if err != nil {
		return err
	}
	order := rows.Order()
	one := pack(rows, order, f)
	if with == nil {
		rows, order = nil, nil // they are larger than what they are packed into
	}
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		if err := one.store(c); err != nil {
			return err
		}
		if err := remove(c, list); err != nil || with == nil {
			return err
		}
		return with(c, rows, order)
	})
}

// rows reads all the clicks of parts.
func (s *Clicks) rows(ctx context.Context, list []*part) (rows *columns.Rows, err error) {
	err = s.db.scan(ctx, func(c *sqlite.Conn) error {
		reader := &chunks{conn: c}
		rows, err = reader.rows(c, list, s.Breathe)
		return err
	})
	return rows, err
}

// roll makes one part of a list of fresh ones and counts their clicks in rollups and
// totals.
func (s *Clicks) roll(ctx context.Context, list []*part) error {
	return s.rearrange(ctx, list, rolledUp, func(c *sqlite.Conn, rows *columns.Rows, order []int32) error {
		k, err := newKeeper(c)
		if err != nil {
			return err
		}
		known, err := addTotals(c, rows, order)
		if err != nil {
			return err
		}
		roller := &columns.Roller{Keeper: k}
		rolled := map[link.ID]bool{}
		for id, t := range known {
			rolled[id] = t.rolled
		}
		if err := roller.Add(rows, order, func(id link.ID) bool { return rolled[id] }); err != nil {
			return err
		}
		for id, t := range known {
			if !t.rolled && t.clicks >= s.sizes.busy {
				if err := rollLink(c, roller, id, s.Breathe); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// linkTotal is what roll needs to know of a link.
type linkTotal struct {
	clicks int64
	rolled bool
}

// addTotals adds rows, in order, to the totals of links, and gives the totals.
func addTotals(c *sqlite.Conn, rows *columns.Rows, order []int32) (map[link.ID]linkTotal, error) {
	add, err := c.Prepare(addTotal)
	if err != nil {
		return nil, err
	}
	search, err := c.Prepare(selectLinkTotal)
	if err != nil {
		return nil, err
	}
	totals := map[link.ID]linkTotal{}
	for i := 0; i < len(order); {
		rows.Breathe()
		id, humans, from := rows.Links[order[i]], int64(0), i
		for ; i < len(order) && rows.Links[order[i]] == id; i++ {
			if rows.Classes[order[i]].Kind() == click.Human {
				humans++
			}
		}
		add.BindInt64(1, int64(id))
		add.BindInt64(2, humans)
		add.BindInt64(3, int64(i-from))
		if err := run(add); err != nil {
			return nil, err
		}
		search.BindInt64(1, int64(id))
		if _, err := search.Step(); err != nil {
			return nil, err
		}
		totals[id] = linkTotal{clicks: search.ColumnInt64(0), rolled: search.ColumnInt64(1) != 0}
		if err := search.Reset(); err != nil {
			return nil, err
		}
	}
	return totals, nil
}

// rollLink makes the rollups of a link that has none: of its clicks in all
// rolled parts, and of those that are gone.
func rollLink(c *sqlite.Conn, roller *columns.Roller, id link.ID, breathe func()) error {
	q := click.Query{Subject: click.Subject{Link: id}, From: time.UnixMilli(0), To: time.UnixMilli(1<<42 - 1)}
	r, err := newReader(c, &q)
	if err != nil {
		return err
	}
	rows := columns.NewRows(breathe)
	for _, p := range r.parts {
		if !p.rolled {
			continue
		}
		err := r.read(p, r.first, r.end, func(chunk *columns.Chunk, from, to int) { chunk.Append(rows, from, to) })
		if err != nil {
			return err
		}
	}
	subject := columns.Subject{Kind: columns.Link, ID: int64(id)}
	if err := roller.AddSlots(rows, rows.Order()); err != nil {
		return err
	}
	if err := roller.Total(subject, &rollups{c: c, of: subject}); err != nil {
		return err
	}
	return sqlitex.Execute(c, setRolled, &sqlitex.ExecOptions{Args: []any{int64(id)}})
}
