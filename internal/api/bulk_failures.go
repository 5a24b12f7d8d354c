package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"

	"kurz/internal/export"
	"kurz/internal/job"
)

// failed are the columns of a table of failures that say what went wrong; whoever
// reads such a table passes over them.
var failed = []string{"row", "code", "error"}

// FailureTable is how failures are shown so that they can be corrected and sent again:
// the columns of the upload, and what went wrong.
type FailureTable struct {
	format  job.Format
	columns []string // of the upload
	shown   []int    // of these
}

// failureTable gives the table of a job's failures.
func (a *API) failureTable(ctx context.Context, j job.Job) (*FailureTable, error) {
	if j.Format() != job.CSV {
		return NewFailureTable(j.Format(), nil), nil
	}
	text, err := a.Bulk.Header(ctx, j)
	if err != nil {
		return nil, err
	}
	header, err := cellsOf(text)
	return NewFailureTable(job.CSV, header), err
}

// NewFailureTable makes the table for rows of a format; those of CSV have the
// columns of header.
func NewFailureTable(f job.Format, header []string) *FailureTable {
	t := &FailureTable{format: f, columns: header}
	if f != job.CSV {
		t.columns = nil
		for i := range columnsOfCSV {
			t.columns = append(t.columns, columnsOfCSV[i].name)
		}
	}
	for i, name := range t.columns {
		if !slices.Contains(failed, name) {
			t.shown = append(t.shown, i)
		}
	}
	return t
}

// Header gives the names of the columns.
func (t *FailureTable) Header() []string {
	var names []string
	for _, i := range t.shown {
		names = append(names, t.columns[i])
	}
	return append(names, failed...)
}

// Cells gives the upload's cells of a row that failed, in the order of Header.
// Where it can't be split into these, all of its text stands in place of the
// destination, behind a word that keeps it from being one.
func (t *FailureTable) Cells(text []byte) []string {
	cells, ok := t.split(text)
	if !ok {
		cells = make([]string, len(t.columns))
		if i := slices.Index(t.columns, "long_url"); i >= 0 {
			cells[i] = "row: " + strings.TrimRight(strings.ToValidUTF8(string(text), "\ufffd"), "\r\n")
		}
	}
	var shown []string
	for _, i := range t.shown {
		// A cell of CSV may have what keeps it from being a formula already.
		if cell := cells[i]; ok && t.format == job.CSV {
			shown = append(shown, export.Harmless(export.Plain(cell)))
		} else {
			shown = append(shown, export.Harmless(cell))
		}
	}
	return shown
}

func (t *FailureTable) split(text []byte) ([]string, bool) {
	if t.format == job.CSV {
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
