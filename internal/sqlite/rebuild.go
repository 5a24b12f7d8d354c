package sqlite

import (
	"context"
	"errors"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/columns"
	"kurz/internal/link"
)

// Rebuilt is what Rebuild found.
type Rebuilt struct {
	Clicks  int64 // that were counted again
	Fresh   int64 // that are not counted in advance yet
	Rollups int64 // that there are
	Changed int64 // of which so many were not what the clicks say, were missing, or too many
}

const (
	copyRollups   = `CREATE TABLE rollups_before AS SELECT * FROM rollups`
	dropRollups   = `DELETE FROM rollups WHERE grain <> 3 AND period >= ?1 OR grain = 3 AND period >= ?2`
	clearTotals   = `UPDATE totals SET humans = 0, clicks = 0`
	selectCounted = `SELECT ` + partColumns + ` FROM parts WHERE rolled = 1 ORDER BY id`
	selectDivided = `SELECT DISTINCT kind, subject FROM rollups WHERE grain = 0 AND period BETWEEN ?1 AND ?2
		AND (kind < 2 OR (SELECT rolled FROM totals WHERE link = subject) = 1)`
	countFresh   = `SELECT coalesce(sum(clicks), 0) FROM parts WHERE rolled = 0`
	countRollups = `SELECT count(*) FROM rollups`
	countChanged = `SELECT count(*) FROM (SELECT kind, subject, grain, period FROM (SELECT * FROM rollups EXCEPT SELECT * FROM rollups_before)
		UNION SELECT kind, subject, grain, period FROM (SELECT * FROM rollups_before EXCEPT SELECT * FROM rollups))`
	dropCopy = `DROP TABLE rollups_before`
)

// Rebuild counts again, from single clicks, everything that is counted in
// advance; what was counted of clicks that are gone stays. It is one
// transaction: reports go on as before until it ends, and Add waits. Where check
// is true it only tells what it would have changed. progress, unless nil, is
// told how many of all clicks are counted.
func (s *Clicks) Rebuild(ctx context.Context, check bool, progress func(done, all int64)) (found Rebuilt, err error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	err = s.db.write(ctx, func(c *sqlite.Conn) error {
		if err := sqlitex.Execute(c, copyRollups, nil); err != nil {
			return err
		}
		if found.Clicks, err = rebuild(ctx, c, progress); err != nil {
			return err
		}
		for query, to := range map[string]*int64{countFresh: &found.Fresh, countRollups: &found.Rollups, countChanged: &found.Changed} {
			if *to, err = sqlitex.ResultInt64(c.Prep(query)); err != nil {
				return err
			}
		}
		if check {
			return errOnlyChecked
		}
		return sqlitex.Execute(c, dropCopy, nil)
	})
	if errors.Is(err, errOnlyChecked) {
		err = nil
	}
	return found, err
}

// Locked reports whether an error says that another program has the file.
func Locked(err error) bool {
	code := sqlite.ErrCode(err).ToPrimary()
	return code == sqlite.ResultBusy || code == sqlite.ResultLocked
}

// errOnlyChecked undoes a transaction that has found out what it was for.
var errOnlyChecked = errors.New("only checked")

func rebuild(ctx context.Context, c *sqlite.Conn, progress func(done, all int64)) (done int64, err error) {
	horizon, err := readHorizon(c)
	if err != nil {
		return 0, err
	}
	day := columns.DayOf(columns.SlotOf(horizon))
	err = sqlitex.Execute(c, dropRollups, &sqlitex.ExecOptions{Args: []any{day, columns.MonthOf(day)}})
	if err == nil && horizon == 0 {
		err = sqlitex.Execute(c, clearTotals, nil)
	}
	if err != nil {
		return 0, err
	}
	list, err := listParts(c, selectCounted)
	if err != nil {
		return 0, err
	}
	reader := &chunks{conn: c}
	k, err := newKeeper(c)
	if err != nil {
		return 0, err
	}
	all := int64(0)
	for _, p := range list {
		all += p.clicks
	}
	roller := &columns.Roller{Keeper: k}
	for _, p := range list {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := rebuildPart(c, reader, roller, p, horizon); err != nil {
			return 0, err
		}
		done += p.clicks
		progress(done, all)
	}
	return done, rebuildMonth(c, roller, columns.MonthOf(day))
}

func rebuildPart(c *sqlite.Conn, reader *chunks, roller *columns.Roller, p *part, horizon int64) error {
	all, err := reader.rows(c, []*part{p}, nil)
	if err != nil {
		return err
	}
	order := all.Order()
	if horizon == 0 {
		if _, err := addTotals(c, all, order); err != nil {
			return err
		}
	}
	// Late clicks before the horizon are in what stayed.
	first := columns.FirstID(horizon)
	rows := all
	if p.first < first {
		rows = &columns.Rows{}
		for _, i := range order {
			if all.IDs[i] >= first {
				rows.AddRow(all, int(i))
			}
		}
		order = rows.Order()
	}
	rolled := map[link.ID]bool{}
	for _, id := range rows.Links {
		if _, ok := rolled[id]; !ok {
			if rolled[id], err = isRolled(c, id); err != nil {
				return err
			}
		}
	}
	return roller.Add(rows, order, func(id link.ID) bool { return rolled[id] })
}

// rebuildMonth sums up the month in which single clicks begin.
func rebuildMonth(c *sqlite.Conn, roller *columns.Roller, month int64) error {
	var subjects []columns.Subject
	err := sqlitex.Execute(c, selectDivided, &sqlitex.ExecOptions{
		Args: []any{columns.FirstDay(month), columns.FirstDay(month+1) - 1},
		ResultFunc: func(s *sqlite.Stmt) error {
			subjects = append(subjects, columns.Subject{Kind: columns.Kind(s.ColumnInt64(0)), ID: s.ColumnInt64(1)})
			return nil
		},
	})
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if err := roller.TotalMonth(s, month); err != nil {
			return err
		}
	}
	return nil
}
