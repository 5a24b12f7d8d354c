package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

// Clicks is a click.Sink and click.Reports. A batch becomes a part of its own;
// Tidy makes few large ones of many small ones, and counts in advance.
type Clicks struct {
	// Breathe, unless nil, is called several times in a millisecond by Add, Tidy
	// and Drop, which take long. It is to be set before they are called.
	Breathe func()

	db    *DB
	texts texts
	sizes sizes
}

// NewClicks gives the clicks kept in a file of schema Clicks.
func NewClicks(db *DB) *Clicks {
	return &Clicks{db: db, texts: texts{most: keepTexts}, sizes: usualSizes}
}

const (
	selectPosition = `SELECT sequence FROM positions WHERE log = ?`
	movePosition   = `INSERT INTO positions (log, sequence) VALUES (?, ?)
		ON CONFLICT (log) DO UPDATE SET sequence = max(sequence, excluded.sequence)`
	selectOtherLogs = `SELECT count(*) FROM positions WHERE log <> ?`
	selectTotal     = `SELECT humans FROM totals WHERE link = ?`
)

// Add implements click.Sink.
func (s *Clicks) Add(ctx context.Context, b click.Batch) error {
	var learnt map[string]columns.Text
	err := s.db.write(ctx, func(c *sqlite.Conn) error {
		position, err := readPosition(c, b.Log)
		if err != nil {
			return err
		}
		events, err := b.Above(position)
		if err != nil {
			return err
		}
		in, err := s.texts.begin(c)
		if err != nil {
			return err
		}
		rows, err := in.rows(events, s.Breathe)
		if err != nil {
			return err
		}
		learnt = in.learnt
		if err := separate(c, b.Log, rows); err != nil {
			return err
		}
		if err := pack(rows, rows.Order(), fresh).store(c); err != nil {
			return err
		}
		return sqlitex.Execute(c, movePosition, &sqlitex.ExecOptions{Args: []any{b.Log[:], int64(b.Through)}})
	})
	if err == nil {
		s.texts.keep(learnt)
	}
	return err
}

// Position implements click.Sink.
func (s *Clicks) Position(ctx context.Context, log click.LogID) (position uint64, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) (err error) {
		position, err = readPosition(c, log)
		return err
	})
	return position, err
}

func readPosition(c *sqlite.Conn, log click.LogID) (position uint64, err error) {
	err = sqlitex.Execute(c, selectPosition, &sqlitex.ExecOptions{
		Args:       []any{log[:]},
		ResultFunc: func(s *sqlite.Stmt) error { position = uint64(s.ColumnInt64(0)); return nil },
	})
	return position, err
}

// separate gives clicks that have the ID of another the next free one. Within
// one log that takes 2²¹ clicks in a millisecond, so only the clicks of other
// logs are looked at, if there are any.
func separate(c *sqlite.Conn, log click.LogID, rows *columns.Rows) error {
	if rows.Len() == 0 {
		return nil
	}
	var others int64
	err := sqlitex.Execute(c, selectOtherLogs, &sqlitex.ExecOptions{
		Args:       []any{log[:]},
		ResultFunc: func(s *sqlite.Stmt) error { others = s.ColumnInt64(0); return nil },
	})
	if err != nil {
		return err
	}
	taken := map[click.ID]bool{}
	if others > 0 {
		if taken, err = takenIDs(c, rows); err != nil {
			return err
		}
	}
	for i, id := range rows.IDs {
		for taken[id] {
			id = id.Next()
		}
		taken[id] = true
		rows.IDs[i] = id
	}
	return nil
}

// takenIDs gives the IDs of clicks that are stored and have the times of rows.
func takenIDs(c *sqlite.Conn, rows *columns.Rows) (map[click.ID]bool, error) {
	taken := map[click.ID]bool{}
	times := map[int64]bool{}
	first, last := rows.IDs[0], rows.IDs[0]
	for _, id := range rows.IDs {
		first, last = min(first, id), max(last, id)
		times[id.Time().UnixMilli()] = true
	}
	first, end := columns.FirstID(first.Time().UnixMilli()), columns.FirstID(last.Time().UnixMilli()+1)
	list, err := listParts(c, selectParts, int64(first), int64(end))
	if err != nil {
		return nil, err
	}
	reader := &chunks{conn: c}
	for _, p := range list {
		err := reader.each(p, func(chunk *columns.Chunk) error {
			for i := range chunk.Len() {
				if id := chunk.ID(i); id >= first && id < end && times[id.Time().UnixMilli()] {
					taken[id] = true
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return taken, nil
}

// Totals implements click.Reports.
func (s *Clicks) Totals(ctx context.Context, links []link.ID) (map[link.ID]int64, error) {
	totals := make(map[link.ID]int64, len(links))
	if len(links) == 0 {
		return totals, ctx.Err()
	}
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
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
			totals[id] = 0
			if found {
				totals[id] = row.ColumnInt64(0)
			}
			if err := row.Reset(); err != nil {
				return err
			}
		}
		return addFresh(c, totals)
	})
	if err != nil {
		return nil, err
	}
	return totals, nil
}

// addFresh adds to totals what is in parts that are not rolled.
func addFresh(c *sqlite.Conn, totals map[link.ID]int64) error {
	fresh, err := listParts(c, selectFresh)
	if err != nil {
		return err
	}
	reader := &chunks{conn: c}
	for _, p := range fresh {
		err := reader.each(p, func(chunk *columns.Chunk) error {
			chunk.EachLink(func(id link.ID, from, to int) {
				if _, ok := totals[id]; !ok {
					return
				}
				for i := from; i < to; i++ {
					if chunk.Class(i).Kind() == click.Human {
						totals[id]++
					}
				}
			})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
