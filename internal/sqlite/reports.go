package sqlite

import (
	"cmp"
	"context"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/link"
)

const (
	selectClicks = `SELECT ` + clickColumns + ` FROM clicks `
	ofLink       = `INDEXED BY clicks_link WHERE id >= ?1 AND id < ?2 AND block = ?3 AND link = ?4`
	ofOwner      = `INDEXED BY clicks_owner WHERE id >= ?1 AND id < ?2 AND block = ?3 AND owner = ?4 AND owner <> 0`
	ofAll        = `WHERE id >= ?1 AND id < ?2`
	newestFirst  = ` ORDER BY id DESC`

	selectBlocks = `SELECT id, first_id, last_id FROM blocks WHERE last_id >= ?1 AND first_id < ?2 ORDER BY last_id DESC`
	selectTotal  = `SELECT humans FROM totals WHERE link = ?`
	selectText   = `SELECT text FROM texts WHERE id = ?`
)

// Report implements click.Reports.
func (s *Clicks) Report(ctx context.Context, q click.Query) (click.Report, error) {
	tally := click.NewTally(q)
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		r, err := newReader(c, q.Subject, firstID(q.From), firstID(q.To), "")
		if err != nil {
			return err
		}
		for _, b := range r.blocks {
			if err := r.read(b, func(e *click.Event) bool { tally.Add(e); return true }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return click.Report{}, err
	}
	return tally.Report(), nil
}

// Events implements click.Reports.
func (s *Clicks) Events(ctx context.Context, q click.Query, before click.ID, limit int) ([]click.Event, click.ID, error) {
	end := firstID(q.To)
	if before != 0 {
		end = min(end, before)
	}
	var page newest
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		r, err := newReader(c, q.Subject, firstID(q.From), end, newestFirst)
		if err != nil {
			return err
		}
		page.limit = limit + 1
		for _, b := range r.blocks {
			// Those that follow end earlier still.
			if page.full() && b.last < page.oldest() {
				break
			}
			if err := r.read(b, func(e *click.Event) bool { return !q.Selects(e) || page.add(e) }); err != nil {
				return err
			}
			page.merge()
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, 0, err
	case page.full():
		return page.events[:limit], page.events[limit-1].ID, nil
	}
	return page.events, 0, nil
}

// newest gathers the newest events of runs that each come newest first.
type newest struct {
	limit  int
	events []click.Event // newest first
	run    []click.Event
}

func (n *newest) full() bool       { return len(n.events) == n.limit }
func (n *newest) oldest() click.ID { return n.events[len(n.events)-1].ID }

// add takes the next event of a run and reports whether later ones matter.
func (n *newest) add(e *click.Event) bool {
	if n.full() && e.ID < n.oldest() {
		return false
	}
	n.run = append(n.run, *e)
	return len(n.run) < n.limit
}

// merge ends a run.
func (n *newest) merge() {
	n.events = append(n.events, n.run...)
	n.run = n.run[:0]
	slices.SortFunc(n.events, func(a, b click.Event) int { return cmp.Compare(b.ID, a.ID) })
	n.events = n.events[:min(len(n.events), n.limit)]
}

// Totals implements click.Reports.
func (s *Clicks) Totals(ctx context.Context, links []link.ID) (map[link.ID]int64, error) {
	totals := make(map[link.ID]int64, len(links))
	err := s.db.read(ctx, func(c *sqlite.Conn) error {
		row, err := c.Prepare(selectTotal)
		if err != nil {
			return err
		}
		for _, id := range links {
			row.BindInt64(1, int64(id))
			found, err := row.Step()
			if err != nil {
				return err
			}
			if found {
				totals[id] = row.ColumnInt64(0)
			}
			if err := row.Reset(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return totals, nil
}

// firstID gives the lowest ID that a click at t or later can have.
func firstID(t time.Time) click.ID {
	if up := t.Truncate(time.Millisecond); up.Before(t) {
		t = up.Add(time.Millisecond)
	}
	// Milliseconds have 42 bits in an ID.
	t = time.UnixMilli(min(max(t.UnixMilli(), 0), 1<<42-1))
	return click.NewID(t, 0)
}

// reader reads the clicks of a subject with first ≤ ID < end, block by block.
type reader struct {
	subject    int64 // 0: everybody
	first, end click.ID
	row        *sqlite.Stmt
	names      *names
	// blocks may hold such clicks, those that end last first. For everybody
	// the one block is everything.
	blocks []block
}

func newReader(c *sqlite.Conn, of click.Subject, first, end click.ID, order string) (r *reader, err error) {
	r = &reader{first: first, end: end}
	sql := selectClicks + ofAll
	switch {
	case of.Link != 0:
		sql, r.subject = selectClicks+ofLink, int64(of.Link)
	case of.Owner != 0:
		sql, r.subject = selectClicks+ofOwner, int64(of.Owner)
	}
	if r.row, err = c.Prepare(sql + order); err != nil {
		return nil, err
	}
	if r.names, err = newNames(c); err != nil {
		return nil, err
	}
	if r.subject == 0 {
		r.blocks = []block{{first: first, last: end}}
		return r, nil
	}
	err = sqlitex.Execute(c, selectBlocks, &sqlitex.ExecOptions{
		Args: []any{int64(first), int64(end)},
		ResultFunc: func(s *sqlite.Stmt) error {
			r.blocks = append(r.blocks, block{
				id: s.ColumnInt64(0), first: click.ID(s.ColumnInt64(1)), last: click.ID(s.ColumnInt64(2)),
			})
			return nil
		},
	})
	return r, err
}

// read calls each with the clicks of one block, until it returns false. The
// event is overwritten by the next; its strings stay.
func (r *reader) read(b block, each func(*click.Event) bool) (err error) {
	defer func() {
		if failed := r.row.Reset(); err == nil {
			err = failed
		}
	}()
	r.row.BindInt64(1, int64(r.first))
	r.row.BindInt64(2, int64(r.end))
	if r.subject != 0 {
		r.row.BindInt64(3, b.id)
		r.row.BindInt64(4, r.subject)
	}
	var e click.Event
	for {
		found, err := r.row.Step()
		if err != nil || !found {
			return err
		}
		if err := readEvent(r.row, r.names, &e); err != nil {
			return err
		}
		if !each(&e) {
			return nil
		}
	}
}

func readEvent(row *sqlite.Stmt, names *names, e *click.Event) error {
	e.ID = click.ID(row.ColumnInt64(0))
	e.Time = e.ID.Time()
	e.Link = link.ID(row.ColumnInt64(1))
	e.Owner = account.ID(row.ColumnInt64(2))
	e.Kind = click.Kind(row.ColumnInt64(3))
	e.Trigger = click.Trigger(row.ColumnInt64(4))
	e.Visitor = uint64(row.ColumnInt64(5))
	for i, text := range [...]*string{
		&e.Country, &e.Region, &e.City, &e.Referrer, &e.ReferrerHost, &e.Browser, &e.OS, &e.Device, &e.Language,
		&e.UTMSource, &e.UTMMedium, &e.UTMCampaign, &e.UTMTerm, &e.UTMContent,
	} {
		var err error
		if *text, err = names.of(row.ColumnInt64(6 + i)); err != nil {
			return err
		}
	}
	return nil
}

// names gives back texts by their IDs, each read once.
type names struct {
	row   *sqlite.Stmt
	known map[int64]string
}

func newNames(c *sqlite.Conn) (*names, error) {
	row, err := c.Prepare(selectText)
	return &names{row: row, known: map[int64]string{0: ""}}, err
}

func (n *names) of(id int64) (string, error) {
	if id == 0 {
		return "", nil
	}
	text, ok := n.known[id]
	if ok {
		return text, nil
	}
	n.row.BindInt64(1, id)
	found, err := n.row.Step()
	if err != nil {
		return "", err
	}
	if found {
		text = n.row.ColumnText(0)
	}
	n.known[id] = text
	return text, n.row.Reset()
}
