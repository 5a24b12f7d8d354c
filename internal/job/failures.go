package job

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
)

// told are the columns of a table of failures that say what went wrong; whoever
// reads such a table passes over them.
var told = []string{"row", "code", "error"}

// Table is how failures are shown so that they can be corrected and sent again:
// the columns of the upload, and what went wrong.
type Table struct {
	format  Format
	columns []string // of the upload
	shown   []int    // of these
}

// Table gives the table of a job's failures.
func (b *Bulk) Table(ctx context.Context, j Job) (*Table, error) {
	t := &Table{format: j.Format(), columns: Columns()}
	if t.format == CSV {
		header, err := headerOf(ctx, b.s.Queue, &j)
		if err != nil {
			return nil, err
		}
		if t.columns, err = cellsOf(header); err != nil {
			return nil, err
		}
	}
	for i, name := range t.columns {
		if !slices.Contains(told, name) {
			t.shown = append(t.shown, i)
		}
	}
	return t, nil
}

// Header gives the names of the columns.
func (t *Table) Header() []string {
	var names []string
	for _, i := range t.shown {
		names = append(names, t.columns[i])
	}
	return append(names, told...)
}

// Cells gives the upload's cells of a row that failed, in the order of Header.
// Where it can't be split into these, all of its text stands for the
// destination.
func (t *Table) Cells(l *Letter) []string {
	cells, ok := t.split(l.Text)
	if !ok {
		cells = make([]string, len(t.columns))
		if i := slices.Index(t.columns, "long_url"); i >= 0 {
			cells[i] = strings.TrimRight(strings.ToValidUTF8(string(l.Text), "\ufffd"), "\r\n")
		}
	}
	var shown []string
	for _, i := range t.shown {
		shown = append(shown, cells[i])
	}
	return shown
}

func (t *Table) split(text []byte) ([]string, bool) {
	if t.format == CSV {
		cells, err := cellsOf(text)
		return cells, err == nil && len(cells) == len(t.columns)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil, false
	}
	cells := make([]string, len(t.columns))
	for name, value := range members {
		i := slices.Index(t.columns, name)
		if i < 0 {
			return nil, false
		}
		if json.Unmarshal(value, &cells[i]) != nil { // null leaves it empty
			cells[i] = string(value)
		}
	}
	return cells, true
}

// cellsOf reads one row of CSV.
func cellsOf(text []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = -1
	return r.Read()
}
