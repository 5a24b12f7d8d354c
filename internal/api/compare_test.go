package api_test

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/api"
	"kurz/internal/click"
)

// compared is clicked with clicks of the days before.
func compared(t *testing.T) (w *world, code string) {
	t.Helper()
	w, code = clicked(t)
	id, owner := w.linkID(t, code)
	for day, n := range map[int]int{20: 4, 19: 1} {
		for i := range n {
			w.click(t, click.Event{
				Link: id, Owner: owner, Time: time.Date(2026, 11, day, 8, i, 0, 0, time.UTC), Trigger: click.ByQR, Visitor: 9,
				Details: click.Details{Country: "AT", Browser: "=HYPERLINK(1)"},
			})
		}
	}
	return w, code
}

const saturday = "from=2026-11-21T00:00:00Z&to=2026-11-22T00:00:00Z"

func TestComparison(t *testing.T) {
	w, code := compared(t)
	for _, path := range []string{urls + "/" + code + "/stats?", "/api/v1/stats?"} {
		got := w.must(t, 200, ask{Method: "GET", Who: "ann", Path: path + saturday + "&compare=previous"})
		type m = map[string]any
		want := m{
			"from": "2026-11-20T00:00:00.000Z", "to": "2026-11-21T00:00:00.000Z",
			"total_clicks": 4.0, "unique_visitors": 1.0, "bot_clicks": 0.0, "qr_scans": 4.0,
			"series": []any{m{"start": "2026-11-20T00:00:00Z", "clicks": 4.0, "unique_visitors": 1.0}},
		}
		if diff := cmp.Diff(any(want), got.field(t, "previous")); diff != "" {
			t.Errorf("%s previous (-want +got):\n%s", path, diff)
		}
		want = m{"total_clicks": -0.25, "unique_visitors": 1.0, "bot_clicks": nil, "qr_scans": -0.75}
		if diff := cmp.Diff(any(want), got.field(t, "change")); diff != "" {
			t.Errorf("%s change (-want +got):\n%s", path, diff)
		}
	}
	// Filters and kinds are those of the report.
	got := w.must(t, 200, ask{Method: "GET", Who: "ann", Path: urls + "/" + code + "/stats?" + saturday + "&compare=previous&country=!AT&interval=hour"})
	previous := got.field(t, "previous").(map[string]any)
	if previous["total_clicks"] != 0.0 || len(previous["series"].([]any)) != 24 || got.field(t, "change").(map[string]any)["total_clicks"] != nil {
		t.Errorf("%s", got.Body)
	}
}

func TestReportCSV(t *testing.T) {
	w, code := compared(t)
	get := func(path string) [][]string {
		t.Helper()
		got := w.must(t, 200, ask{Method: "GET", Who: "ann", Path: path})
		r := csv.NewReader(strings.NewReader(got.Body))
		rows, err := r.ReadAll()
		if err != nil || strings.Join(rows[0], ",") != api.ReportColumns {
			t.Fatalf("%s: %v\n%s", path, err, got.Body)
		}
		if strings.Count(got.Body, "\r\n") != len(rows) || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/csv; charset=utf-8") {
			t.Errorf("%s: %v %q", path, got.Header, got.Body)
		}
		return rows[1:]
	}
	for path, file := range map[string]string{urls + "/" + code + "/stats.csv": "report-autumn.csv", "/api/v1/stats.csv": "report.csv"} {
		got := w.must(t, 200, ask{Method: http.MethodHead, Who: "ann", Path: path})
		if d := got.Header.Get("Content-Disposition"); d != `attachment; filename="`+file+`"` {
			t.Errorf("%s: %s", path, d)
		}
	}
	rows := get(urls + "/" + code + "/stats.csv?" + saturday + "&tz=Europe/Berlin&compare=previous&kind=all")
	want := [][]string{
		{"from", "2026-11-21T01:00:00.000+01:00", "", ""},
		{"to", "2026-11-22T01:00:00.000+01:00", "", ""},
		{"time_zone", "Europe/Berlin", "", ""},
		{"interval", "day", "", ""},
		{"kind", "all", "", ""},
		{"summary", "total_clicks", "4", "2"},
		{"summary", "bot_clicks", "1", ""},
		{"summary", "qr_scans", "1", ""},
		{"previous_from", "2026-11-20T01:00:00.000+01:00", "", ""},
		{"previous_to", "2026-11-21T01:00:00.000+01:00", "", ""},
		{"previous", "total_clicks", "4", "1"},
		{"previous", "bot_clicks", "0", ""},
		{"previous", "qr_scans", "4", ""},
		{"series", "2026-11-21", "2", "1"},
		{"series", "2026-11-22", "2", "1"},
		{"previous_series", "2026-11-20", "4", "1"},
		{"previous_series", "2026-11-21", "0", "0"},
		{"day", "2026-11-21", "2", ""},
		{"day", "2026-11-22", "2", ""},
		{"hour", "2026-11-21T11:00:00+01:00", "2", ""},
		{"hour", "2026-11-22T00:00:00+01:00", "2", ""},
		{"referrer", "direct", "2", ""},
		{"referrer", "news.example", "2", ""},
	}
	if diff := cmp.Diff(want, rows[:len(want)]); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	// Whatever has a section can be filtered by it, and each adds up.
	sums := map[string]int{}
	for _, row := range rows {
		if row[0] == "browser" && strings.Contains(row[1], "cmd") && row[1] != "'=cmd()" {
			t.Errorf("a formula is left: %q", row)
		}
		if _, known := sums[row[0]]; !known && strings.HasPrefix(row[0], "utm_") || row[0] == "city" {
			w.must(t, 200, ask{Method: "GET", Who: "ann", Path: "/api/v1/stats?" + row[0] + "=unknown"})
		}
		n := 0
		for _, digit := range row[2] {
			n = 10*n + int(digit-'0')
		}
		sums[row[0]] += n
	}
	for _, d := range click.Dimensions {
		if sums[string(d)] != 4 {
			t.Errorf("section %s has %d clicks, want 4", d, sums[string(d)])
		}
	}
	rows = get("/api/v1/stats.csv?" + saturday + "&interval=hour&browser=Safari")
	if len(rows) != 6+3+24+1+1+len(click.Dimensions) || rows[5][1] != "browser=Safari" || rows[9][1] != "2026-11-21T00:00:00Z" {
		t.Errorf("%d rows: %q", len(rows), rows)
	}
	w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Who: "ann", Path: "/api/v1/stats.csv?planet=earth"}, "planet")
	w.refused(t, "FORBIDDEN", ask{Method: "GET", Who: "bob", Path: urls + "/" + code + "/stats.csv"})
}

func TestClicksOfAllLinks(t *testing.T) {
	w, _ := clicked(t)
	other := w.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"winter","domain":"go.example"}`)
	theirs := w.link(t, "bob", `{"long_url":"https://example.com","custom_alias":"spring"}`)
	at := func(code, domain string) {
		l, err := w.registry.Peek(t.Context(), keyOf(code, domain))
		if err != nil {
			t.Fatal(err)
		}
		w.click(t, click.Event{Link: l.ID, Owner: l.Owner})
	}
	at(other, "go.example")
	at(theirs, "")
	w.click(t, click.Event{Link: 12345, Owner: w.users["ann"].ID}) // its link is nowhere
	for _, c := range []struct{ who, query, want string }{
		{"ann", "", "autumn winter.go.example  autumn autumn autumn"},
		{"bob", "", "spring"},
		{"pam", "", ""},
		{"root", "?country=DE", "autumn autumn"},
		{"root", "?owner=" + w.users["bob"].ID.String(), "spring"},
	} {
		var page struct {
			Items []struct {
				Code   string `json:"short_code"`
				Domain string
			}
		}
		w.must(t, 200, ask{Method: "GET", Who: c.who, Path: "/api/v1/clicks" + c.query}).decode(t, &page)
		var codes, cells []string
		for _, i := range page.Items {
			codes = append(codes, i.Code)
		}
		got := w.must(t, 200, ask{Method: "GET", Who: c.who, Path: "/api/v1/clicks.csv" + c.query})
		rows, err := csv.NewReader(strings.NewReader(got.Body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			cells = append(cells, row[2])
			if row[2] == "winter" && row[3] != "go.example" {
				t.Errorf("domain %q", row[3])
			}
		}
		if strings.Join(cells, " ") != strings.Join(codes, " ") || got.Header.Get("Content-Disposition") != `attachment; filename="clicks.csv"` {
			t.Errorf("%s: rows of %q, list of %q, %v", c.who, cells, codes, got.Header)
		}
		want := strings.Fields(strings.ReplaceAll(c.want, ".go.example", ""))
		if diff := cmp.Diff(len(want), len(strings.Fields(strings.Join(codes, " ")))); diff != "" {
			t.Errorf("%s: %q, want %q", c.who, codes, want)
		}
	}
	w.refused(t, "FORBIDDEN", ask{Method: "GET", Who: "ann", Path: "/api/v1/clicks.csv?owner=" + w.users["bob"].ID.String()})
	w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Who: "ann", Path: "/api/v1/clicks?domain=x"}, "domain")
}

// TestUnknownParametersAreToldWhatThereIs names the dimensions.
func TestUnknownParametersAreToldWhatThereIs(t *testing.T) {
	w := newWorld(t)
	reason := w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Who: "ann", Path: "/api/v1/stats?planet=earth"}, "planet").fault(t).Details[0].Reason
	for _, d := range click.Dimensions {
		if !strings.Contains(reason, string(d)) {
			t.Errorf("%q does not name %s", reason, d)
		}
	}
}
