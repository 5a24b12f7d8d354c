package sqlite

import (
	"errors"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/columns"
)

const (
	selectRollup  = `SELECT data FROM rollups WHERE kind = ? AND subject = ? AND grain = ? AND period = ?`
	putRollup     = `INSERT INTO rollups (kind, subject, grain, period, data) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (kind, subject, grain, period) DO UPDATE SET data = ?5`
	selectRollups = `SELECT period, data FROM rollups WHERE kind = ? AND subject = ? AND grain = ? AND period BETWEEN ? AND ? ORDER BY period`
	selectPlaces  = `SELECT period, rowid FROM rollups WHERE kind = ? AND subject = ? AND grain = ? AND period BETWEEN ? AND ? ORDER BY period`
	selectDays    = `SELECT min(period), max(period) FROM rollups WHERE kind = ? AND subject = ? AND grain = 0`
)

// rollups are those of one subject, as a columns.Source.
type rollups struct {
	c    *sqlite.Conn
	of   columns.Subject
	data []byte
}

// Days implements columns.Source.
func (r *rollups) Days() (first, last int64, ok bool, err error) {
	err = sqlitex.Execute(r.c, selectDays, &sqlitex.ExecOptions{
		Args: []any{int(r.of.Kind), r.of.ID},
		ResultFunc: func(s *sqlite.Stmt) error {
			first, last, ok = s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnType(0) != sqlite.TypeNull
			return nil
		},
	})
	return first, last, ok, err
}

// Rollups implements columns.Source.
func (r *rollups) Rollups(g columns.Grain, first, last int64, each func(period int64, data []byte) error) error {
	args := []any{int(r.of.Kind), r.of.ID, int(g), first, last}
	if r.of.Kind == columns.Everybody && g != columns.DayNumbers {
		// They are long: a statement would copy each once more.
		return sqlitex.Execute(r.c, selectPlaces, &sqlitex.ExecOptions{
			Args: args,
			ResultFunc: func(s *sqlite.Stmt) (err error) {
				if r.data, err = readBlob(r.c, "rollups", s.ColumnInt64(1), r.data); err != nil {
					return err
				}
				return each(s.ColumnInt64(0), r.data)
			},
		})
	}
	return sqlitex.Execute(r.c, selectRollups, &sqlitex.ExecOptions{
		Args: args,
		ResultFunc: func(s *sqlite.Stmt) error {
			r.data = readBytes(s, 1, r.data)
			return each(s.ColumnInt64(0), r.data)
		},
	})
}

// keeper is a columns.Keeper within a transaction.
type keeper struct {
	search, put *sqlite.Stmt
	data        []byte
}

func newKeeper(c *sqlite.Conn) (*keeper, error) {
	search, err := c.Prepare(selectRollup)
	if err != nil {
		return nil, err
	}
	put, err := c.Prepare(putRollup)
	return &keeper{search: search, put: put}, err
}

func bindRollup(s *sqlite.Stmt, of columns.Subject, g columns.Grain, period int64) {
	s.BindInt64(1, int64(of.Kind))
	s.BindInt64(2, of.ID)
	s.BindInt64(3, int64(g))
	s.BindInt64(4, period)
}

// Rollup implements columns.Keeper.
func (k *keeper) Rollup(s columns.Subject, g columns.Grain, period int64) ([]byte, error) {
	bindRollup(k.search, s, g, period)
	found, err := k.search.Step()
	if err != nil || !found {
		return nil, errors.Join(err, k.search.Reset())
	}
	k.data = readBytes(k.search, 0, k.data)
	return k.data, k.search.Reset()
}

// PutRollup implements columns.Keeper.
func (k *keeper) PutRollup(s columns.Subject, g columns.Grain, period int64, data []byte) error {
	bindRollup(k.put, s, g, period)
	k.put.BindBytes(5, data)
	return run(k.put)
}
