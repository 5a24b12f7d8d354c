package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/link"
)

const (
	selectClicks = `SELECT ` + clickColumns + ` FROM clicks `
	ofLink       = `INDEXED BY clicks_link WHERE link = ?3 AND id >= ?1 AND id < ?2`
	ofOwner      = `INDEXED BY clicks_owner WHERE owner = ?3 AND owner <> 0 AND id >= ?1 AND id < ?2`
	ofAll        = `WHERE id >= ?1 AND id < ?2`
	newestFirst  = ` ORDER BY id DESC`

	selectTotal = `SELECT humans FROM totals WHERE link = ?`
	selectText  = `SELECT text FROM texts WHERE id = ?`
)

// Report implements click.Reports.
func (s *Clicks) Report(ctx context.Context, q click.Query) (click.Report, error) {
	tally := click.NewTally(q)
	first, end := idsBetween(q.From, q.To)
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		return scanClicks(c, q.Subject, first, end, "", func(e *click.Event) bool {
			tally.Add(e)
			return true
		})
	})
	if err != nil {
		return click.Report{}, err
	}
	return tally.Report(), nil
}

// Events implements click.Reports.
func (s *Clicks) Events(ctx context.Context, q click.Query, before click.ID, limit int) ([]click.Event, click.ID, error) {
	first, end := idsBetween(q.From, q.To)
	if before != 0 {
		end = min(end, before)
	}
	var page []click.Event
	var next click.ID
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		return scanClicks(c, q.Subject, first, end, newestFirst, func(e *click.Event) bool {
			if !q.Selects(e) {
				return true
			}
			if len(page) == limit {
				next = page[limit-1].ID
				return false
			}
			page = append(page, *e)
			return true
		})
	})
	if err != nil {
		return nil, 0, err
	}
	return page, next, nil
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

// idsBetween gives the bounds of the IDs of clicks with from ≤ time < to.
func idsBetween(from, to time.Time) (first, end click.ID) {
	return firstID(from), firstID(to)
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

// scanClicks calls each with the clicks of a subject, until it returns false.
// The event is overwritten by the next; its strings stay.
func scanClicks(c *sqlite.Conn, of click.Subject, first, end click.ID, order string, each func(*click.Event) bool) (err error) {
	sql, subject := selectClicks+ofAll, int64(0)
	switch {
	case of.Link != 0:
		sql, subject = selectClicks+ofLink, int64(of.Link)
	case of.Owner != 0:
		sql, subject = selectClicks+ofOwner, int64(of.Owner)
	}
	row, err := c.Prepare(sql + order)
	if err != nil {
		return err
	}
	defer func() {
		if failed := row.Reset(); err == nil {
			err = failed
		}
	}()
	row.BindInt64(1, int64(first))
	row.BindInt64(2, int64(end))
	if subject != 0 {
		row.BindInt64(3, subject)
	}
	names, err := newNames(c)
	if err != nil {
		return err
	}
	var e click.Event
	for {
		found, err := row.Step()
		if err != nil || !found {
			return err
		}
		if err := readEvent(row, names, &e); err != nil {
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
