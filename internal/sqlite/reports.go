package sqlite

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

const (
	selectRolled = `SELECT rolled FROM totals WHERE link = ?`
	// Every change of what is rolled up makes a part.
	selectPartsEver = `SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'parts'`
	selectHorizon   = `SELECT value FROM facts WHERE name = 'horizon'`
)

// Report implements click.Reports.
func (s *Clicks) Report(ctx context.Context, q click.Query) (report click.Report, err error) {
	err = s.db.scan(ctx, func(c *sqlite.Conn) error {
		texts, err := lookUp(c, columns.NamesIn(&q))
		if err != nil {
			return err
		}
		names, err := newNames(c)
		if err != nil {
			return err
		}
		counter := columns.NewCounter(q, texts)
		since, err := s.count(ctx, c, &q, counter)
		if err != nil {
			return err
		}
		report, err = counter.Report(names.all)
		report.Since = since
		return err
	})
	return report, err
}

// count counts what a query asks for: from rollups as far as they go, else from
// single clicks. since is click.Report.Since.
func (s *Clicks) count(ctx context.Context, c *sqlite.Conn, q *click.Query, counter *columns.Counter) (since time.Time, err error) {
	r, err := newReader(c, q)
	if err != nil {
		return since, err
	}
	plain := counter.Plain() && (q.Link == 0 || q.Owner == 0)
	rolled := plain
	if plain && q.Link != 0 {
		if rolled, err = isRolled(c, q.Link); err != nil {
			return since, err
		}
	}
	horizon, err := readHorizon(c)
	if err != nil {
		return since, err
	}
	if gone := time.UnixMilli(horizon).UTC(); !plain && horizon > 0 && q.From.Before(gone) {
		since = gone
	}
	e := newEdges(counter, horizon)
	work := &pieces{}
	for _, p := range r.parts {
		if !rolled || !p.rolled {
			work.add(p, r.first, r.end)
			continue
		}
		for _, span := range e.spans(r.first, r.end) {
			work.add(p, span[0], span[1])
		}
	}
	of := subjectOf(q)
	if rolled {
		return since, s.countRolled(ctx, c, of, e, work, r, counter)
	}
	wait, err := work.count(ctx, s.db, r, counter, nil)
	if _, failed := wait(); err == nil {
		err = failed
	}
	if err == nil && plain && horizon > 0 { // what is gone of a link that has no rollups else
		err = counter.AddRollups(&rollups{c: c, of: of}, false, e.first, e.end)
	}
	return since, err
}

// muchRolled is from how many slots on a helper is worth while.
const muchRolled = 20 * 24 * 4

// countRolled counts pieces, then the rest from rollups: the earlier half by a
// helper, if there is one to whom the same is rolled up.
func (s *Clicks) countRolled(ctx context.Context, c *sqlite.Conn, of columns.Subject, e edges, work *pieces, r *reader, counter *columns.Counter) error {
	state, err := readState(c)
	if err != nil {
		return err
	}
	earlier, until := counter.Fork(), make(chan int64, 1)
	help := func(other *sqlite.Conn) (done bool, err error) {
		is, err := readState(other)
		if end := <-until; err == nil && is == state && end > e.first {
			return true, earlier.AddRollups(&rollups{c: other, of: of}, true, e.first, end)
		}
		return false, err
	}
	if e.end-e.first < muchRolled {
		help = nil
	}
	wait, err := work.count(ctx, s.db, r, counter, help)
	source, middle := &rollups{c: c, of: of}, e.first
	if err == nil && help != nil {
		var at int64
		var ok bool
		if at, ok, err = counter.Split(earlier, source, e.first, e.end); ok {
			middle = at
		}
	}
	until <- middle
	if err == nil {
		err = counter.AddRollups(source, true, middle, e.end)
	}
	done, failed := wait()
	switch {
	case err != nil || failed != nil:
		return errors.Join(err, failed)
	case done:
		counter.Join(earlier)
		return nil
	}
	return counter.AddRollups(source, true, e.first, middle)
}

// state tells what is rolled up: where it is the same, so are the rollups.
type state struct {
	parts   int64 // that there ever were
	horizon int64
}

func readState(c *sqlite.Conn) (s state, err error) {
	parts, err := c.Prepare(selectPartsEver)
	if err != nil {
		return s, err
	}
	if s.parts, err = sqlitex.ResultInt64(parts); err == nil {
		s.horizon, err = readHorizon(c)
	}
	return s, err
}

func subjectOf(q *click.Query) columns.Subject {
	switch {
	case q.Link != 0:
		return columns.Subject{Kind: columns.Link, ID: int64(q.Link)}
	case q.Owner != 0:
		return columns.Subject{Kind: columns.Owner, ID: int64(q.Owner)}
	}
	return columns.Subject{}
}

func isRolled(c *sqlite.Conn, id link.ID) (rolled bool, err error) {
	err = sqlitex.Execute(c, selectRolled, &sqlitex.ExecOptions{
		Args:       []any{int64(id)},
		ResultFunc: func(s *sqlite.Stmt) error { rolled = s.ColumnInt64(0) != 0; return nil },
	})
	return rolled, err
}

func readHorizon(c *sqlite.Conn) (ms int64, err error) {
	err = sqlitex.Execute(c, selectHorizon, &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error { ms = s.ColumnInt64(0); return nil },
	})
	return ms, err
}

// edges divides a query's time between rollups, which have whole slots, and
// single clicks. Where these are gone, a slot belongs to the time that it
// begins in.
type edges struct {
	first, end   int64 // slots from rollups
	begins, ends bool  // whether single clicks come before and after them
}

func newEdges(counter *columns.Counter, horizon int64) edges {
	var e edges
	e.first, e.end, e.begins, e.ends = counter.Aligned()
	gone := columns.SlotOf(horizon)
	if e.ends && e.end < gone {
		e.end, e.ends = e.end+1, false
	}
	if e.begins && e.first-1 < gone {
		e.begins = false
	}
	return e
}

// spans gives what single clicks are counted for, of a time from first up to,
// but without, end.
func (e *edges) spans(first, end click.ID) (list [][2]click.ID) {
	low, high := columns.FirstID(e.first*columns.SlotLength), columns.FirstID(e.end*columns.SlotLength)
	if low >= high && e.begins && e.ends {
		return [][2]click.ID{{first, end}}
	}
	if e.begins {
		list = append(list, [2]click.ID{first, low})
	}
	if e.ends {
		list = append(list, [2]click.ID{high, end})
	}
	return list
}

// Events implements click.Reports.
func (s *Clicks) Events(ctx context.Context, q click.Query, before click.ID, limit int) ([]click.Event, click.ID, error) {
	var events []click.Event
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		texts, err := lookUp(c, columns.NamesIn(&q))
		if err != nil {
			return err
		}
		r, err := newReader(c, &q)
		if err != nil {
			return err
		}
		if before != 0 {
			r.end = min(r.end, before)
		}
		page := newest{limit: limit + 1}
		if err := page.gather(r, columns.NewFilter(&q, texts)); err != nil {
			return err
		}
		names, err := newNames(c)
		if err != nil {
			return err
		}
		events, err = page.events(names)
		return err
	})
	switch {
	case err != nil:
		return nil, 0, err
	case len(events) > limit:
		return events[:limit], events[limit-1].ID, nil
	}
	return events, 0, nil
}

// newest gathers the newest clicks, limit of them.
type newest struct {
	limit int
	rows  columns.Rows
	order []int32  // newest first, once sorted
	least click.ID // once there are enough, older ones do not matter
}

func (n *newest) gather(r *reader, filter *columns.Filter) error {
	var selected []int32
	for _, p := range r.parts {
		// Those that follow end earlier still.
		if n.least != 0 && p.last < n.least {
			break
		}
		err := r.read(p, r.first, r.end, func(chunk *columns.Chunk, from, to int) {
			selected = filter.Select(selected[:0], chunk, from, to, max(r.first, n.least), r.end)
			for _, i := range selected {
				n.order = append(n.order, int32(n.rows.Len()))
				chunk.Append(&n.rows, int(i), int(i)+1)
			}
			if len(n.order) > 4*n.limit {
				n.cut()
			}
		})
		if err != nil {
			return err
		}
		n.cut()
	}
	return nil
}

// cut leaves out what is not among the newest.
func (n *newest) cut() {
	slices.SortFunc(n.order, func(a, b int32) int { return cmp.Compare(n.rows.IDs[b], n.rows.IDs[a]) })
	if len(n.order) < n.limit {
		return
	}
	n.order = n.order[:n.limit]
	n.least = n.rows.IDs[n.order[n.limit-1]]
}

func (n *newest) events(names *names) ([]click.Event, error) {
	events := make([]click.Event, 0, len(n.order))
	for _, i := range n.order {
		e := n.rows.Event(int(i))
		for column, text := range columns.Texts(&e) {
			var err error
			if *text, err = names.of(n.rows.Texts[column][i]); err != nil {
				return nil, err
			}
		}
		events = append(events, e)
	}
	return events, nil
}
