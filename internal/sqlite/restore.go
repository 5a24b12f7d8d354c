package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Restoration makes a new file of the rows that a Snapshot gave. The file is of
// use, and safe from a power cut, only once Finish has returned nil.
type Restoration struct {
	conn    *sqlite.Conn
	path    string
	later   []string // statements that make indexes and triggers
	missing []string // tables that have not been begun
	insert  *sqlite.Stmt
	columns int
}

// NewRestoration makes the file, which is not there yet, with a version of a
// schema, which this program knows.
func NewRestoration(ctx context.Context, path string, schema Schema, version int) (*Restoration, error) {
	scripts, err := migrationsOf(schema)
	if err != nil {
		return nil, err
	}
	if version < 1 || version > len(scripts) {
		return nil, fmt.Errorf("%s has schema %d, this program knows up to %d: use the newer kurz that made the backup", schema, version, len(scripts))
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there already", path)
	}
	if err := prepareFile(path, false); err != nil {
		return nil, err
	}
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	c.SetInterrupt(ctx.Done())
	r := &Restoration{conn: c, path: path}
	if err := r.begin(schema, scripts[:version]); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return r, nil
}

func (r *Restoration) begin(schema Schema, scripts []string) error {
	if schema == ForClicks {
		if err := pragmas(r.conn, "page_size="+clicksPage); err != nil {
			return err
		}
	}
	// Nothing is kept of a restoration that is not finished.
	err := pragmas(r.conn, "journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "temp_store=MEMORY", cacheSize(32<<10))
	for version, script := range scripts {
		if err == nil {
			err = applyMigration(r.conn, script, version)
		}
	}
	if err == nil {
		r.missing, err = tableNames(r.conn)
	}
	if err == nil {
		err = r.putOff()
	}
	if err != nil {
		return err
	}
	return sqlitex.ExecuteTransient(r.conn, "BEGIN", nil)
}

// putOff drops indexes, which are made quicker when all rows are there, and
// triggers, whose work is in the rows.
func (r *Restoration) putOff() error {
	var drop []string
	const list = `SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type, name`
	err := sqlitex.ExecuteTransient(r.conn, list, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		drop = append(drop, "DROP "+s.ColumnText(0)+" "+quoted(s.ColumnText(1)))
		r.later = append(r.later, s.ColumnText(2))
		return nil
	}})
	for _, statement := range drop {
		if err == nil {
			err = sqlitex.ExecuteTransient(r.conn, statement, nil)
		}
	}
	return err
}

// Begin says of which table the following rows are. It is to have exactly these
// columns.
func (r *Restoration) Begin(table string, columns []string) error {
	if err := r.endTable(); err != nil {
		return err
	}
	at := slices.Index(r.missing, table)
	if at < 0 {
		return fmt.Errorf("table %q does not belong here, or comes a second time", table)
	}
	r.missing = slices.Delete(r.missing, at, at+1)
	t, err := describe(r.conn, table)
	if err != nil {
		return err
	}
	if !slices.Equal(t.Columns, columns) {
		return fmt.Errorf("table %q has columns %q, not %q", table, columns, t.Columns)
	}
	// A migration may have put something into it.
	if err := sqlitex.ExecuteTransient(r.conn, `DELETE FROM `+quoted(table), nil); err != nil {
		return err
	}
	values := `?`
	for range len(columns) - 1 {
		values += `, ?`
	}
	r.columns = len(columns)
	r.insert, err = r.conn.Prepare(`INSERT INTO ` + quoted(table) + ` (` + quotedAll(columns) + `) VALUES (` + values + `)`)
	return err
}

// Row adds a row to the table.
func (r *Restoration) Row(row []byte) error {
	if err := bindRow(r.insert, r.columns, row); err != nil {
		return err
	}
	return run(r.insert)
}

func (r *Restoration) endTable() error {
	if r.insert == nil {
		return nil
	}
	err := r.insert.Reset()
	r.insert = nil
	return err
}

// Finish makes the indexes and closes the file.
func (r *Restoration) Finish() error {
	err := r.endTable()
	if err == nil && len(r.missing) > 0 {
		err = fmt.Errorf("tables %q are missing", r.missing)
	}
	if err == nil {
		err = sqlitex.ExecuteTransient(r.conn, "COMMIT", nil)
	}
	for _, statement := range r.later {
		if err == nil {
			err = sqlitex.ExecuteTransient(r.conn, statement, nil)
		}
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	f, err := os.OpenFile(r.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Close closes the file as it is.
func (r *Restoration) Close() error {
	if r.conn == nil {
		return nil
	}
	err := r.endTable()
	r.conn.SetInterrupt(nil)
	err = errors.Join(err, r.conn.Close())
	r.conn = nil
	return err
}
