package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// shownRows bounds the rows that are told of without --json.
const shownRows = 50

// print tells what was taken on standard output, and row by row what was not on
// standard error.
func (m *mover) print(w *World, c *cobra.Command) error {
	r := &m.report
	if wantsJSON(c) {
		return printJSON(w.Stdout, r)
	}
	for i, row := range r.Told {
		if i == shownRows {
			fmt.Fprintf(w.Stderr, "… and %d more rows: --json tells of them\n", len(r.Told)-i+r.Untold)
			break
		}
		fmt.Fprintln(w.Stderr, plain(row.String()))
	}
	for _, host := range slices.Sorted(maps.Keys(r.Domains)) {
		fmt.Fprintf(w.Stderr, "%d links of %s, which is no domain of this server, are now of %s\n", r.Domains[host], plain(host), m.domains.Host(m.other))
	}
	for _, owner := range slices.Sorted(maps.Keys(r.Owners)) {
		fmt.Fprintf(w.Stderr, "%d links of %s, who is unknown here, belong to nobody\n", r.Owners[owner], plain(owner))
	}
	if len(r.Unknown) > 0 {
		fmt.Fprintf(w.Stderr, "kurz does not know what these are, and left them out: %s\n", plain(strings.Join(r.Unknown, ", ")))
	}
	what := "links taken"
	if r.Checked {
		what = "links would be taken"
	}
	_, err := fmt.Fprintf(w.Stdout, "%d rows: %d %s with %d clicks, %d of them under another code; %d there already, %d left out\n",
		r.Rows, r.Counts[rowTaken]+r.Counts[rowRenamed], what, r.Clicks, r.Counts[rowRenamed], r.Counts[rowThere], r.Counts[rowLeftOut])
	return err
}

func (r rowReport) String() string {
	text := fmt.Sprintf("row %d", r.Row)
	if r.Code != "" {
		text += " (" + r.Code + ")"
	}
	text += ": " + r.Outcome
	if r.NewCode != "" {
		text += " to " + r.NewCode
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	if len(r.Lost) > 0 {
		text += ", without " + strings.Join(r.Lost, ", ")
	}
	return text
}

// seconds gives a number of seconds of a file as a span, without overflow.
func seconds(n int) time.Duration {
	const most = 1 << 30
	return time.Duration(min(max(n, -1), most)) * time.Second
}
