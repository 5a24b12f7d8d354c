package sqlite

import (
	"encoding/binary"
	"slices"
	"sort"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/fault"
	"kurz/internal/link"
)

const (
	partColumns   = `id, rolled, clicks, first_id, last_id, outline`
	selectParts   = `SELECT ` + partColumns + ` FROM parts WHERE last_id >= ?1 AND first_id < ?2 ORDER BY last_id DESC, id DESC`
	selectFresh   = `SELECT ` + partColumns + ` FROM parts WHERE rolled = 0 ORDER BY id`
	selectSmall   = `SELECT ` + partColumns + ` FROM parts WHERE rolled = 1 AND clicks < ? ORDER BY id`
	selectPartID  = `SELECT count(*) FROM parts WHERE id = ?`
	insertPart    = `INSERT INTO parts (rolled, clicks, first_id, last_id, outline) VALUES (?, ?, ?, ?, ?)`
	deletePart    = `DELETE FROM parts WHERE id = ?`
	insertPacked  = `INSERT INTO chunks (id, data) VALUES (?, ?)`
	deletePacked  = `DELETE FROM chunks WHERE id >= ?1 AND id < ?2`
	chunksPerPart = 1 << 16
)

// part is a row of parts.
type part struct {
	id      int64
	rolled  bool
	clicks  int64
	first   click.ID
	last    click.ID
	outline []link.ID // the first link of each chunk
	// From one time up to, but without, the other, in milliseconds since 1970, no
	// other part of a report has clicks.
	aloneFrom, aloneEnd int64
}

// overlaps reports whether the part may have clicks from first up to, but
// without, end.
func (p *part) overlaps(first, end click.ID) bool { return p.last >= first && p.first < end }

// listParts gives the parts that a statement selects.
func listParts(c *sqlite.Conn, query string, args ...any) (list []*part, err error) {
	err = sqlitex.Execute(c, query, &sqlitex.ExecOptions{Args: args, ResultFunc: func(s *sqlite.Stmt) error {
		p := &part{
			id: s.ColumnInt64(0), rolled: s.ColumnInt64(1) != 0, clicks: s.ColumnInt64(2),
			first: click.ID(s.ColumnInt64(3)), last: click.ID(s.ColumnInt64(4)),
		}
		outline := readBytes(s, 5, nil)
		before := uint64(0)
		for len(outline) > 0 {
			distance, n := binary.Uvarint(outline)
			if n <= 0 {
				return errDamagedPart
			}
			before += distance
			p.outline, outline = append(p.outline, link.ID(before)), outline[n:]
		}
		list = append(list, p)
		return nil
	}})
	return list, err
}

var errDamagedPart = fault.New(fault.Internal, "the clicks' file is damaged: restore it from a backup")

// readBytes gives a column's bytes in buf, which grows if need be.
func readBytes(s *sqlite.Stmt, column int, buf []byte) []byte {
	n := s.ColumnLen(column)
	buf = slices.Grow(buf[:0], n)[:n]
	s.ColumnBytes(column, buf)
	return buf
}

// chunksOf gives the places of the chunks that may have clicks of a link.
func (p *part) chunksOf(id link.ID) (from, to int) {
	to = sort.Search(len(p.outline), func(i int) bool { return p.outline[i] > id })
	from = sort.Search(to, func(i int) bool { return p.outline[i] >= id })
	return max(0, from-1), to
}

// chunks reads chunks, one at a time.
type chunks struct {
	conn  *sqlite.Conn
	data  []byte
	chunk columns.Chunk
}

// open gives a chunk, which is valid until the next call.
func (r *chunks) open(p *part, place int) (*columns.Chunk, error) {
	data, err := readBlob(r.conn, "chunks", p.id*chunksPerPart+int64(place), r.data)
	if err != nil {
		return nil, err
	}
	if r.data = data; r.chunk.Open(r.data) != nil {
		return nil, errDamagedPart
	}
	return &r.chunk, nil
}

// each calls fn with all chunks of a part.
func (r *chunks) each(p *part, fn func(c *columns.Chunk) error) error {
	for place := range p.outline {
		c, err := r.open(p, place)
		if err != nil {
			return err
		}
		if err := fn(c); err != nil {
			return err
		}
		if c.Err() != nil {
			return errDamagedPart
		}
	}
	return nil
}

// rows reads all the clicks of some parts, as columns.NewRows makes them with
// breathe; that one is not there any more is errPartGone.
func (r *chunks) rows(c *sqlite.Conn, list []*part, breathe func()) (*columns.Rows, error) {
	rows, clicks := columns.NewRows(breathe), int64(0)
	for _, p := range list {
		clicks += p.clicks
		there, err := isThere(c, p)
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, errPartGone
		}
	}
	rows.Grow(int(clicks))
	for _, p := range list {
		err := r.each(p, func(c *columns.Chunk) error {
			c.Append(rows, 0, c.Len())
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func isThere(c *sqlite.Conn, p *part) (there bool, err error) {
	err = sqlitex.Execute(c, selectPartID, &sqlitex.ExecOptions{
		Args:       []any{p.id},
		ResultFunc: func(s *sqlite.Stmt) error { there = s.ColumnInt64(0) == 1; return nil },
	})
	return there, err
}

// packed is a part that is not stored yet.
type packed struct {
	part
	outline []byte
	chunks  [][]byte
	sheet   packedSheet
	breathe func()
}

// form is what a part is made of.
type form int

const (
	fresh    form = iota // chunks
	rolledUp             // a sheet, too
	settled              // shares, too
)

// pack makes a part of rows, those in order.
func pack(rows *columns.Rows, order []int32, f form) *packed {
	rolled := f > fresh
	p := &packed{part: part{rolled: rolled, clicks: int64(len(order))}, breathe: rows.Breathe}
	for i, n := range order {
		id := rows.IDs[n]
		if i == 0 {
			p.first, p.last = id, id
		}
		p.first, p.last = min(p.first, id), max(p.last, id)
	}
	var encoder columns.Encoder
	before := link.ID(0)
	for some := range slices.Chunk(order, columns.ChunkRows) {
		id := rows.Links[some[0]]
		p.outline = binary.AppendUvarint(p.outline, uint64(id-before))
		before = id
		p.chunks = append(p.chunks, encoder.Append(nil, rows, some))
	}
	if rolled && len(order) > 0 {
		p.sheet = packSheet(&encoder, rows, order, f == settled)
	}
	return p
}

// store stores a part, unless it has no clicks.
func (p *packed) store(c *sqlite.Conn) error {
	if p.clicks == 0 {
		return nil
	}
	err := sqlitex.Execute(c, insertPart, &sqlitex.ExecOptions{
		Args: []any{p.rolled, p.clicks, int64(p.first), int64(p.last), p.outline},
	})
	if err != nil {
		return err
	}
	id := c.LastInsertRowID()
	row, err := c.Prepare(insertPacked)
	if err != nil {
		return err
	}
	for place, data := range p.chunks {
		p.breathe()
		row.BindInt64(1, id*chunksPerPart+int64(place))
		row.BindBytes(2, data)
		if err := run(row); err != nil {
			return err
		}
	}
	return p.sheet.store(c, id, p.breathe)
}

// remove removes parts; that one is not there any more is an error.
func remove(c *sqlite.Conn, list []*part) error {
	for _, p := range list {
		if err := sqlitex.Execute(c, deletePart, &sqlitex.ExecOptions{Args: []any{p.id}}); err != nil {
			return err
		}
		if c.Changes() != 1 {
			return errPartGone
		}
		err := sqlitex.Execute(c, deletePacked, &sqlitex.ExecOptions{Args: []any{p.id * chunksPerPart, (p.id + 1) * chunksPerPart}})
		if err == nil {
			err = removeSheet(c, p.id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errPartGone = fault.New(fault.Unavailable, "the clicks are being rearranged by another program: try again")

// run executes a statement that gives no rows, for other values to be bound
// after it.
func run(s *sqlite.Stmt) error {
	if _, err := s.Step(); err != nil {
		return err
	}
	return s.Reset()
}
