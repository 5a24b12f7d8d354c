package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"kurz/internal/api"
	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// brokenStore fails at every read.
type brokenStore struct {
	link.Store
	code fault.Code
}

func (s brokenStore) Get(context.Context, link.Key) (link.Link, error) {
	cause := errors.New("secret cause")
	if s.code == fault.Internal {
		return link.Link{}, cause
	}
	return link.Link{}, fault.Wrap(s.code, cause, "The store is away")
}

// FuzzBody sends any body to a create: the answer fits the document, a body
// that is taken fits its schema, and one that is no JSON object is never taken.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `{"long_url":"https://example.com"}`, `{"long_url":"https://example.com","tags":["a"],"starts_at":"2027-01-01T00:00:00.5+01:00"}`,
		`{"long_url":"https://example.com","redirect_status":3.01e2,"code_length":8,"title":null}`, `[1]`, `{"a":{"b":[{}]}}`, `{"a":1,"a":2}`,
		"{\"\xff\":1}", `{"\ud800":1}`, `{"long_url":"https://example.com"} x`, `{"custom_alias":"\u0061bc","long_url":"https://example.com"}`,
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	w := newWorld(f, func(a *api.Settings, _ *link.Settings) { a.Rates, a.Limits = api.Rates{}, nil })
	w.link(f, "ann", `{"long_url":"https://example.com","custom_alias":"mine"}`)
	f.Fuzz(func(t *testing.T, body string, patch bool) {
		a := ask{Method: "POST", Path: urls, Who: "ann", Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
		if patch {
			a.Method, a.Path = "PATCH", urls+"/mine"
		}
		got := w.do(t, a)
		if got.Status >= 500 {
			t.Errorf("%q: status %d: %s", body, got.Status, got.Body)
		}
		var o map[string]any
		if got.Status < 300 && json.Unmarshal([]byte(body), &o) != nil {
			t.Errorf("%q was taken", body)
		}
	})
}

// FuzzQuery sends any query to the listing and to the report.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"", "limit=5&cursor=&q=a&tag=b&status=active&sort=-short_code", "cursor=YwAAAAAAAAAB", "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z",
		"tz=Europe/Berlin&interval=week&kind=all&top=3", `country=!DE,FR&city=a\,b&referrer=direct`, "%", "a=%zz", "a;b", "q=%ff", "limit=1&limit=2",
	} {
		f.Add(s)
	}
	w := newWorld(f)
	over, end := context.WithCancel(f.Context())
	end()
	w.link(f, "ann", `{"long_url":"https://example.com","custom_alias":"mine"}`)
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{urls, urls + "/mine/stats", urls + "/mine/clicks", urls + "/mine/clicks.csv", urls + "/mine/stats.csv", "/api/v1/clicks", "/api/v1/clicks.csv", "/api/v1/live", "/api/v1/keys", "/api/v1/stats"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			r.URL.RawQuery = query
			if strings.HasSuffix(path, "/live") {
				r = r.WithContext(over) // else it would go on
			}
			r.Header.Set("Authorization", "Bearer "+w.keys["ann"])
			rec := httptest.NewRecorder()
			w.front.ServeHTTP(rec, r)
			if rec.Code >= 500 {
				t.Errorf("%s?%q: status %d: %s", path, query, rec.Code, rec.Body)
			}
			if err := w.contract.check(r, "", rec.Code, rec.Header(), rec.Body.String()); err != nil {
				t.Errorf("%s?%q: %v", path, query, err)
			}
		}
	})
}

// FuzzClickCursor: what is read is written back the same.
func FuzzClickCursor(f *testing.F) {
	for _, s := range []string{"", api.ClickCursor(1), api.ClickCursor(1 << 62), "x", "awAAAAAAAAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := api.ParseClickCursor(s)
		if err != nil {
			if !fault.Is(err, fault.ValidationFailed) || id != 0 {
				t.Errorf("%q: %v, %v", s, id, err)
			}
			return
		}
		if id < 0 || api.ClickCursor(id) != s {
			t.Errorf("%q is %d, which is %q", s, id, api.ClickCursor(id))
		}
	})
}

// FuzzCondition: a field never matches another version than one that it names.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{`"1"`, `*`, `W/"1"`, `"a,b", "1"`, `"1" "2"`, `,`, `"`, ``} {
		f.Add(s, int64(1))
	}
	f.Fuzz(func(t *testing.T, field string, version int64) {
		matches, err := api.ParseCondition(field, version)
		if err != nil && !fault.Is(err, fault.ValidationFailed) {
			t.Errorf("%q: %v", field, err)
		}
		tag := `"` + strconv.FormatInt(version, 10) + `"`
		if matches && err == nil && strings.Trim(field, " \t") != "*" && !strings.Contains(field, tag) {
			t.Errorf("%q matches %d", field, version)
		}
	})
}

// FuzzRow: no cell begins like a formula, nor with what spreadsheets skip.
func FuzzRow(f *testing.F) {
	f.Add("=1")
	f.Add("\r\n-1")
	f.Add("  ＝1")
	f.Add(" \tx")
	f.Fuzz(func(t *testing.T, s string) {
		for _, cell := range api.ClickRow(click.Event{Details: click.Details{Browser: s, Referrer: s}}) {
			if strings.IndexAny(cell, "\t\r\n") == 0 || strings.IndexAny(strings.TrimSpace(cell), "=+-@＝＋－＠") == 0 {
				t.Errorf("%q", cell)
			}
		}
	})
}

// FuzzPath sends any path below /api: the answer is JSON, and never a redirect.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"", "v1/urls", "v1//urls", "v1/urls/%2e%2e/x", "v1/urls/..", "v1/urls/abc/stats", "docs", "%zz"} {
		f.Add(s)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI("/api/" + path)
		if err != nil {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.URL, r.RequestURI = u, u.RequestURI()
		rec := httptest.NewRecorder()
		w.front.ServeHTTP(rec, r)
		if rec.Code >= 300 && rec.Code < 400 || rec.Code >= 500 {
			t.Errorf("%q: status %d", u, rec.Code)
		}
	})
}
