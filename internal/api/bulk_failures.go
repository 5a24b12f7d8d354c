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

// failureTable is how failures are shown so that they can be corrected and sent again:
// the columns of the upload, and what went wrong.
type failureTable struct {
	format  job.Format
	columns []string // of the upload
	shown   []int    // of these
}

// failureTable gives the table of a job's failures.
func (a *API) failureTable(ctx context.Context, j job.Job) (*failureTable, error) {
	t := &failureTable{format: j.Format()}
	for i := range columnsOfCSV {
		t.columns = append(t.columns, columnsOfCSV[i].name)
	}
	if t.format == job.CSV {
		header, err := a.Bulk.Header(ctx, j)
		if err != nil {
			return nil, err
		}
		if t.columns, err = cellsOf(header); err != nil {
			return nil, err
		}
	}
	for i, name := range t.columns {
		if !slices.Contains(failed, name) {
			t.shown = append(t.shown, i)
		}
	}
	return t, nil
}

// header gives the names of the columns.
func (t *failureTable) header() []string {
	var names []string
	for _, i := range t.shown {
		names = append(names, t.columns[i])
	}
	return append(names, failed...)
}

// cells gives the upload's cells of a row that failed, in the order of header.
// Where it can't be split into these, all of its text stands for the
// destination.
func (t *failureTable) cells(l *job.Letter) []string {
	cells, ok := t.split(l.Text)
	if !ok {
		cells = make([]string, len(t.columns))
		if i := slices.Index(t.columns, "long_url"); i >= 0 {
			cells[i] = strings.TrimRight(strings.ToValidUTF8(string(l.Text), "\ufffd"), "\r\n")
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

func (t *failureTable) split(text []byte) ([]string, bool) {
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
