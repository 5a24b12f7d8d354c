package sqlite

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/click"
	"kurz/internal/columns"
)

const (
	insertSheet  = `INSERT INTO sheets (id, data) VALUES (?, ?)`
	deleteSheet  = `DELETE FROM sheets WHERE id >= ?1 AND id < ?2`
	insertShare  = `INSERT INTO shares (part, dimension, text, data) VALUES (?, ?, ?, ?)`
	selectShare  = `SELECT data FROM shares WHERE part = ? AND dimension = ? AND text = ?`
	deleteShares = `DELETE FROM shares WHERE part = ?`
	// What the numbers of columns and blocks have room for.
	columnsPerPart  = 1 << 6
	blocksPerColumn = 1 << 13
	_               = uint(columnsPerPart - columns.SheetParts)
)

// sheetID gives the id of a row of sheets.
func sheetID(part int64, column, block int) int64 {
	return (part*columnsPerPart+int64(column))*blocksPerColumn + int64(block)
}

// packedSheet is the sheet of a part that is not stored yet.
type packedSheet struct {
	columns []packedColumn
	shares  []packedShare
}

type packedColumn struct {
	column, block int
	data          []byte
}

type packedShare struct {
	dimension int
	text      columns.Text
	data      []byte
}

func packSheet(encoder *columns.Encoder, rows *columns.Rows, some []int32, shares bool) (p packedSheet) {
	some = rows.ByOwner(some)
	put := func(column, block int, data []byte) {
		p.columns = append(p.columns, packedColumn{column, block, bytes.Clone(data)})
	}
	places := encoder.AppendSheet(rows, some, put)
	encoder.Rare(rows, some, put)
	if shares {
		columns.Shares(rows, some, places, func(dimension int, text columns.Text, data []byte) {
			p.shares = append(p.shares, packedShare{dimension, text, data})
		}, put)
	}
	return p
}

func (p *packedSheet) store(c *sqlite.Conn, part int64, breathe func()) error {
	row, err := c.Prepare(insertSheet)
	if err != nil {
		return err
	}
	for _, s := range p.columns {
		breathe()
		row.BindInt64(1, sheetID(part, s.column, s.block))
		row.BindBytes(2, s.data)
		if err := run(row); err != nil {
			return err
		}
	}
	if row, err = c.Prepare(insertShare); err != nil {
		return err
	}
	for _, s := range p.shares {
		breathe()
		row.BindInt64(1, part)
		row.BindInt64(2, int64(s.dimension))
		row.BindInt64(3, int64(s.text))
		row.BindBytes(4, s.data)
		if err := run(row); err != nil {
			return err
		}
	}
	return nil
}

func removeSheet(c *sqlite.Conn, part int64) error {
	err := sqlitex.Execute(c, deleteSheet, &sqlitex.ExecOptions{Args: []any{sheetID(part, 0, 0), sheetID(part+1, 0, 0)}})
	if err != nil {
		return err
	}
	return sqlitex.Execute(c, deleteShares, &sqlitex.ExecOptions{Args: []any{part}})
}

// sheets reads sheets, one at a time.
type sheets struct {
	conn      *sqlite.Conn
	selectOne *sqlite.Stmt // of shares
	part      *part
	sheet     columns.Sheet
}

func newSheets(c *sqlite.Conn) (*sheets, error) {
	row, err := c.Prepare(selectShare)
	s := &sheets{conn: c, selectOne: row}
	s.sheet.Load, s.sheet.Share = s.load, s.share
	return s, err
}

// count counts the clicks of a part from first up to, but without, end.
func (s *sheets) count(counter *columns.Counter, p *part, first, end click.ID) error {
	s.part = p
	s.sheet.Clicks, s.sheet.First, s.sheet.Last = int(p.clicks), p.first, p.last
	s.sheet.AloneFrom, s.sheet.AloneEnd = p.aloneFrom, p.aloneEnd
	err := counter.AddSheet(&s.sheet, first, end)
	if errors.Is(err, columns.ErrDamaged) {
		return errDamagedPart
	}
	return err
}

func (s *sheets) load(column, block int, buf []byte) ([]byte, error) {
	return readBlob(s.conn, "sheets", sheetID(s.part.id, column, block), buf)
}

// readBlob reads data without a statement, which would copy a long value once
// more.
func readBlob(c *sqlite.Conn, table string, id int64, buf []byte) ([]byte, error) {
	runtime.Gosched() // redirects come first
	data, err := c.OpenBlob("", table, "data", id, false)
	if sqlite.ErrCode(err) == sqlite.ResultError { // there is none
		return nil, errDamagedPart
	}
	if err != nil {
		return nil, err
	}
	n := int(data.Size())
	buf = slices.Grow(buf[:0], n)[:n]
	_, err = io.ReadFull(data, buf)
	return buf, errors.Join(err, data.Close())
}

func (s *sheets) share(dimension int, text columns.Text, buf []byte) (data []byte, err error) {
	s.selectOne.BindInt64(1, s.part.id)
	s.selectOne.BindInt64(2, int64(dimension))
	s.selectOne.BindInt64(3, int64(text))
	found, err := s.selectOne.Step()
	if err == nil && found {
		data = readBytes(s.selectOne, 0, buf)
	}
	return data, errors.Join(err, s.selectOne.Reset())
}
