package api

import (
	"bytes"
	"encoding/csv"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kurz/internal/click"
)

// newCSV writes CSV as RFC 4180 says, with CRLF at the end of lines.
func newCSV(w io.Writer) *csv.Writer {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	return out
}

// beginCSV begins an answer in CSV, to be kept under this name.
func (c *call) beginCSV(file string) {
	h := c.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	c.w.WriteHeader(ok)
}

// harmless keeps spreadsheets from taking a stranger's text for a formula
// (OWASP, CSV injection): a quote is put before text that begins, behind any
// blanks, with a character that begins one, also in its full width, or with a
// tab or a line's end.
func harmless(s string) string {
	if s == "" {
		return s
	}
	switch s[0] {
	case '\t', '\r', '\n':
		return "'" + s
	}
	rest := strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
	switch r, _ := utf8.DecodeRuneInString(rest); r {
	case '=', '+', '-', '@', '＝', '＋', '－', '＠':
		return "'" + s
	}
	return s
}

// reportColumns is the header row of a report in CSV.
var reportColumns = []string{"section", "value", "clicks", "unique_visitors"}

// replyReportCSV shows a report as one table: a row for each number, whose
// section says what it is of, behind rows that say what was asked for. Sections
// of lists are named for the filter that keeps their values. Dates and times are
// those of the report's zone.
func (a *API) replyReportCSV(c *call, ask *asked, t *told) error {
	file := "report.csv"
	if ask.code != "" {
		file = "report-" + string(ask.code) + ".csv"
	}
	var b bytes.Buffer
	table := reportTable{newCSV(&b)}
	table.row(reportColumns...)
	table.about("", &t.Report)
	table.row("time_zone", t.Zone.String(), "", "")
	table.row("interval", string(t.Interval), "", "")
	table.row("kind", string(ask.Kinds), "", "")
	for _, name := range dimensionNames() {
		for _, text := range c.query[name] {
			table.row("filter", name+"="+text, "", "")
		}
	}
	table.summary("summary", &t.Report)
	if t.previous != nil {
		table.about("previous_", t.previous)
		table.summary("previous", t.previous)
	}
	table.series("series", t.Series, &t.Report)
	if t.previous != nil {
		table.series("previous_series", t.previous.Series, t.previous)
	}
	for _, day := range t.ByDay {
		table.row("day", day.Start.In(t.Zone).Format(time.DateOnly), number(day.Clicks), "")
	}
	for _, hour := range t.ByHour {
		table.row("hour", hour.Start.In(t.Zone).Format(time.RFC3339), number(hour.Clicks), "")
	}
	for _, d := range click.Dimensions {
		for _, n := range t.Top[d] {
			table.row(string(d), harmless(n.Value), number(n.Clicks), "")
		}
	}
	table.out.Flush()
	if c.beginCSV(file); c.r.Method == http.MethodHead {
		return nil
	}
	_, _ = b.WriteTo(c.w) // a client that went away needs no answer
	return nil
}

// reportTable writes rows into memory.
type reportTable struct{ out *csv.Writer }

func (t reportTable) row(cells ...string) { _ = t.out.Write(cells) }

// about tells of what time the report is, and from when on its clicks are
// counted where that is later.
func (t reportTable) about(prefix string, r *click.Report) {
	moment := func(at time.Time) string { return at.In(r.Zone).Format("2006-01-02T15:04:05.000Z07:00") }
	t.row(prefix+"from", moment(r.From), "", "")
	t.row(prefix+"to", moment(r.To), "", "")
	if !r.Since.IsZero() {
		t.row(prefix+"counted_since", moment(r.Since), "", "")
	}
}

func (t reportTable) summary(section string, r *click.Report) {
	t.row(section, "total_clicks", number(r.TotalClicks), number(r.UniqueVisitors))
	t.row(section, "bot_clicks", number(r.BotClicks), "")
	t.row(section, "qr_scans", number(r.QRScans), "")
}

func (t reportTable) series(section string, series []click.Bucket, r *click.Report) {
	layout := time.DateOnly
	if r.Interval == click.Hourly {
		layout = time.RFC3339
	}
	for _, b := range series {
		t.row(section, b.Start.In(r.Zone).Format(layout), number(b.Clicks), number(b.UniqueVisitors))
	}
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
