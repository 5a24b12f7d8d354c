package export

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// maxRecord bounds a row of a CSV file, and the like, in bytes.
const maxRecord = 1 << 20

// readCSV reads a table whose first row names its columns.
func (in *input) readCSV(text *bufio.Reader) error {
	c := newCSVReader(text)
	header, err := c.header()
	if err != nil {
		return err
	}
	fields, err := in.columns(header)
	if err != nil {
		return err
	}
	for {
		cells, err := c.row()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(cells) == 0 {
			continue
		}
		if err := in.give(in.row(header, fields, cells, true)); err != nil {
			return err
		}
	}
}

// Table reads a CSV file of rows that have the columns that its header names.
type Table struct {
	Header []string
	csv    *csvReader
}

// OpenTable reads the header. A file that is not text is fault.ValidationFailed.
func OpenTable(r io.Reader) (*Table, error) {
	text, _, err := OpenText(r)
	if err != nil {
		return nil, err
	}
	t := &Table{csv: newCSVReader(text)}
	t.Header, err = t.csv.header()
	return t, err
}

// Next gives the cells of the next row that is not empty, as the file has them,
// and io.EOF at the end. Any other error ends the reading.
func (t *Table) Next() (cells []string, err error) {
	for empty := 0; len(cells) == 0 && err == nil; empty++ {
		if empty > MaxEmpty {
			return nil, refuse("The file has more than %d empty lines one after the other", MaxEmpty)
		}
		cells, err = t.csv.row()
	}
	return cells, err
}

// MaxEmpty is how many empty lines may follow one another: they cost work, and
// count as no rows.
const MaxEmpty = 10_000

// newCSVReader finds out what separates cells, which a first line may say as
// Excel has it (sep=;), and whether lines end in CR alone.
func newCSVReader(text *bufio.Reader) *csvReader {
	line, cr := firstLine(text)
	if len(line) == 5 && strings.EqualFold(string(line[:4]), "sep=") {
		comma := line[4]
		end := len(line) + 1
		if next, _ := text.Peek(end + 1); bytes.HasSuffix(next, []byte("\r\n")) {
			end++
		}
		_, _ = text.Discard(end) // it was peeked at
		return &csvReader{in: text, comma: comma, cr: cr}
	}
	comma := byte(',')
	for _, other := range []byte{';', '\t'} {
		if bytes.Count(line, []byte{other}) > bytes.Count(line, []byte{comma}) {
			comma = other
		}
	}
	return &csvReader{in: text, comma: comma, cr: cr}
}

// firstLine gives the first line, or its beginning, and leaves it; cr says that
// it ends in CR alone.
func firstLine(text *bufio.Reader) (line []byte, cr bool) {
	line, _ = text.Peek(4096) // a shorter file is no error
	if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
		return line[:i], line[i] == '\r' && i+1 < len(line) && line[i+1] != '\n'
	}
	return line, false
}

// csvReader reads CSV as RFC 4180 has it, with lines that end in LF too. Unlike
// that of the standard library it leaves ends of lines in cells as they are.
type csvReader struct {
	in    *bufio.Reader
	comma byte
	cr    bool // lines end in CR too, as on old Macs
	cell  []byte
	size  int
}

// header gives the names in the first row that is not empty.
func (c *csvReader) header() (names []string, err error) {
	for len(names) == 0 {
		if names, err = c.row(); errors.Is(err, io.EOF) {
			return nil, refuse("The file has no header")
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names, nil
}

// row gives no cells for an empty line.
func (c *csvReader) row() ([]string, error) {
	cells, err := c.record()
	if len(cells) == 1 && strings.TrimSpace(cells[0]) == "" {
		return nil, err
	}
	return cells, err
}

// record gives the next row; io.EOF where there is none.
func (c *csvReader) record() (cells []string, err error) {
	if _, err := c.in.Peek(1); err != nil {
		return nil, err
	}
	c.size = 0
	for {
		last, err := c.next()
		if err != nil {
			return nil, err
		}
		if !utf8.Valid(c.cell) {
			return nil, refuse("The file is neither UTF-8 nor UTF-16: save it as UTF-8")
		}
		if cells = append(cells, string(c.cell)); last {
			return cells, nil
		}
	}
}

// next reads a cell; last says that it ends the row.
func (c *csvReader) next() (last bool, err error) {
	c.cell = c.cell[:0]
	quoted, closed := false, false
	for first := true; ; first = false {
		b, err := c.in.ReadByte()
		if errors.Is(err, io.EOF) {
			if quoted && !closed {
				return true, refuse("The file ends within quotes")
			}
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if c.size++; c.size > maxRecord {
			return false, refuse("A row has more than %d bytes: is a quote missing?", maxRecord)
		}
		switch {
		case quoted && !closed:
			if b != '"' {
				c.cell = append(c.cell, b)
			} else if next, _ := c.in.Peek(1); len(next) == 1 && next[0] == '"' {
				_, _ = c.in.Discard(1) // it was peeked at
				c.cell = append(c.cell, '"')
			} else {
				closed = true
			}
		case first && b == '"':
			quoted = true
		case b == c.comma:
			return false, nil
		case b == '\n':
			return true, nil
		case b == '\r':
			if next, _ := c.in.Peek(1); len(next) == 1 && next[0] == '\n' {
				continue
			}
			if c.cr {
				return true, nil
			}
			c.cell = append(c.cell, b)
		default:
			c.cell = append(c.cell, b)
		}
	}
}
