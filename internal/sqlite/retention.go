package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

const (
	raiseHorizon = `INSERT INTO facts (name, value) VALUES ('horizon', ?1)
		ON CONFLICT (name) DO UPDATE SET value = max(value, ?1)`
	selectOldParts = `SELECT ` + partColumns + ` FROM parts WHERE first_id < ? ORDER BY id`
	selectTextIDs  = `SELECT id FROM texts WHERE id <= ? ORDER BY id`
	selectLastText = `SELECT coalesce(max(id), 0) FROM texts`
	deleteText     = `DELETE FROM texts WHERE id = ?`
	eachRollup     = `SELECT grain, data FROM rollups WHERE grain IN (0, 2, 3)`
	selectNewParts = `SELECT ` + partColumns + ` FROM parts WHERE id > ?`
	selectLastPart = `SELECT coalesce(max(id), 0) FROM parts`
)

const dayMillis = 24 * 60 * 60 * 1000

// Drop implements click.Upkeep. Texts that nothing names any more go too.
func (s *Clicks) Drop(ctx context.Context, before time.Time) (dropped int64, err error) {
	horizon := before.UnixMilli() / dayMillis * dayMillis
	if horizon <= 0 {
		return 0, nil
	}
	end := columns.FirstID(horizon)
	var old, fresh []*part
	err = s.db.scan(ctx, func(c *sqlite.Conn) (err error) {
		if old, err = listParts(c, selectOldParts, int64(end)); err == nil {
			fresh, err = listParts(c, selectFresh)
		}
		return err
	})
	if err != nil || len(old) == 0 {
		return 0, err
	}
	for _, p := range old {
		if !p.rolled {
			if err := s.roll(ctx, firstOf(fresh, 2*s.sizes.roll)); err != nil {
				return 0, err
			}
			return s.Drop(ctx, before)
		}
	}
	err = s.db.write(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, raiseHorizon, &sqlitex.ExecOptions{Args: []any{horizon}})
	})
	if err != nil {
		return 0, err
	}
	for _, p := range old {
		n, err := s.dropFrom(ctx, p, end)
		if err != nil {
			return dropped, err
		}
		dropped += n
	}
	return dropped, s.sweepTexts(ctx)
}

// dropFrom removes from a part the clicks with IDs below end.
func (s *Clicks) dropFrom(ctx context.Context, p *part, end click.ID) (int64, error) {
	rows, err := s.rows(ctx, []*part{p})
	if err != nil {
		return 0, err
	}
	var old, kept []int32
	for _, i := range rows.Order() {
		if rows.IDs[i] < end {
			old = append(old, i)
		} else {
			kept = append(kept, i)
		}
	}
	rest := pack(rows, kept, settled)
	return int64(len(old)), s.db.write(ctx, func(c *sqlite.Conn) error {
		if err := rest.store(c); err != nil {
			return err
		}
		if err := remove(c, []*part{p}); err != nil {
			return err
		}
		k, err := newKeeper(c)
		if err != nil {
			return err
		}
		// Links with rollups have these clicks in them.
		var without []int32
		rolled, last := false, link.ID(-1)
		for _, i := range old {
			if id := rows.Links[i]; id != last {
				if rolled, err = isRolled(c, id); err != nil {
					return err
				}
				last = id
			}
			if !rolled {
				without = append(without, i)
			}
		}
		roller := columns.Roller{Keeper: k}
		return roller.AddSlots(rows, without)
	})
}

// sweepTexts removes texts that neither a click nor a rollup names.
func (s *Clicks) sweepTexts(ctx context.Context) error {
	used := map[columns.Text]bool{}
	use := func(t columns.Text) { used[t] = true }
	var unused []columns.Text
	var last int64 // part
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		var newest int64
		for query, to := range map[string]*int64{selectLastText: &newest, selectLastPart: &last} {
			n, err := sqlitex.ResultInt64(c.Prep(query))
			if err != nil {
				return err
			}
			*to = n
		}
		if err := eachTextOfParts(c, selectNewParts, 0, use); err != nil {
			return err
		}
		var data []byte
		err := sqlitex.Execute(c, eachRollup, &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
			data = readBytes(row, 1, data)
			return columns.EachText(columns.Grain(row.ColumnInt64(0)), data, use)
		}})
		if err != nil {
			return err
		}
		return sqlitex.Execute(c, selectTextIDs, &sqlitex.ExecOptions{
			Args: []any{newest},
			ResultFunc: func(row *sqlite.Stmt) error {
				if id := columns.Text(row.ColumnInt64(0)); !used[id] {
					unused = append(unused, id)
				}
				return nil
			},
		})
	})
	if err != nil || len(unused) == 0 {
		return err
	}
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		// Add takes its turn with this: no text that it remembers may go, and
		// what it stored meanwhile may name any.
		s.texts.forget()
		if err := eachTextOfParts(c, selectNewParts, last, use); err != nil {
			return err
		}
		row, err := c.Prepare(deleteText)
		if err != nil {
			return err
		}
		for _, id := range unused {
			if used[id] {
				continue
			}
			row.BindInt64(1, int64(id))
			if err := run(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachTextOfParts calls fn with the texts of the parts that a query selects.
func eachTextOfParts(c *sqlite.Conn, query string, arg int64, fn func(columns.Text)) error {
	list, err := listParts(c, query, arg)
	if err != nil {
		return err
	}
	reader := &chunks{conn: c}
	for _, p := range list {
		err := reader.each(p, func(chunk *columns.Chunk) error {
			chunk.EachText(fn)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
