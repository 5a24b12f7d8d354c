package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/click"
)

// Table is a table, to be copied row by row.
type Table struct {
	Name    string
	Columns []string
	Rows    int64
	order   string
}

// Snapshot is one moment of a file, whatever is written to it meanwhile: by
// this process or another. Until it is closed the file's log can't be begun
// anew, so it grows with what is written.
type Snapshot struct {
	conn   *sqlite.Conn
	path   string
	schema int
}

// leftOut are tables whose rows are not copied: those of idempotency are named by
// hashes of addresses, among others, and worth something for a day; those of the
// search index are made anew.
var leftOut = []string{"idempotency", "search_segments", "search_blocks", "search_loose", "search_state"}

// OpenSnapshot takes a snapshot of a file, which exists. Its schema may be an
// older one than this program's, not a newer one.
func OpenSnapshot(ctx context.Context, path string, schema Schema) (*Snapshot, error) {
	if err := prepareFile(path, true); err != nil {
		return nil, err
	}
	c, err := openReader(path, Options{Schema: schema, BusyTimeout: busyPatience})
	if err != nil {
		return nil, explain(path, err)
	}
	s := &Snapshot{conn: c, path: path}
	if err := s.begin(ctx, schema); err != nil {
		return nil, errors.Join(explain(path, err), c.Close())
	}
	return s, nil
}

func (s *Snapshot) begin(ctx context.Context, schema Schema) error {
	s.conn.SetInterrupt(ctx.Done())
	if err := sqlitex.ExecuteTransient(s.conn, "BEGIN", nil); err != nil {
		return err
	}
	// What is read first is the moment.
	version, err := schemaVersion(s.conn)
	if err != nil {
		return err
	}
	scripts, err := migrationsOf(schema)
	switch {
	case err != nil:
		return err
	case version == 0:
		return errors.New("it has no tables yet")
	case version > len(scripts):
		return fmt.Errorf("schema %d is newer than this program knows (%d): use the newer kurz that made it", version, len(scripts))
	}
	s.schema = version
	return nil
}

// Schema gives the version of the schema.
func (s *Snapshot) Schema() int { return s.schema }

// Close lets go of the snapshot.
func (s *Snapshot) Close() error {
	s.conn.SetInterrupt(nil)
	return errors.Join(sqlitex.ExecuteTransient(s.conn, "ROLLBACK", nil), s.conn.Close())
}

const (
	// Virtual tables keep what they have in tables of their own.
	selectTables = `SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'
		AND (name NOT LIKE 'sqlite\_%' ESCAPE '\' OR name = 'sqlite_sequence') ORDER BY name = 'sqlite_sequence', name`
	selectColumns = `SELECT name, pk FROM pragma_table_info(?) ORDER BY cid`
	sequences     = "sqlite_sequence" // the last numbers of tables with AUTOINCREMENT
)

// Tables gives the tables whose rows are to be copied, in the order in which
// they are.
func (s *Snapshot) Tables() (list []Table, err error) {
	names, err := tableNames(s.conn)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		t, err := describe(s.conn, name)
		if err != nil {
			return nil, err
		}
		count := `SELECT count(*) FROM ` + quoted(name)
		err = sqlitex.ExecuteTransient(s.conn, count, &sqlitex.ExecOptions{
			ResultFunc: func(st *sqlite.Stmt) error { t.Rows = st.ColumnInt64(0); return nil },
		})
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

func tableNames(c *sqlite.Conn) (names []string, err error) {
	err = sqlitex.ExecuteTransient(c, selectTables, &sqlitex.ExecOptions{ResultFunc: func(st *sqlite.Stmt) error {
		if name := st.ColumnText(0); !slices.Contains(leftOut, name) {
			names = append(names, name)
		}
		return nil
	}})
	return names, err
}

// describe tells of a table, but for how many rows it has. They are in the
// order of the primary key, which is the same in every copy.
func describe(c *sqlite.Conn, name string) (Table, error) {
	t := Table{Name: name}
	key := map[int]string{}
	err := sqlitex.ExecuteTransient(c, selectColumns, &sqlitex.ExecOptions{Args: []any{name}, ResultFunc: func(st *sqlite.Stmt) error {
		column := st.ColumnText(0)
		t.Columns = append(t.Columns, column)
		if at := st.ColumnInt(1); at > 0 {
			key[at] = quoted(column)
		}
		return nil
	}})
	if err != nil {
		return t, err
	}
	if len(t.Columns) == 0 {
		return t, fmt.Errorf("there is no table %q", name)
	}
	var order []string
	for at := 1; at <= len(key); at++ {
		order = append(order, key[at])
	}
	switch {
	case name == sequences:
		order = []string{`name`}
	case len(order) == 0:
		order = []string{`rowid`}
	}
	t.order = strings.Join(order, ", ")
	return t, nil
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quotedAll(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = quoted(name)
	}
	return strings.Join(list, ", ")
}

// Each calls each with every row of a table, valid until each returns.
func (s *Snapshot) Each(t Table, each func(row []byte) error) error {
	statement, err := s.conn.Prepare(`SELECT ` + quotedAll(t.Columns) + ` FROM ` + quoted(t.Name) + ` ORDER BY ` + t.order)
	if err != nil {
		return err
	}
	err = eachRow(statement, len(t.Columns), each)
	return errors.Join(err, statement.Reset())
}

func eachRow(statement *sqlite.Stmt, columns int, each func(row []byte) error) error {
	var row []byte
	for {
		more, err := statement.Step()
		if err != nil || !more {
			return err
		}
		row = row[:0]
		for i := range columns {
			row = appendValue(row, statement, i)
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// A row is its values, each a letter for its type and what it is: a number as a
// signed varint or in 8 bytes, text and bytes with their length before them.
const (
	nullValue  = 'n'
	intValue   = 'i'
	floatValue = 'f'
	textValue  = 't'
	blobValue  = 'b'
)

func appendValue(row []byte, s *sqlite.Stmt, column int) []byte {
	switch s.ColumnType(column) {
	case sqlite.TypeInteger:
		return binary.AppendVarint(append(row, intValue), s.ColumnInt64(column))
	case sqlite.TypeFloat:
		return binary.LittleEndian.AppendUint64(append(row, floatValue), math.Float64bits(s.ColumnFloat(column)))
	case sqlite.TypeText:
		return appendBytes(append(row, textValue), s, column)
	case sqlite.TypeBlob:
		return appendBytes(append(row, blobValue), s, column)
	}
	return append(row, nullValue)
}

func appendBytes(row []byte, s *sqlite.Stmt, column int) []byte {
	n := s.ColumnLen(column)
	row = binary.AppendUvarint(row, uint64(n))
	row = slices.Grow(row, n)
	s.ColumnBytes(column, row[len(row):len(row)+n])
	return row[:len(row)+n]
}

// bindRow binds the values of a row to the parameters of a statement.
func bindRow(s *sqlite.Stmt, columns int, row []byte) error {
	for i := 1; i <= columns; i++ {
		if len(row) == 0 {
			return errBadRow
		}
		kind, n := row[0], 0
		row = row[1:]
		switch kind {
		case nullValue:
			s.BindNull(i)
		case intValue:
			var v int64
			if v, n = binary.Varint(row); n <= 0 {
				return errBadRow
			}
			s.BindInt64(i, v)
		case floatValue:
			if n = 8; len(row) < n {
				return errBadRow
			}
			s.BindFloat(i, math.Float64frombits(binary.LittleEndian.Uint64(row)))
		case textValue, blobValue:
			length, before := binary.Uvarint(row)
			if before <= 0 || length > uint64(len(row)-before) {
				return errBadRow
			}
			n = before + int(length)
			if value := row[before:n]; kind == textValue {
				s.BindText(i, string(value))
			} else {
				s.BindBytes(i, value)
			}
		default:
			return errBadRow
		}
		row = row[n:]
	}
	if len(row) > 0 {
		return errBadRow
	}
	return nil
}

var errBadRow = errors.New("a row can't be read")

// Position gives the sequence up to which a log's clicks are in a snapshot of
// clicks.
func (s *Snapshot) Position(log click.LogID) (uint64, error) { return readPosition(s.conn, log) }

// Clicks tells how many single clicks a snapshot of clicks has.
func (s *Snapshot) Clicks() (int64, error) {
	return sqlitex.ResultInt64(s.conn.Prep(`SELECT coalesce(sum(clicks), 0) FROM parts`))
}

// Check is that of DB.
func (s *Snapshot) Check() error { return quickCheck(s.conn, s.path) }
