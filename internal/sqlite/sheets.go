package sqlite

import (
	"errors"
	"runtime"

	"zombiezen.com/go/sqlite"

	"kurz/internal/click"
	"kurz/internal/columns"
)

// sheets reads sheets, one at a time.
type sheets struct {
	row   *sqlite.Stmt
	part  *part
	sheet columns.Sheet
}

func newSheets(c *sqlite.Conn) (*sheets, error) {
	row, err := c.Prepare(selectSheet)
	s := &sheets{row: row}
	s.sheet.Load = s.load
	return s, err
}

// count counts the clicks of a part from first up to, but without, end.
func (s *sheets) count(counter *columns.Counter, p *part, first, end click.ID) error {
	s.part = p
	s.sheet.Clicks, s.sheet.First, s.sheet.Last = int(p.clicks), p.first, p.last
	err := counter.AddSheet(&s.sheet, first, end)
	if errors.Is(err, columns.ErrDamaged) {
		return errDamagedPart
	}
	return err
}

func (s *sheets) load(column, block int, buf []byte) ([]byte, error) {
	runtime.Gosched() // redirects come first
	s.row.BindInt64(1, sheetID(s.part.id, column, block))
	found, err := s.row.Step()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errDamagedPart
	}
	data := readBytes(s.row, 0, buf)
	return data, s.row.Reset()
}
