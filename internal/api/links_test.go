package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/api"
	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
)

const urls = "/api/v1/urls"

func TestCreate(t *testing.T) {
	w := newWorld(t)
	got := w.must(t, 201, ask{Method: "POST", Path: urls, Who: "ann", Body: `{
		"long_url": "HTTPS://Example.com/a b?x#y", "custom_alias": "autumn", "domain": "GO.example",
		"content_id": "c-1", "title": "Autumn", "notes": "n", "tags": ["b", "a", "b"],
		"redirect_status": 307, "edge_ttl": 60, "forward_query": true,
		"starts_at": "2026-12-01T12:00:00.1239+02:00", "expires_at": "2027-01-01T00:00:00Z", "expired_url": "https://example.com/over"}`})
	var link map[string]any
	got.decode(t, &link)
	want := map[string]any{
		"short_code": "autumn", "short_url": "https://go.example/autumn", "long_url": "https://example.com/a%20b?x#y",
		"domain": "go.example", "custom_alias": "autumn", "status": "scheduled", "clicks": 0.0, "archived_at": nil, "prior_clicks": 0.0,
		"owner": w.users["ann"].ID.String(), "content_id": "c-1", "title": "Autumn", "notes": "n", "tags": []any{"a", "b"},
		"redirect_status": 307.0, "edge_ttl": 60.0, "forward_query": true,
		"starts_at": "2026-12-01T10:00:00.123Z", "expires_at": "2027-01-01T00:00:00.000Z", "expired_url": "https://example.com/over",
		"revoked_at": nil, "created_at": "2026-11-22T10:00:00.000Z", "updated_at": "2026-11-22T10:00:00.000Z",
	}
	if diff := cmp.Diff(want, link); diff != "" {
		t.Errorf("link (-want +got):\n%s", diff)
	}
	if got.Header.Get("ETag") != `"1"` || got.Header.Get("Location") != urls+"/autumn?domain=go.example" {
		t.Errorf("header %v", got.Header)
	}
	w.must(t, 200, ask{Method: "GET", Path: got.Header.Get("Location"), Who: "ann"})
	w.refused(t, "URL_NOT_FOUND", ask{Method: "GET", Path: urls + "/autumn", Who: "ann"})

	least := w.must(t, 201, ask{Method: "POST", Path: urls, Body: `{"long_url":"https://example.com"}`})
	least.decode(t, &link)
	for name, value := range map[string]any{
		"owner": nil, "custom_alias": nil, "title": nil, "notes": nil, "content_id": nil, "starts_at": nil, "expires_at": nil,
		"expired_url": nil, "tags": []any{}, "status": "active", "redirect_status": 302.0, "edge_ttl": 0.0, "forward_query": false,
	} {
		if diff := cmp.Diff(value, link[name]); diff != "" {
			t.Errorf("%s of the least link: %s", name, diff)
		}
	}
}

func TestCreateRefused(t *testing.T) {
	w := newWorld(t)
	w.link(t, "bob", `{"long_url":"https://example.com","custom_alias":"taken"}`)
	for _, c := range []struct {
		name, body, code, fields string
	}{
		{"no body", ``, "MALFORMED_JSON", ""},
		{"blank", " \n", "MALFORMED_JSON", ""},
		{"no JSON", `{long_url}`, "MALFORMED_JSON", ""},
		{"cut short", `{"long_url":"https://e`, "MALFORMED_JSON", ""},
		{"two values", `{"long_url":"https://example.com"}{}`, "MALFORMED_JSON", ""},
		{"text behind", `{"long_url":"https://example.com"}x`, "MALFORMED_JSON", ""},
		{"a comma too many", `{"long_url":"https://example.com",}`, "MALFORMED_JSON", ""},
		{"invalid UTF-8", "{\"long_url\":\"https://example.com/\xff\"}", "MALFORMED_JSON", ""},
		{"half a surrogate", `{"long_url":"https://example.com/\ud800"}`, "MALFORMED_JSON", ""},
		{"too deep", `{"long_url":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "MALFORMED_JSON", ""},
		{"a list", `[]`, "VALIDATION_FAILED", "body"},
		{"null", `null`, "VALIDATION_FAILED", "body"},
		{"a string", `"https://example.com"`, "VALIDATION_FAILED", "body"},
		{"nothing", `{}`, "VALIDATION_FAILED", "long_url"},
		{"no destination", `{"long_url":null}`, "VALIDATION_FAILED", "long_url"},
		{"twice", `{"long_url":"https://example.com","title":"a","title":"a"}`, "VALIDATION_FAILED", "title"},
		{"unknown", `{"long_url":"https://example.com","colour":"red"}`, "VALIDATION_FAILED", "colour"},
		{"another case", `{"long_url":"https://example.com","Title":"x"}`, "VALIDATION_FAILED", "Title"},
		{"set by the server", `{"long_url":"https://example.com","short_code":"a","clicks":1,"status":"active","owner":null}`, "VALIDATION_FAILED", "short_code clicks status owner"},
		{"revoked from the start", `{"long_url":"https://example.com","revoked_at":null}`, "VALIDATION_FAILED", "revoked_at"},
		{
			"wrong types, all of them", `{"long_url":1,"custom_alias":true,"find_existing":"yes","code_length":"7","tags":"a","redirect_status":302.5,"edge_ttl":"1","forward_query":0,"starts_at":1,"title":[],"notes":{}}`,
			"VALIDATION_FAILED", "long_url custom_alias find_existing code_length tags redirect_status edge_ttl forward_query starts_at title notes",
		},
		{"a tag that is no string", `{"long_url":"https://example.com","tags":["a",null]}`, "VALIDATION_FAILED", "tags"},
		{
			"wrong values, all of them", `{"long_url":"https://example.com","custom_alias":"a b","redirect_status":303,"edge_ttl":-1,"code_length":3,"title":"` + strings.Repeat("x", 513) + `"}`,
			"VALIDATION_FAILED", "custom_alias code_length redirect_status edge_ttl title",
		},
		{
			"empty and zero are not left out", `{"long_url":"https://example.com","custom_alias":"","content_id":"","redirect_status":0,"code_length":0}`,
			"VALIDATION_FAILED", "custom_alias content_id redirect_status code_length",
		},
		{"a time without zone", `{"long_url":"https://example.com","expires_at":"2027-01-01T00:00:00"}`, "VALIDATION_FAILED", "expires_at"},
		{"a date", `{"long_url":"https://example.com","expires_at":"2027-01-01"}`, "VALIDATION_FAILED", "expires_at"},
		{"a comma in the time", `{"long_url":"https://example.com","expires_at":"2027-01-01T00:00:00,5Z"}`, "VALIDATION_FAILED", "expires_at"},
		{"one digit of hour", `{"long_url":"https://example.com","expires_at":"2027-01-01T1:00:00Z"}`, "VALIDATION_FAILED", "expires_at"},
		{"the year 1", `{"long_url":"https://example.com","starts_at":"0001-01-01T00:00:00Z"}`, "VALIDATION_FAILED", "starts_at"},
		{"the year 10000", `{"long_url":"https://example.com","starts_at":"9999-12-31T23:59:59-01:00"}`, "VALIDATION_FAILED", "starts_at"},
		{"in the past", `{"long_url":"https://example.com","expires_at":"2026-11-22T10:00:00Z"}`, "VALIDATION_FAILED", "expires_at"},
		{"a domain of others", `{"long_url":"https://example.com","domain":"example.org"}`, "VALIDATION_FAILED", "domain"},
		{"huge numbers", `{"long_url":"https://example.com","edge_ttl":9007199254740991,"code_length":-9e15}`, "VALIDATION_FAILED", "code_length edge_ttl"},
		{"numbers beyond", `{"long_url":"https://example.com","edge_ttl":1e400,"code_length":1e17}`, "VALIDATION_FAILED", "edge_ttl code_length"},
		{"no address", `{"long_url":"nonsense"}`, "INVALID_URL", "long_url"},
		{"an empty address", `{"long_url":""}`, "INVALID_URL", "long_url"},
		{"its own domain", `{"long_url":"https://go.example/x"}`, "INVALID_URL", "long_url"},
		{"blocked", `{"long_url":"https://www.evil.example/x"}`, "URL_BLOCKED", "long_url"},
		{"taken", `{"long_url":"https://example.com","custom_alias":"taken"}`, "ALIAS_TAKEN", ""},
		{"reserved", `{"long_url":"https://example.com","custom_alias":"Admin"}`, "VALIDATION_FAILED", "custom_alias"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := ask{Method: "POST", Path: urls, Who: "pam", Body: c.body, Header: http.Header{"Content-Type": {"application/json"}}}
			got := w.do(t, a)
			f := got.fault(t)
			var fields []string
			for _, d := range f.Details {
				if fields = append(fields, d.Field); d.Reason == "" {
					t.Errorf("no reason for %s", d.Field)
				}
			}
			if c.code == "URL_BLOCKED" || c.code == "ALIAS_TAKEN" {
				fields = nil // the code says it
				c.fields = ""
			}
			if f.Code != c.code || strings.Join(fields, " ") != c.fields || f.Message == "" {
				t.Errorf("%s about %q, want %s about %q", f.Code, fields, c.code, c.fields)
			}
		})
	}
}

func TestNumbersAsJSONSchemaCountsThem(t *testing.T) {
	w := newWorld(t)
	got := w.must(t, 201, ask{Method: "POST", Path: urls, Who: "ann", Body: `{"long_url":"https://example.com","redirect_status":3.01e2,"edge_ttl":60.0}`})
	if got.field(t, "redirect_status") != 301.0 || got.field(t, "edge_ttl") != 60.0 {
		t.Error(got.Body)
	}
}

func TestContentType(t *testing.T) {
	w := newWorld(t)
	w.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"mine"}`)
	const merge = "application/merge-patch+json"
	for _, c := range []struct {
		name, method string
		header       http.Header
		status       int
	}{
		{"plain", "POST", http.Header{"Content-Type": {"application/json"}}, 201},
		{"with a charset", "POST", http.Header{"Content-Type": {`Application/JSON; charset="UTF-8"`}}, 201},
		{"another charset", "POST", http.Header{"Content-Type": {"application/json; charset=latin1"}}, 415},
		{"none", "POST", http.Header{"Content-Type": nil}, 415},
		{"two", "POST", http.Header{"Content-Type": {"application/json", "text/plain"}}, 415},
		{"a form", "POST", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415},
		{"nonsense", "POST", http.Header{"Content-Type": {"/"}}, 415},
		{"a merge patch is no creation", "POST", http.Header{"Content-Type": {merge}}, 415},
		{"compressed", "POST", http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, 415},
		{"a patch", "PATCH", http.Header{"Content-Type": {"application/json"}}, 200},
		{"a merge patch", "PATCH", http.Header{"Content-Type": {merge}}, 200},
		{"a JSON patch", "PATCH", http.Header{"Content-Type": {"application/json-patch+json"}}, 415},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := ask{Method: c.method, Path: urls, Who: "pam", Body: `{"long_url":"https://example.com"}`, Header: c.header}
			if c.method == "PATCH" {
				a.Path, a.Who = urls+"/mine", "ann"
			}
			got, _ := w.send(t, a)
			if got.Status != c.status {
				t.Errorf("status %d, want %d: %s", got.Status, c.status, got.Body)
			}
		})
	}
	big := ask{Method: "POST", Path: urls, Who: "pam", Body: `{"long_url":"https://example.com","notes":"` + strings.Repeat("x", 1<<20) + `"}`}
	w.refused(t, "PAYLOAD_TOO_LARGE", big)
}

func TestWhoMayDoWhat(t *testing.T) {
	w := newWorld(t)
	w.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"anns"}`)
	w.link(t, "", `{"long_url":"https://example.com","custom_alias":"nobodys"}`)
	for _, c := range []struct {
		method, suffix, body string
		good                 int
	}{
		{"GET", "", "", 200},
		{"HEAD", "", "", 200},
		{"PATCH", "", `{"title":"x"}`, 200},
		{"GET", "/stats", "", 200},
		{"GET", "/clicks", "", 200},
		{"GET", "/clicks.csv", "", 200},
		{"DELETE", "", "", 204},
	} {
		for _, p := range []struct {
			code, who string
			status    int
		}{
			{"anns", "", 401},
			{"anns", "bob", 403},
			{"nobodys", "", 401},
			{"nobodys", "bob", 403},
			{"unknown", "", 401},
			{"unknown", "bob", 404},
			{"a b", "bob", 404},
			{"anns", "ann", c.good},
			{"anns", "root", c.good},
			{"nobodys", "root", c.good},
		} {
			path := urls + "/" + strings.ReplaceAll(p.code, " ", "%20") + c.suffix
			if got := w.do(t, ask{Method: c.method, Path: path, Who: p.who, Body: c.body}); got.Status != p.status {
				t.Errorf("%s %s as %q: status %d, want %d: %s", c.method, path, p.who, got.Status, p.status, got.Body)
			}
		}
	}
}

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.keys["ann"], w.keys["bob"]
	for _, c := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"bearer", http.Header{"Authorization": {"Bearer " + ann}}, 200},
		{"bearer in lower case", http.Header{"Authorization": {"bearer   " + ann}}, 200},
		{"X-Api-Key", http.Header{"X-Api-Key": {ann}}, 200},
		{"both alike", http.Header{"Authorization": {"Bearer " + ann}, "X-Api-Key": {ann}}, 200},
		{"both, different", http.Header{"Authorization": {"Bearer " + ann}, "X-Api-Key": {bob}}, 401},
		{"two of a kind", http.Header{"X-Api-Key": {ann, bob}}, 401},
		{"two bearers", http.Header{"Authorization": {"Bearer " + ann, "Bearer " + bob}}, 401},
		{"no key", http.Header{}, 401},
		{"an empty key", http.Header{"X-Api-Key": {""}}, 401},
		{"an empty bearer", http.Header{"Authorization": {"Bearer "}}, 401},
		{"another scheme", http.Header{"Authorization": {"Basic " + ann}}, 401},
		{"a made-up key", http.Header{"X-Api-Key": {"kurz_nonsense"}}, 401},
		{"a mistyped key", http.Header{"X-Api-Key": {ann[:len(ann)-1] + "_"}}, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := w.must(t, c.status, ask{Method: "GET", Path: "/api/v1/me", Header: c.header})
			if c.status == 401 && got.Header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
			// A bad key is refused also where none is needed.
			want := 201
			if c.status == 401 && c.name != "no key" {
				want = 401
			}
			w.must(t, want, ask{Method: "POST", Path: urls, Header: c.header, Body: `{"long_url":"https://example.com"}`})
		})
	}
}

func TestAnonymousCreateOff(t *testing.T) {
	w := newWorld(t, func(_ *api.Settings, l *link.Settings) { l.AnonymousCreate = false })
	w.refused(t, "UNAUTHORIZED", ask{Method: "POST", Path: urls, Body: `{"long_url":"https://example.com"}`})
	w.refused(t, "UNAUTHORIZED", ask{Method: "POST", Path: "/shorten", Body: `{"url":"https://example.com"}`})
	w.must(t, 201, ask{Method: "POST", Path: "/shorten", Who: "ann", Body: `{"url":"https://example.com"}`})
}

func TestFindExisting(t *testing.T) {
	w := newWorld(t)
	body := `{"long_url":"https://example.com","content_id":"c"}`
	first := w.link(t, "ann", body)
	id, owner := w.linkID(t, first)
	w.click(t, click.Event{Link: id, Owner: owner})
	again := w.must(t, 200, ask{Method: "POST", Path: urls, Who: "ann", Body: body})
	if again.field(t, "short_code") != first || again.field(t, "clicks") != 1.0 {
		t.Errorf("again: %s", again.Body)
	}
	w.must(t, 200, ask{Method: "POST", Path: urls, Who: "ann", Body: `{"long_url":"https://example.com","find_existing":true}`})
	w.refused(t, "VALIDATION_FAILED", ask{Method: "POST", Path: urls, Body: body}, "content_id")
	// One that works no longer is no answer; the content's link it still is.
	w.must(t, 200, ask{Method: "PATCH", Path: urls + "/" + first, Who: "ann", Body: `{"expires_at":"2026-11-22T10:00:01Z"}`})
	w.pass(time.Second)
	w.must(t, 200, ask{Method: "POST", Path: urls, Who: "ann", Body: body})
	find := ask{Method: "POST", Path: urls, Who: "ann", Body: `{"long_url":"https://example.com","find_existing":true}`}
	next := w.must(t, 201, find).field(t, "short_code")
	if again := w.must(t, 200, find).field(t, "short_code"); again == first || again != next {
		t.Errorf("found %v after %v", again, next)
	}
}

func TestPatch(t *testing.T) {
	w := newWorld(t)
	code := w.link(t, "ann", `{"long_url":"https://example.com","title":"t","notes":"n","tags":["x"],"redirect_status":301,"edge_ttl":5,"forward_query":true,"starts_at":"2026-01-01T00:00:00Z","expires_at":"2027-01-01T00:00:00Z","expired_url":"https://example.com/over"}`)
	path := urls + "/" + code
	w.pass(time.Minute)
	got := w.must(t, 200, ask{Method: "PATCH", Path: path, Who: "ann", Body: `{"title":null,"notes":null,"tags":null,"redirect_status":null,"edge_ttl":null,"forward_query":null,"starts_at":null,"expires_at":null,"expired_url":null}`})
	var l map[string]any
	got.decode(t, &l)
	for name, want := range map[string]any{
		"title": nil, "notes": nil, "redirect_status": 302.0, "edge_ttl": 0.0, "forward_query": false, "starts_at": nil,
		"expires_at": nil, "expired_url": nil, "updated_at": "2026-11-22T10:01:00.000Z", "created_at": "2026-11-22T10:00:00.000Z",
	} {
		if l[name] != want {
			t.Errorf("%s is %v, want %v", name, l[name], want)
		}
	}
	if got.Header.Get("ETag") != `"2"` {
		t.Errorf("ETag %s", got.Header.Get("ETag"))
	}
	w.must(t, 200, ask{Method: "PATCH", Path: path, Who: "ann", Body: `{}`})
	revoked := w.must(t, 200, ask{Method: "PATCH", Path: path, Who: "ann", Body: `{"revoked_at":"2026-11-22T10:01:00Z"}`})
	if revoked.field(t, "status") != "revoked" {
		t.Error(revoked.Body)
	}
	w.must(t, 204, ask{Method: "DELETE", Path: path, Who: "ann"})
	back := w.must(t, 200, ask{Method: "PATCH", Path: path, Who: "ann", Body: `{"revoked_at":null,"long_url":"https://example.com/new"}`})
	if back.field(t, "status") != "active" || back.field(t, "long_url") != "https://example.com/new" {
		t.Error(back.Body)
	}
	for _, c := range []struct{ body, code, fields string }{
		{`{"long_url":null}`, "VALIDATION_FAILED", "long_url"},
		{`{"long_url":"nonsense"}`, "INVALID_URL", "long_url"},
		{`{"short_code":"x"}`, "VALIDATION_FAILED", "short_code"},
		{`{"custom_alias":"x","domain":"go.example","content_id":"c","find_existing":true}`, "VALIDATION_FAILED", "custom_alias domain content_id find_existing"},
		{`{"redirect_status":0}`, "VALIDATION_FAILED", "redirect_status"},
		{`{"revoked_at":"2020-01-01T00:00:00Z"}`, "VALIDATION_FAILED", "revoked_at"},
		{`{"title":1,"tags":[1]}`, "VALIDATION_FAILED", "title tags"},
		{`[]`, "VALIDATION_FAILED", "body"},
		{`{`, "MALFORMED_JSON", ""},
	} {
		w.refused(t, c.code, ask{Method: "PATCH", Path: path, Who: "ann", Body: c.body}, strings.Fields(c.fields)...)
	}
}

func TestConditions(t *testing.T) {
	w := newWorld(t)
	code := w.link(t, "ann", `{"long_url":"https://example.com"}`)
	path := urls + "/" + code
	patch := func(tag string, title int) ask {
		return ask{Method: "PATCH", Path: path, Who: "ann", Body: fmt.Sprintf(`{"title":"%d"}`, title), Header: http.Header{"If-Match": {tag}}}
	}
	w.must(t, 200, patch(`"1"`, 1)) // now 2
	w.must(t, 412, patch(`"1"`, 2))
	w.must(t, 412, patch(`W/"2"`, 2))
	w.must(t, 412, patch(`"02"`, 2))
	w.must(t, 412, patch(`"xyzzy", "3"`, 2))
	w.must(t, 200, patch(`"xyzzy", "2"`, 2)) // 3
	w.must(t, 200, patch(`*`, 3))            // 4
	w.must(t, 400, patch(`4`, 4))
	w.must(t, 400, patch(`"4`, 4))
	w.must(t, 400, patch(``, 4))
	w.must(t, 403, ask{Method: "PATCH", Path: path, Who: "bob", Body: `{}`, Header: http.Header{"If-Match": {`"9"`}}})
	w.must(t, 404, ask{Method: "PATCH", Path: urls + "/unknown", Who: "bob", Body: `{}`, Header: http.Header{"If-Match": {`"9"`}}})

	del := ask{Method: "DELETE", Path: path, Who: "ann", Header: http.Header{"If-Match": {`"3"`}}}
	w.must(t, 412, del)
	del.Header.Set("If-Match", `"4"`)
	w.must(t, 204, del)
}

func TestList(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.link(t, "ann", fmt.Sprintf(`{"long_url":"https://example.com/%d","custom_alias":"ann-%d","tags":["t%d"]}`, i, i, i%2))
		w.pass(time.Second)
	}
	w.link(t, "bob", `{"long_url":"https://example.com/b","custom_alias":"bobs","domain":"go.example"}`)
	id, owner := w.linkID(t, "ann-3")
	w.click(t, click.Event{Link: id, Owner: owner}, click.Event{Link: id, Owner: owner, Kind: click.Bot})

	type page struct {
		Items []struct {
			Code   string `json:"short_code"`
			Clicks int
		}
		Next *string `json:"next_cursor"`
	}
	list := func(who, query string) (codes []string, next string) {
		t.Helper()
		var p page
		w.must(t, 200, ask{Method: "GET", Path: urls + "?" + query, Who: who}).decode(t, &p)
		for _, l := range p.Items {
			codes = append(codes, l.Code)
			if want := map[bool]int{true: 1}[l.Code == "ann-3"]; l.Clicks != want {
				t.Errorf("%s has %d clicks", l.Code, l.Clicks)
			}
		}
		if p.Next != nil {
			next = *p.Next
		}
		return codes, next
	}
	for _, c := range []struct{ who, query, want string }{
		{"ann", "", "ann-4 ann-3 ann-2 ann-1 ann-0"},
		{"ann", "sort=short_code&limit=2", "ann-0 ann-1"},
		{"ann", "tag=t1", "ann-3 ann-1"},
		{"ann", "q=EXAMPLE.com/2", "ann-2"},
		{"ann", "status=revoked", ""},
		{"ann", "status=active&domain=kurz.example&limit=1", "ann-4"},
		{"ann", "domain=go.example", ""},
		{"bob", "", "bobs"},
		{"root", "domain=go.example", "bobs"},
		{"root", "limit=2", "bobs ann-4"},
		{"root", "owner=" + w.users["bob"].ID.String(), "bobs"},
		{"ann", "limit=1&owner=" + w.users["ann"].ID.String(), "ann-4"},
	} {
		if codes, _ := list(c.who, c.query); strings.Join(codes, " ") != c.want {
			t.Errorf("%s ?%s: %v, want %s", c.who, c.query, codes, c.want)
		}
	}
	for _, sort := range []string{"created_at", "-created_at", "updated_at", "-updated_at", "short_code", "-short_code"} {
		var all []string
		for cursor := ""; ; {
			codes, next := list("ann", "limit=2&sort="+sort+"&cursor="+cursor)
			if all = append(all, codes...); next == "" {
				break
			}
			cursor = next
		}
		if want := 5; len(all) != want || len(slices.Compact(slices.Sorted(slices.Values(all)))) != want {
			t.Errorf("pages sorted by %s: %v", sort, all)
		}
	}
	for _, c := range []struct{ query, fields string }{
		{"colour=red&size=1", "colour size"},
		{"limit=0", "limit"},
		{"limit=501", "limit"},
		{"limit=x", "limit"},
		{"limit=", "limit"},
		{"limit=1&limit=2", "limit"},
		{"cursor=nonsense", "cursor"},
		{"sort=clicks", "sort"},
		{"status=dead", "status"},
		{"status=", "status"},
		{"domain=example.org", "domain"},
		{"owner=me", "owner"},
		{"owner=", "owner"},
		{"limit=x&status=y&sort=z", "status limit sort"},
		{"q=%ff", "q"},
		{"q=%zz", "query"},
		{"a;b", "query"},
		{"q=" + strings.Repeat("x", 257), "q"},
		{"q=" + strings.Repeat("x", 17<<10), "query"},
	} {
		got, _ := w.send(t, ask{Method: "GET", Path: urls + "?" + c.query, Who: "ann"})
		if len(c.query) > 8<<10 {
			if got.Status != 414 {
				t.Errorf("a long query: status %d", got.Status)
			}
			continue
		}
		w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Path: urls + "?" + c.query, Who: "ann"}, strings.Fields(c.fields)...)
	}
	w.refused(t, "FORBIDDEN", ask{Method: "GET", Path: urls + "?owner=" + w.users["bob"].ID.String(), Who: "ann"})
	w.refused(t, "VALIDATION_FAILED", ask{Method: "POST", Path: urls + "?domain=go.example", Who: "ann", Body: `{"long_url":"https://example.com"}`}, "domain")
}

func TestShorten(t *testing.T) {
	w := newWorld(t)
	got := w.must(t, 201, ask{Method: "POST", Path: "/shorten", Body: `{"url":"https://Example.com/x"}`})
	code := got.field(t, "short_id").(string)
	want := map[string]any{
		"short_id": code, "short_url": "https://kurz.example/" + code,
		"original_url": "https://example.com/x", "expires_at": "2026-12-22T10:00:00.000Z",
	}
	var link map[string]any
	got.decode(t, &link)
	if diff := cmp.Diff(want, link); diff != "" {
		t.Errorf("shortened (-want +got):\n%s", diff)
	}
	w.refused(t, "VALIDATION_FAILED", ask{Method: "POST", Path: "/shorten", Body: `{}`}, "url")
	w.refused(t, "VALIDATION_FAILED", ask{Method: "POST", Path: "/shorten", Body: `{"url":"https://example.com","long_url":"x"}`}, "long_url")
	w.refused(t, "MALFORMED_JSON", ask{Method: "POST", Path: "/shorten", Body: `url=x`})
	w.refused(t, "INVALID_URL", ask{Method: "POST", Path: "/shorten", Body: `{"url":"ftp://example.com"}`}, "url")
}

// lameReports can't be asked.
type lameReports struct{ click.Reports }

func (lameReports) Totals(context.Context, []link.ID) (map[link.ID]int64, error) {
	return nil, fault.New(fault.Unavailable, "away")
}

func (lameReports) Report(context.Context, click.Query) (click.Report, error) {
	return click.Report{}, fault.New(fault.Unavailable, "away")
}

func TestLinksWithoutStatistics(t *testing.T) {
	w := newWorld(t, func(a *api.Settings, _ *link.Settings) { a.Reports = lameReports{} })
	code := w.link(t, "ann", `{"long_url":"https://example.com"}`)
	got := w.must(t, 200, ask{Method: "PATCH", Path: urls + "/" + code, Who: "ann", Body: `{"title":"x"}`})
	if got.field(t, "clicks") != nil || len(w.warned) != 1 {
		t.Errorf("clicks that can't be read: %s, warned %q", got.Body, w.warned)
	}
	w.refused(t, "UNAVAILABLE", ask{Method: "GET", Path: urls + "/" + code + "/stats", Who: "ann"})
}
