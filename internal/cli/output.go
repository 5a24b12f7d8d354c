package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func addJSON(c *cobra.Command) *cobra.Command {
	c.Flags().Bool(jsonFlag, false, "print JSON")
	return c
}

func wantsJSON(c *cobra.Command) bool {
	f := c.Flags().Lookup(jsonFlag)
	return f != nil && f.Value.String() == "true"
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows in columns, the first row being the headings.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = plain(cell)
		}
		if _, err := fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// plain keeps control characters, which could steer a terminal, out of a cell.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// moment prints a time for people; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(momentLayout)
}

const momentLayout = "2006-01-02 15:04:05"

// parseMoment reads a time that someone wrote: a date (its start, UTC), RFC
// 3339, or a span from now such as 90d or 12h.
func parseMoment(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	var days int
	if n, err := fmt.Sscanf(s, "%dd", &days); n == 1 && err == nil && fmt.Sprintf("%dd", days) == s {
		return now.UTC().AddDate(0, 0, days), nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.UTC().Add(d), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write 2030-01-31, 2030-01-31T12:00:00Z, or a span from now such as 90d or 12h", s)
}

// momentFlag is a flag that holds a time.
type momentFlag struct {
	now  func() time.Time
	text string
	time time.Time
}

func (f *momentFlag) String() string { return f.text }
func (f *momentFlag) Type() string   { return "time" }

// in gives the time, where a date begins in a zone.
func (f *momentFlag) in(zone *time.Location) time.Time {
	if t, err := time.ParseInLocation(time.DateOnly, f.text, zone); err == nil {
		return t.UTC()
	}
	return f.time
}

func (f *momentFlag) Set(s string) (err error) {
	f.text = s
	f.time, err = parseMoment(s, f.now())
	return err
}
