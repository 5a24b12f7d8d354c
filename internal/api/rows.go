package api

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"kurz/internal/export"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/link"
)

// NewRows reads a file of creations, each of which has the fields of LinkCreate,
// in constant memory. CSV may be separated by commas, semicolons or tabs; text is
// UTF-8, or UTF-16 with its mark. A file that is not text, and a CSV file without
// long_url or with columns that no creation has, is fault.ValidationFailed.
func NewRows(r io.Reader, f job.Format) (job.Rows, error) {
	s, err := newSource(r, f)
	if err != nil {
		return nil, err
	}
	return &rows{source: s}, nil
}

// BulkFiles is a job.Reader: NewRows and NewCutter.
type BulkFiles struct{}

// Rows implements job.Reader.
func (BulkFiles) Rows(r io.Reader, f job.Format) (job.Rows, error) { return NewRows(r, f) }

// Cutter implements job.Reader.
func (BulkFiles) Cutter(r io.Reader, f job.Format) (job.Cutter, error) { return NewCutter(r, f) }

// rows is a job.Rows.
type rows struct {
	source source
	number int64
}

func (r *rows) Next() (job.Row, error) {
	text, err := r.source.next()
	if err != nil {
		return job.Row{}, err
	}
	r.number++
	row := job.Row{Number: r.number, Text: text}
	row.Creation, row.Err = r.source.creation()
	return row, nil
}

// Header gives the names of a CSV file's columns, as it has them apart from case;
// nil of other formats.
func (r *rows) Header() []string {
	c, ok := r.source.(*csvRows)
	if !ok {
		return nil
	}
	return c.names()
}

// source are the rows of a file.
type source interface {
	// next reads a row and gives its text.
	next() ([]byte, error)
	// creation tells what the row asks for.
	creation() (link.Creation, error)
	// frame gives what stands before, between and after the rows of a file.
	frame() (before, between, after string)
}

func newSource(r io.Reader, f job.Format) (source, error) {
	switch f {
	case job.CSV:
		return newCSVRows(r)
	case job.JSON:
		return newArrayRows(r)
	}
	text, _, err := export.OpenText(r)
	return &lineRows{in: text}, err
}

// tooLong is the fault of a file with a row that is too long to be one.
func tooLong(hint string) error {
	return fault.Invalid("body", "has a row of more than %d bytes%s", job.MaxRow, hint)
}

// arrayRows are the elements of a JSON array.
type arrayRows struct {
	in      *bufio.Reader
	decoder *jsontext.Decoder
	read    int64
	text    []byte
}

func newArrayRows(r io.Reader) (*arrayRows, error) {
	text, first, err := export.OpenText(r)
	if err != nil {
		return nil, err
	}
	if first != '[' {
		return nil, fault.Invalid("body", "must be a JSON array of objects; objects of a line each are application/x-ndjson")
	}
	a := &arrayRows{in: text}
	// What is wrong within a row is the row's own fault.
	a.decoder = jsontext.NewDecoder(a, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := a.decoder.ReadToken(); err != nil {
		return nil, malformed(err)
	}
	return a, nil
}

var errTooLong = errors.New("row too long")

// Read implements io.Reader for the decoder, which keeps the row that it reads.
func (a *arrayRows) Read(p []byte) (int, error) {
	if a.read-a.decoder.InputOffset() > 4*job.MaxRow {
		return 0, errTooLong
	}
	n, err := a.in.Read(p)
	a.read += int64(n)
	return n, err
}

func (a *arrayRows) next() ([]byte, error) {
	if a.decoder.PeekKind() == ']' {
		if _, err := a.decoder.ReadToken(); err != nil {
			return nil, malformed(err)
		}
		if err := checkEnd(a.decoder); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	v, err := a.decoder.ReadValue()
	switch {
	case errors.Is(err, errTooLong) || len(v) > job.MaxRow:
		return nil, tooLong("")
	case err != nil:
		return nil, malformed(err)
	}
	a.text = bytes.Clone(v)
	for i, b := range a.text { // which are blanks where JSON may have them
		if b == '\n' || b == '\r' {
			a.text[i] = ' '
		}
	}
	return a.text, nil
}

func (a *arrayRows) creation() (link.Creation, error) { return parseCreate(a.text) }

func (a *arrayRows) frame() (before, between, after string) { return "[", ",\n", "]\n" }

// lineRows are JSON objects, a line each.
type lineRows struct {
	in   *bufio.Reader
	text []byte
}

func (l *lineRows) next() ([]byte, error) {
	for empty := 0; ; empty++ {
		if empty > export.MaxEmpty {
			return nil, fault.Invalid("body", "has more than %d empty lines one after the other", export.MaxEmpty)
		}
		line, err := l.line()
		if line = bytes.TrimSpace(line); len(line) > 0 {
			l.text = line
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// line gives a line in memory of its own; with the last one, io.EOF may come.
func (l *lineRows) line() (line []byte, err error) {
	for {
		part, err := l.in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > job.MaxRow {
			return nil, tooLong("")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func (l *lineRows) creation() (link.Creation, error) { return parseCreate(l.text) }

func (l *lineRows) frame() (before, between, after string) { return "", "\n", "\n" }

// NewCutter cuts what NewRows reads, and refuses what it does.
func NewCutter(r io.Reader, f job.Format) (job.Cutter, error) {
	s, err := newSource(r, f)
	if err != nil {
		return nil, err
	}
	c := &cutter{source: s}
	c.before, c.between, c.after = s.frame()
	return c, nil
}

// cutter is a job.Cutter.
type cutter struct {
	source                 source
	before, between, after string
	pending                []byte // a row that the chunk before had no room for
}

func (c *cutter) Next() (chunk []byte, rows int64, err error) {
	chunk = append(chunk, c.before...)
	for {
		row := c.pending
		if c.pending = nil; row == nil {
			if row, err = c.source.next(); errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, 0, err
			}
		}
		if len(chunk)+len(c.between)+len(row)+len(c.after) > job.MaxChunk {
			c.pending = row
			break
		}
		if rows > 0 {
			chunk = append(chunk, c.between...)
		}
		chunk = append(chunk, row...)
		rows++
	}
	if rows == 0 {
		return nil, 0, io.EOF
	}
	return append(chunk, c.after...), rows, nil
}
