package api_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/api"
	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// clicked is a world with one link of ann's, and clicks of it.
func clicked(t *testing.T) (w *world, code string) {
	t.Helper()
	w = newWorld(t)
	code = w.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	id, owner := w.linkID(t, code)
	at := func(hour, minute int) time.Time { return time.Date(2026, 11, 21, hour, minute, 0, 113e6, time.UTC) }
	e := func(t time.Time, kind click.Kind, by click.Trigger, visitor uint64, d click.Details) click.Event {
		return click.Event{Link: id, Owner: owner, Time: t, Kind: kind, Trigger: by, Visitor: visitor, Details: d}
	}
	phone := click.Details{
		Country: "DE", City: "Köln, Mitte", ReferrerHost: "news.example", Referrer: "https://news.example/a",
		Browser: "Firefox", OS: "Android", Device: "mobile", Language: "de", UTMCampaign: "mail",
	}
	w.click(t,
		e(at(10, 5), click.Human, click.ByQR, 0xfffffffffffffff1, phone),
		e(at(10, 40), click.Human, click.ByLink, 0xfffffffffffffff1, phone),
		e(at(23, 30), click.Human, click.ByLink, 2, click.Details{Country: "FR", Browser: "Safari"}),
		e(at(23, 31), click.Bot, click.ByLink, 0, click.Details{Browser: "=cmd()", UTMSource: "@x"}),
	)
	return w, code
}

func TestReport(t *testing.T) {
	w, code := clicked(t)
	got := w.must(t, 200, ask{
		Method: "GET", Who: "ann",
		Path: urls + "/" + code + "/stats?from=2026-11-21T00:00:00Z&to=2026-11-23T00:00:00%2B00:00&tz=Europe/Berlin",
	})
	var report map[string]any
	got.decode(t, &report)
	type m = map[string]any
	n := func(value string, clicks float64) any { return m{"value": value, "clicks": clicks} }
	want := m{
		"short_code": "autumn", "from": "2026-11-21T00:00:00.000Z", "to": "2026-11-23T00:00:00.000Z", "time_zone": "Europe/Berlin", "interval": "day",
		"total_clicks": 3.0, "prior_clicks": 0.0, "unique_visitors": 2.0, "unique_visitors_period": "week", "bot_clicks": 1.0, "qr_scans": 1.0,
		"last_clicked_at": "2026-11-21T23:30:00.113Z", "counted_since": nil, "previous": nil, "change": nil,
		"series": []any{
			m{"start": "2026-11-20T23:00:00Z", "clicks": 2.0, "unique_visitors": 1.0},
			m{"start": "2026-11-21T23:00:00Z", "clicks": 1.0, "unique_visitors": 1.0},
			m{"start": "2026-11-22T23:00:00Z", "clicks": 0.0, "unique_visitors": 0.0},
		},
		"clicks_by_day":     []any{m{"date": "2026-11-21", "clicks": 2.0}, m{"date": "2026-11-22", "clicks": 1.0}},
		"clicks_by_hour":    []any{m{"hour": "2026-11-21T10:00:00Z", "clicks": 2.0}, m{"hour": "2026-11-21T23:00:00Z", "clicks": 1.0}},
		"top_referrers":     []any{n("news.example", 2), n("direct", 1)},
		"top_countries":     []any{n("DE", 2), n("FR", 1)},
		"top_regions":       []any{n("unknown", 3)},
		"top_cities":        []any{n("Köln, Mitte", 2), n("unknown", 1)},
		"devices":           []any{n("mobile", 2), n("unknown", 1)},
		"browsers":          []any{n("Firefox", 2), n("Safari", 1)},
		"operating_systems": []any{n("Android", 2), n("unknown", 1)},
		"languages":         []any{n("de", 2), n("unknown", 1)},
		"utm_sources":       []any{n("unknown", 3)},
		"utm_mediums":       []any{n("unknown", 3)},
		"utm_campaigns":     []any{n("mail", 2), n("unknown", 1)},
		"triggers":          []any{n("link", 2), n("qr", 1)},
	}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestReportParameters(t *testing.T) {
	w, code := clicked(t)
	for _, c := range []struct {
		query string
		want  float64
	}{
		{"", 3},
		{"kind=human", 3},
		{"kind=bot", 1},
		{"kind=all", 4},
		{"from=2026-11-21T10:30:00Z", 2},
		{"to=2026-11-21T10:30:00Z", 1},
		{"from=2026-11-21T12:30:00%2B02:00&to=2026-11-21T23:30:00.113Z", 1},
		{"country=DE", 2},
		{"country=DE,FR", 3},
		{"country=DE&country=FR", 3},
		{"country=!DE", 1},
		{"country=!DE,FR", 0},
		{"country=!DE&country=!FR", 0},
		{"country=de,at", 2},
		{"country=DE,FR&country=!FR", 2},
		{"referrer=News.Example", 2},
		{"utm_source=!unknown&kind=all", 1},
		{"referrer=direct", 1},
		{"referrer=!direct", 2},
		{"city=unknown", 1},
		{"trigger=qr", 1},
		{"trigger=link", 2},
		{"city=" + url.QueryEscape(`Köln\, Mitte`), 2},
		{"city=" + url.QueryEscape(`Köln, Mitte`), 0},
		{"browser=Firefox&os=Android&device=mobile&language=de&utm_campaign=mail", 2},
		{"utm_source=unknown&utm_medium=unknown&region=unknown", 3},
		{"browser=firefox&os=ANDROID", 2},
		{"browser=!FIREFOX", 1},
		{"interval=hour&top=1", 3},
		{"interval=week", 3},
		{"interval=month&tz=America/New_York", 3},
		{"from=2017-01-01T00:00:00Z", 3},
	} {
		got := w.must(t, 200, ask{Method: "GET", Who: "ann", Path: urls + "/" + code + "/stats?" + c.query})
		if n := got.field(t, "total_clicks"); n != c.want {
			t.Errorf("?%s: %v clicks, want %v", c.query, n, c.want)
		}
	}
	many := "country=" + strings.Repeat("DE,", 100) + "FR"
	for _, c := range []struct{ query, fields string }{
		{"from=2026-11-21", "from"},
		{"from=yesterday&to=1", "from to"},
		{"from=2026-11-22T00:00:00Z&to=2026-11-22T00:00:00Z", "to"},
		{"from=2027-01-01T00:00:00Z", "from"},
		{"from=2010-01-01T00:00:00Z", "to"},
		{"interval=year", "interval"},
		{"interval=", "interval"},
		{"interval=hour&from=2025-01-01T00:00:00Z", "interval"},
		{"tz=Mars/Olympus", "tz"},
		{"tz=", "tz"},
		{"tz=Local", "tz"},
		{"tz=../../etc/passwd", "tz"},
		{"tz=" + strings.Repeat("x", 100), "tz"},
		{"kind=people", "kind"},
		{"top=0", "top"},
		{"top=1001", "top"},
		{"country=", "country"},
		{"country=!", "country"},
		{"country=DE,", "country"},
		{"country=Germany", "country"},
		{"trigger=nfc", "trigger"},
		{"device=phone&language=de-AT&referrer=https://news.example/", "referrer device language"},
		{"city=(other)", "city"},
		{"compare=", "compare"},
		{"compare=yesterday", "compare"},
		{many, "country"},
		{"kind=x&tz=y&top=z&country=&compare=x", "tz kind country top compare"},
		{"limit=1", "limit"},
		{"planet=earth", "planet"},
	} {
		w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Who: "ann", Path: urls + "/" + code + "/stats?" + c.query}, strings.Fields(c.fields)...)
	}
}

// TestPlusOfAZone: a plus in a query is a space, which many find out here.
func TestPlusOfAZone(t *testing.T) {
	w, code := clicked(t)
	for from, hinted := range map[string]bool{"2026-11-21T00:00:00+01:00": true, "2026-11-21": false} {
		got := w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Who: "ann", Path: urls + "/" + code + "/stats?from=" + from}, "from")
		if strings.Contains(got.fault(t).Details[0].Reason, "%2B") != hinted {
			t.Errorf("%s: %s", from, got.Body)
		}
	}
}

func TestReportOnAll(t *testing.T) {
	w, _ := clicked(t)
	second := w.link(t, "bob", `{"long_url":"https://example.com"}`)
	id, owner := w.linkID(t, second)
	w.click(t, click.Event{Link: id, Owner: owner})
	for _, c := range []struct {
		who, query string
		want       float64
	}{
		{"ann", "", 3},
		{"bob", "", 1},
		{"pam", "", 0},
		{"root", "", 4},
		{"root", "?owner=" + w.users["bob"].ID.String(), 1},
		{"bob", "?owner=" + w.users["bob"].ID.String(), 1},
	} {
		got := w.must(t, 200, ask{Method: "GET", Path: "/api/v1/stats" + c.query, Who: c.who})
		if got.field(t, "total_clicks") != c.want || got.field(t, "short_code") != nil {
			t.Errorf("%s %s: %s, want %v", c.who, c.query, got.Body, c.want)
		}
	}
	w.refused(t, "FORBIDDEN", ask{Method: "GET", Path: "/api/v1/stats?owner=" + w.users["bob"].ID.String(), Who: "ann"})
	w.refused(t, "UNAUTHORIZED", ask{Method: "GET", Path: "/api/v1/stats"})
	w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Path: "/api/v1/stats?domain=go.example", Who: "ann"}, "domain")
}

func TestClicks(t *testing.T) {
	w, code := clicked(t)
	path := urls + "/" + code + "/clicks"
	var all []map[string]any
	for cursor := ""; ; {
		var page struct {
			Items []map[string]any
			Next  *string `json:"next_cursor"`
		}
		w.must(t, 200, ask{Method: "GET", Path: path + "?limit=3&cursor=" + cursor, Who: "ann"}).decode(t, &page)
		if all = append(all, page.Items...); page.Next == nil {
			break
		}
		cursor = *page.Next
	}
	var seen []string
	for _, c := range all {
		seen = append(seen, fmt.Sprint(c["clicked_at"], " ", c["kind"], " ", c["trigger"], " ", c["visitor"], " ", c["country"], " ", c["referrer"]))
	}
	want := []string{
		"2026-11-21T23:31:00.113Z bot link <nil> <nil> <nil>",
		"2026-11-21T23:30:00.113Z human link 0000000000000002 FR <nil>",
		"2026-11-21T10:40:00.113Z human link fffffffffffffff1 DE news.example",
		"2026-11-21T10:05:00.113Z human qr fffffffffffffff1 DE news.example",
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("clicks (-want +got):\n%s", diff)
	}
	if n := strings.Count(w.must(t, 200, ask{Method: "GET", Path: path + "?kind=human&country=!DE", Who: "ann"}).Body, `"id"`); n != 1 {
		t.Errorf("%d clicks of people outside of Germany, want 1", n)
	}
	for _, c := range []struct{ query, fields string }{
		{"cursor=x", "cursor"}, {"limit=0&cursor=x&tz=y", "limit cursor tz"}, {"interval=day", "interval"}, {"top=1", "top"},
	} {
		w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Path: path + "?" + c.query, Who: "ann"}, strings.Fields(c.fields)...)
	}
	w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Path: path + ".csv?limit=1", Who: "ann"}, "limit")
}

func TestExport(t *testing.T) {
	w, code := clicked(t)
	id, owner := w.linkID(t, code)
	more := make([]click.Event, 1200)
	for i := range more {
		more[i] = click.Event{Link: id, Owner: owner, Time: start.Add(-time.Duration(i) * time.Minute)}
	}
	w.click(t, more...)
	path := urls + "/" + code + "/clicks.csv"
	got := w.must(t, 200, ask{Method: "GET", Path: path, Who: "ann"})
	rows, err := csv.NewReader(strings.NewReader(got.Body)).ReadAll()
	if err != nil || len(rows) != 1+4+1200 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if strings.Join(rows[0], ",") != api.ClickColumns() || strings.Count(got.Body, "\r\n") != len(rows) || got.Header.Get("Content-Disposition") != `attachment; filename="clicks-autumn.csv"` {
		t.Errorf("header row %q, header %v", rows[0], got.Header)
	}
	bot := w.must(t, 200, ask{Method: "GET", Path: path + "?kind=bot", Who: "ann"})
	if !strings.Contains(bot.Body, ",'=cmd(),") || !strings.Contains(bot.Body, ",'@x,") {
		t.Errorf("formulas are left: %s", bot.Body)
	}
	w.must(t, 200, ask{Method: "HEAD", Path: path, Who: "ann"})
}

// breakingReports fail at the second page of events.
type breakingReports struct{ click.Reports }

func (r breakingReports) Events(ctx context.Context, q click.Query, before click.ID, limit int) ([]click.Event, click.ID, error) {
	if before != 0 {
		return nil, 0, fault.New(fault.Unavailable, "away")
	}
	return r.Reports.Events(ctx, q, before, limit)
}

// TestExportBreaksOff: who gets a part of the clicks sees that it is one.
func TestExportBreaksOff(t *testing.T) {
	w := newWorld(t, func(a *api.Settings, _ *link.Settings) { a.Reports = breakingReports{a.Reports} })
	code := w.link(t, "ann", `{"long_url":"https://example.com"}`)
	id, owner := w.linkID(t, code)
	more := make([]click.Event, 600)
	for i := range more {
		more[i] = click.Event{Link: id, Owner: owner}
	}
	w.click(t, more...)
	server := httptest.NewServer(w.front)
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+urls+"/"+code+"/clicks.csv", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", w.keys["ann"])
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); res.StatusCode != 200 || err == nil {
		t.Errorf("status %d, %v: the part passes for the whole", res.StatusCode, err)
	}
}

// TestColumns compares the columns of the CSV form with the fields of a click.
func TestColumns(t *testing.T) {
	if got := strings.Join(api.Fields()["Click"], ","); got != api.ClickColumns() {
		t.Errorf("fields %s\ncolumns %s", got, api.ClickColumns())
	}
	if row := api.ClickRow(click.Event{}); len(row) != len(strings.Split(api.ClickColumns(), ",")) {
		t.Errorf("%d cells in a row", len(row))
	}
}

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"\n=a": "'\n=a", " =1": "' =1", "\u00a0@a": "'\u00a0@a", "\ufeff=1": "'\ufeff=1", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠a": "'＠a",
		" a": " a", "ü=1": "ü=1", " ": " ", "\xff=": "\xff=",
		"": "", "a": "a", "a=1": "a=1", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "\ta": "'\ta", "\ra": "'\ra",
	} {
		if got := api.Harmless(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	w := newWorld(t)
	w.live.Close() // streams end before they begin
	w.link(t, "root", `{"long_url":"https://example.com","custom_alias":"abc"}`)
	allowed := map[string]map[string]bool{}
	for _, o := range api.Operations() {
		path := strings.NewReplacer("{code}", "abc", "{id}", "key_x").Replace(o.Path)
		if allowed[path] == nil {
			allowed[path] = map[string]bool{"OPTIONS": true}
		}
		allowed[path][o.Method] = true
		if o.Method == "GET" {
			allowed[path]["HEAD"] = true
		}
	}
	for path, methods := range allowed {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			got := w.do(t, ask{Method: method, Path: path, Who: "root"})
			switch {
			case !methods[method]:
				if got.Status != 405 {
					t.Errorf("%s %s: status %d, want 405", method, path, got.Status)
				}
				for _, m := range strings.Split(got.Header.Get("Allow"), ", ") {
					if !methods[m] {
						t.Errorf("%s %s: Allow has %q", method, path, m)
					}
				}
			case method == "OPTIONS":
				h := got.Header
				if got.Status != 204 || h.Get("Access-Control-Allow-Methods") != h.Get("Allow") || h.Get("Access-Control-Max-Age") == "" ||
					!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Idempotency-Key") {
					t.Errorf("%s %s: %d %v", method, path, got.Status, h)
				}
			case got.Status == 405:
				t.Errorf("%s %s: 405", method, path)
			}
		}
	}
	for _, path := range []string{
		"/api", "/api/", "/api/v1", "/api/v2/urls", "/api/v1/urls/", "/api/v1/urls/abc/", "/api/v1/urls/abc/picture",
		"/api/v1/bulk/", "/api/v1/bulk/job_1/results", "/api/v1/live/", "/api/v1/urls/abc/live.csv", "/api/v1/URLS", "/api/v1/urls%2Fabc", "/api/v1/urls/a%2Fb/stats/x", "/api/openapi.yaml", "/api/v1/keys/",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			w.refused(t, "NOT_FOUND", ask{Method: method, Path: path})
		}
	}
	w.must(t, 200, ask{Method: "GET", Path: "/api/v1/urls/%61bc", Who: "root"})
	w.refused(t, "URL_NOT_FOUND", ask{Method: "GET", Path: "/api/v1/urls/a%2Fb", Who: "root"})
}

func TestErrorsAreJSONForBrowsersToo(t *testing.T) {
	w := newWorld(t)
	w.refused(t, "NOT_FOUND", ask{Method: "GET", Path: "/api/nothing", Header: http.Header{"Accept": {"text/html"}}})
}

func TestDocuments(t *testing.T) {
	w := newWorld(t)
	for path, kind := range map[string]string{"/api/openapi.json": "application/json", "/api/docs": "text/html; charset=utf-8"} {
		got := w.must(t, 200, ask{Method: "GET", Path: path + "?v=2"})
		if got.Header.Get("Content-Type") != kind || got.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %v", path, got.Header)
		}
		w.must(t, 304, ask{Method: "GET", Path: path, Header: http.Header{"If-None-Match": {got.Header.Get("ETag")}}})
		w.must(t, 200, ask{Method: "HEAD", Path: path})
	}
	page := w.must(t, 200, ask{Method: "GET", Path: "/api/docs"}).Body
	for _, o := range w.contract.doc["paths"].(object) {
		for method, op := range o.(object) {
			if method == "parameters" {
				continue
			}
			id := op.(object)["operationId"].(string)
			if !strings.Contains(page, `<article id="`+id+`"`) || !strings.Contains(page, `href="#`+id+`"`) {
				t.Errorf("the page has no %s", id)
			}
		}
	}
	for _, never := range []string{"<script", "http://", "src=", "ZgotmplZ", " style="} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
}

func TestFaultsOfTheStore(t *testing.T) {
	for code, status := range map[fault.Code]int{fault.Unavailable: 503, fault.Internal: 500} {
		w := newWorld(t, func(_ *api.Settings, l *link.Settings) { l.Store = brokenStore{l.Store, code} })
		got := w.refused(t, string(code), ask{Method: "GET", Path: urls + "/abc", Who: "ann"})
		if got.Status != status || strings.Contains(got.Body, "secret") {
			t.Errorf("%s: %d %s", code, got.Status, got.Body)
		}
	}
}

// endlessReports have a number of clicks and keep none, and note how much memory
// is in use while they are read.
type endlessReports struct {
	click.Reports
	left int
	most uint64
}

func (r *endlessReports) Events(_ context.Context, _ click.Query, _ click.ID, limit int) ([]click.Event, click.ID, error) {
	page := make([]click.Event, limit)
	for i := range page {
		r.left--
		page[i] = click.Event{ID: click.ID(r.left), Time: start, Details: click.Details{Browser: "Firefox", Referrer: strings.Repeat("r", 500)}}
	}
	if r.left%50_000 == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		r.most = max(r.most, m.HeapAlloc)
	}
	return page, click.ID(r.left), nil
}

// nowhere is an answer that is only counted.
type nowhere struct {
	header http.Header
	bytes  int
}

func (w *nowhere) Header() http.Header { return w.header }
func (w *nowhere) WriteHeader(int)     {}
func (w *nowhere) Write(b []byte) (int, error) {
	w.bytes += len(b)
	return len(b), nil
}

// TestExportIsStreamed: however many clicks there are, a page of them is in
// memory.
func TestExportIsStreamed(t *testing.T) {
	reports := &endlessReports{left: 200_000}
	w := newWorld(t, func(a *api.Settings, _ *link.Settings) { a.Reports = reports })
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/clicks.csv", http.NoBody)
	r.Header.Set("X-Api-Key", w.keys["ann"])
	out := &nowhere{header: http.Header{}}
	w.front.ServeHTTP(out, r)
	if reports.left != 0 || out.bytes < 200_000*500 {
		t.Fatalf("%d clicks left, %d bytes", reports.left, out.bytes)
	}
	if more := int64(reports.most) - int64(before.HeapAlloc); more > 8<<20 {
		t.Errorf("%d bytes more in memory for an export of %d", more, out.bytes)
	}
}
