package api

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"kurz/internal/export"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/link"
)

// csvRows are the rows of a CSV file.
type csvRows struct {
	table   *export.Table
	columns []*column
	cells   []string
	text    bytes.Buffer
	out     *csv.Writer
}

// column is a field of a creation in CSV. A nil set says that it is not looked
// at.
type column struct {
	name string
	set  func(c *link.Creation, cell string) error
}

func textColumn(name string, of func(*link.Creation) *string) column {
	return column{name, func(c *link.Creation, cell string) error {
		*of(c) = cell
		return nil
	}}
}

func boolColumn(name string, of func(*link.Creation) *bool) column {
	return column{name, func(c *link.Creation, cell string) (err error) {
		if *of(c), err = export.ParseBool(cell); err != nil {
			return errBool
		}
		return nil
	}}
}

func timeColumn(name string, of func(*link.Creation) *time.Time) column {
	return column{name, func(c *link.Creation, cell string) (err error) {
		if *of(c), err = export.ParseTime(cell); err != nil {
			return errTime
		}
		return nil
	}}
}

func numberColumn(name string, set func(c *link.Creation, n int)) column {
	return column{name, func(c *link.Creation, cell string) error {
		n, err := strconv.Atoi(cell)
		if err != nil {
			return errInt
		}
		if n == 0 && name != "edge_ttl" {
			return errors.New("may not be 0: leave it empty")
		}
		set(c, n)
		return nil
	}}
}

// columnsOfCSV are all that a creation has, and those that a list of failures
// adds.
var columnsOfCSV = []column{
	textColumn("long_url", func(c *link.Creation) *string { return &c.LongURL }),
	textColumn("custom_alias", func(c *link.Creation) *string { return &c.Alias }),
	textColumn("domain", func(c *link.Creation) *string { return &c.Domain }),
	textColumn("content_id", func(c *link.Creation) *string { return &c.ContentID }),
	boolColumn("find_existing", func(c *link.Creation) *bool { return &c.FindExisting }),
	numberColumn("code_length", func(c *link.Creation, n int) { c.CodeLength = n }),
	textColumn("title", func(c *link.Creation) *string { return &c.Title }),
	textColumn("notes", func(c *link.Creation) *string { return &c.Notes }),
	{"tags", func(c *link.Creation, cell string) error {
		c.Tags = export.SplitTags(cell)
		return nil
	}},
	numberColumn("redirect_status", func(c *link.Creation, n int) { c.RedirectStatus = n }),
	numberColumn("edge_ttl", func(c *link.Creation, n int) { c.EdgeTTL = seconds(opt[int]{value: n}) }),
	boolColumn("forward_query", func(c *link.Creation) *bool { return &c.ForwardQuery }),
	timeColumn("starts_at", func(c *link.Creation) *time.Time { return &c.StartsAt }),
	timeColumn("expires_at", func(c *link.Creation) *time.Time { return &c.ExpiresAt }),
	textColumn("expired_url", func(c *link.Creation) *string { return &c.ExpiredURL }),
	{name: "row"},
	{name: "code"},
	{name: "error"},
}

// columnNames tells people which columns there are.
func columnNames() string {
	var names []string
	for _, c := range columnsOfCSV {
		if c.set != nil {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}

// maxBadColumns bounds the columns at fault that are told of.
const maxBadColumns = 5

func newCSVRows(r io.Reader) (*csvRows, error) {
	table, err := export.OpenTable(r)
	if err != nil {
		return nil, err
	}
	c := &csvRows{table: table}
	c.out = csv.NewWriter(&c.text)
	seen := map[string]bool{}
	var details []fault.Detail
	for _, name := range table.Header {
		plain := strings.ToLower(name)
		i := slices.IndexFunc(columnsOfCSV, func(known column) bool { return known.name == plain })
		switch {
		case i < 0 && notInCreate[plain] != "":
			details = append(details, fault.Detail{Field: plain, Reason: notInCreate[plain]})
		case i < 0:
			details = append(details, fault.Detail{Field: clip(name), Reason: "is no column that is known here"})
		case seen[plain]:
			details = append(details, fault.Detail{Field: plain, Reason: "is given twice"})
		default:
			c.columns = append(c.columns, &columnsOfCSV[i])
		}
		seen[plain] = true
	}
	if more := len(details) - maxBadColumns; more > 0 {
		details = append(details[:maxBadColumns], fault.Detail{Field: "header", Reason: fmt.Sprintf("has %d more columns that can't be taken", more)})
	}
	if !seen["long_url"] {
		details = append(details, fault.Detail{Field: "long_url", Reason: "is needed"})
	}
	if len(details) > 0 {
		details = append(details, fault.Detail{Field: "header", Reason: "may have " + columnNames()})
	}
	return c, invalid(details)
}

func (c *csvRows) next() (_ []byte, err error) {
	if c.cells, err = c.table.Next(); err != nil {
		return nil, err
	}
	text := c.write(c.cells)
	if len(text) > job.MaxRow {
		return nil, tooLong(": is a quote missing?")
	}
	return bytes.Clone(text), nil
}

// write gives cells as a line of CSV.
func (c *csvRows) write(cells []string) []byte {
	c.text.Reset()
	_ = c.out.Write(cells) // to memory
	c.out.Flush()
	return bytes.TrimSuffix(c.text.Bytes(), []byte{'\n'})
}

func (c *csvRows) creation() (creation link.Creation, err error) {
	if len(c.cells) != len(c.columns) {
		return creation, fault.Invalid("row", "has %d cells where the header has %d: put a cell with a separator in it in quotes", len(c.cells), len(c.columns))
	}
	var details []fault.Detail
	for i, cell := range c.cells {
		column := c.columns[i]
		if cell == "" || column.set == nil {
			continue
		}
		if err := column.set(&creation, export.Plain(cell)); err != nil {
			details = append(details, fault.Detail{Field: column.name, Reason: err.Error()})
		}
	}
	if creation.LongURL == "" {
		details = append(details, fault.Detail{Field: "long_url", Reason: "is needed"})
	}
	return creation, invalid(details)
}

func (c *csvRows) names() []string {
	names := make([]string, len(c.columns))
	for i := range names {
		names[i] = c.columns[i].name
	}
	return names
}

func (c *csvRows) frame() (before, between, after string) {
	return string(c.write(c.names())) + "\n", "\n", "\n"
}
