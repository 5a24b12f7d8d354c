package job

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"kurz/internal/fault"
	"kurz/internal/link"
)

// Format is how rows are written.
type Format string

// The formats.
const (
	CSV    Format = "csv"
	JSON   Format = "json"
	NDJSON Format = "ndjson"
)

// Row is one row.
type Row struct {
	Number   int64
	Text     []byte
	Creation link.Creation
	Err      error
}

// Rows reads rows.
type Rows struct {
	csv     *csv.Reader
	columns []string
	scan    *bufio.Scanner
	n       int64
}

// NewRows reads rows in a format.
func NewRows(r io.Reader, f Format) (*Rows, error) {
	if f != CSV {
		return &Rows{scan: bufio.NewScanner(r)}, nil
	}
	rows := &Rows{csv: csv.NewReader(r)}
	var err error
	if rows.columns, err = rows.csv.Read(); err != nil || !strings.Contains(strings.Join(rows.columns, ","), "long_url") {
		return nil, fault.Invalid("header", "must have the column long_url")
	}
	return rows, nil
}

// Next gives the next row.
func (r *Rows) Next() (Row, error) {
	r.n++
	row := Row{Number: r.n}
	if r.scan != nil {
		if !r.scan.Scan() {
			return row, io.EOF
		}
		row.Text = bytes.Clone(r.scan.Bytes())
		var o struct{ Long_url, Custom_alias string } //nolint:revive // stub
		row.Err = json.Unmarshal(row.Text, &o)
		row.Creation = link.Creation{LongURL: o.Long_url, Alias: o.Custom_alias}
		return row, nil
	}
	cells, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return row, err
	}
	for i, c := range cells {
		switch r.columns[i] {
		case "long_url":
			row.Creation.LongURL = c
		case "custom_alias":
			row.Creation.Alias = c
		}
	}
	row.Text = []byte(strings.Join(cells, ","))
	return row, nil
}

// Cutter cuts a stream into chunks of whole rows.
type Cutter struct {
	r      *bufio.Reader
	header []byte
}

// NewCutter makes a Cutter.
func NewCutter(r io.Reader, f Format) (*Cutter, error) {
	c := &Cutter{r: bufio.NewReader(r)}
	if f == CSV {
		c.header, _ = c.r.ReadBytes('\n')
		if _, err := NewRows(bytes.NewReader(c.header), f); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Next gives the next chunk and how many rows are in it; io.EOF at the end.
func (c *Cutter) Next() ([]byte, int64, error) {
	b := bytes.Clone(c.header)
	var rows int64
	for len(b) < MaxChunk/2 {
		line, err := c.r.ReadBytes('\n')
		if len(line) > 0 {
			b, rows = append(b, line...), rows+1
		}
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, 0, err
		}
	}
	if rows == 0 {
		return nil, 0, io.EOF
	}
	return b, rows, nil
}

func headerIn(chunk []byte) []byte {
	i := bytes.IndexByte(chunk, '\n')
	return chunk[:i+1]
}

// Columns are the names that a header may have.
func Columns() []string { return []string{"long_url", "custom_alias"} }

// Harmless is a stub.
func Harmless(s string) string { return s }
