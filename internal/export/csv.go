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
	c := &csvReader{in: text, comma: delimiter(text)}
	header, err := c.record()
	if err != nil {
		return err
	}
	for i := range header {
		header[i] = strings.TrimSpace(header[i])
	}
	fields, err := in.columns(header)
	if err != nil {
		return err
	}
	for {
		cells, err := c.record()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(cells) == 1 && strings.TrimSpace(cells[0]) == "" {
			continue // an empty line
		}
		if err := in.give(in.row(header, fields, cells, true)); err != nil {
			return err
		}
	}
}

// Table reads a CSV file of rows that have the columns that its header names.
type Table struct {
	Header []string
	csv    csvReader
}

// OpenTable reads the header. A file that is not text is fault.ValidationFailed.
func OpenTable(r io.Reader) (*Table, error) {
	text, _, err := OpenText(r)
	if err != nil {
		return nil, err
	}
	t := &Table{csv: csvReader{in: text, comma: delimiter(text)}}
	for len(t.Header) == 0 {
		if t.Header, err = t.next(); err != nil {
			return nil, err
		}
	}
	for i := range t.Header {
		t.Header[i] = strings.TrimSpace(t.Header[i])
	}
	return t, nil
}

// Next gives the cells of the next row that is not empty, as the file has them,
// and io.EOF at the end. Any other error ends the reading.
func (t *Table) Next() (cells []string, err error) {
	for empty := 0; len(cells) == 0 && err == nil; empty++ {
		if empty > MaxEmpty {
			return nil, refuse("The file has more than %d empty lines one after the other", MaxEmpty)
		}
		cells, err = t.next()
	}
	return cells, err
}

// MaxEmpty is how many empty lines may follow one another: they cost work, and
// count as no rows.
const MaxEmpty = 10_000

// next gives no cells for an empty line.
func (t *Table) next() ([]string, error) {
	cells, err := t.csv.record()
	if len(cells) == 1 && strings.TrimSpace(cells[0]) == "" {
		return nil, err
	}
	return cells, err
}

// delimiter gives what separates the names in the first line.
func delimiter(text *bufio.Reader) byte {
	line, _ := text.Peek(4096) // a shorter file is no error
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	comma := byte(',')
	for _, other := range []byte{';', '\t'} {
		if bytes.Count(line, []byte{other}) > bytes.Count(line, []byte{comma}) {
			comma = other
		}
	}
	return comma
}

// csvReader reads CSV as RFC 4180 has it, with lines that end in LF too. Unlike
// that of the standard library it leaves ends of lines in cells as they are.
type csvReader struct {
	in    *bufio.Reader
	comma byte
	cell  []byte
	size  int
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
			c.cell = append(c.cell, b)
		default:
			c.cell = append(c.cell, b)
		}
	}
}
