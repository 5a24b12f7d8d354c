package e2e_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestContract walks through everything that the product contract promises of
// links, in the order in which someone would try it. A step may keep fields of
// its answer for later ones, which name them in braces.
func TestContract(t *testing.T) {
	s := start(t, unlimited()...)
	kept := map[string]string{
		"key":   s.key(t, "ann@example.org"),
		"other": s.key(t, "bob@example.org"),
		"admin": s.key(t, "eve@example.org", "--role", "admin"),
	}
	fill := func(text string) string {
		for name, value := range kept {
			text = strings.ReplaceAll(text, "{"+name+"}", value)
		}
		return text
	}
	type step struct {
		name   string
		ask    ask
		status int
		fields map[string]string // of the answer: field, regular expression
		header map[string]string // the same of its header
		keep   map[string]string // name, field
	}
	const urls, json = "/api/v1/urls", "application/json"
	fault := func(code string) map[string]string {
		return map[string]string{"error.code": code, "error.status": `\d+`, "error.request_id": "req_.+", "error.message": ".+"}
	}
	for _, st := range []step{
		{
			name: "create", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/doc"}`, nil}, status: 201,
			fields: map[string]string{"short_code": "[0-9a-zA-Z]{7}", "short_url": "http://.+/[0-9a-zA-Z]{7}", "long_url": "https://go.dev/doc", "status": "active", "clicks": "0", "owner": "usr_.+"},
			header: map[string]string{"Content-Type": json + ".*", "Etag": `"1"`, "Location": "/api/v1/urls/.+"},
			keep:   map[string]string{"code": "short_code"},
		},
		{
			name: "create without a key", ask: ask{"POST", urls, "", `{"long_url":"https://go.dev/blog"}`, nil}, status: 201,
			fields: map[string]string{"owner": "<nil>"}, keep: map[string]string{"nobody": "short_code"},
		},
		{
			name: "alias", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/","custom_alias":"go-home"}`, nil}, status: 201,
			fields: map[string]string{"short_code": "go-home"},
		},
		{name: "the same alias", ask: ask{"POST", urls, "{other}", `{"long_url":"https://go.dev/","custom_alias":"go-home"}`, nil}, status: 409, fields: fault("ALIAS_TAKEN")},
		{name: "a reserved alias", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/","custom_alias":"api"}`, nil}, status: 400, fields: fault("VALIDATION_FAILED")},
		{name: "a malformed alias", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/","custom_alias":"a b"}`, nil}, status: 400, fields: fault("VALIDATION_FAILED")},
		{
			name: "redirect", ask: ask{"GET", "/{code}", "", "", nil}, status: 302,
			header: map[string]string{"Location": "https://go.dev/doc", "Cache-Control": "private, no-store"},
		},
		{name: "redirect of an alias", ask: ask{"GET", "/go-home", "", "", nil}, status: 302, header: map[string]string{"Location": "https://go.dev/"}},
		{name: "HEAD", ask: ask{"HEAD", "/{code}", "", "", nil}, status: 302, header: map[string]string{"Location": "https://go.dev/doc"}},
		{name: "another method", ask: ask{"POST", "/{code}", "", "", nil}, status: 405, fields: fault("METHOD_NOT_ALLOWED"), header: map[string]string{"Allow": ".*GET.*"}},
		{name: "an unknown code", ask: ask{"GET", "/nobodys", "", "", nil}, status: 404, fields: fault("URL_NOT_FOUND")},
		{name: "a malformed code", ask: ask{"GET", "/a%2Fb", "", "", nil}, status: 404},
		{
			name: "an unknown code in a browser", ask: ask{"GET", "/nobodys", "", "", map[string]string{"Accept": "text/html"}}, status: 404,
			header: map[string]string{"Content-Type": "text/html.*", "Content-Security-Policy": ".+"},
		},
		{name: "preview", ask: ask{"GET", "/{code}+", "", "", map[string]string{"Accept": "text/html"}}, status: 200, header: map[string]string{"Content-Type": "text/html.*"}},
		{name: "home page", ask: ask{"GET", "/", "", "", map[string]string{"Accept": "text/html"}}, status: 200, header: map[string]string{"Content-Type": "text/html.*"}},
		{name: "read", ask: ask{"GET", urls + "/{code}", "{key}", "", nil}, status: 200, fields: map[string]string{"long_url": "https://go.dev/doc"}},
		{name: "read another's", ask: ask{"GET", urls + "/{code}", "{other}", "", nil}, status: 403, fields: fault("FORBIDDEN")},
		{name: "read as an admin", ask: ask{"GET", urls + "/{code}", "{admin}", "", nil}, status: 200},
		{name: "read without a key", ask: ask{"GET", urls + "/{code}", "", "", nil}, status: 401, fields: fault("UNAUTHORIZED"), header: map[string]string{"Www-Authenticate": "Bearer.*"}},
		{name: "read with a bad key", ask: ask{"GET", urls + "/{code}", "kurz_made-up", "", nil}, status: 401, fields: fault("UNAUTHORIZED")},
		{name: "read by X-Api-Key", ask: ask{"GET", urls + "/{code}", "", "", map[string]string{"X-Api-Key": "{key}"}}, status: 200},
		{name: "read what is not there", ask: ask{"GET", urls + "/nobodys", "{key}", "", nil}, status: 404, fields: fault("URL_NOT_FOUND")},
		{
			name: "patch", ask: ask{"PATCH", urls + "/{code}", "{key}", `{"long_url":"https://go.dev/ref/spec","title":"Go","tags":["b","a"]}`, nil}, status: 200,
			fields: map[string]string{"long_url": "https://go.dev/ref/spec", "title": "Go", "tags": `\[a b\]`}, header: map[string]string{"Etag": `"2"`},
		},
		{name: "the next redirect after it", ask: ask{"GET", "/{code}", "", "", nil}, status: 302, header: map[string]string{"Location": "https://go.dev/ref/spec"}},
		{name: "patch of an old version", ask: ask{"PATCH", urls + "/{code}", "{key}", `{"title":null}`, map[string]string{"If-Match": `"1"`}}, status: 412, fields: fault("PRECONDITION_FAILED")},
		{name: "patch of this version", ask: ask{"PATCH", urls + "/{code}", "{key}", `{"title":null}`, map[string]string{"If-Match": `"2"`}}, status: 200, fields: map[string]string{"title": "<nil>"}},
		{name: "patch another's", ask: ask{"PATCH", urls + "/{code}", "{other}", `{"title":"x"}`, nil}, status: 403, fields: fault("FORBIDDEN")},
		{name: "patch nobody's", ask: ask{"PATCH", urls + "/{nobody}", "{key}", `{"title":"x"}`, nil}, status: 403, fields: fault("FORBIDDEN")},
		{name: "patch nobody's as an admin", ask: ask{"PATCH", urls + "/{nobody}", "{admin}", `{"redirect_status":301}`, nil}, status: 200},
		{name: "a permanent redirect", ask: ask{"GET", "/{nobody}", "", "", nil}, status: 301, header: map[string]string{"Cache-Control": "public, max-age=86400"}},
		{name: "a link for the edge", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/dl?x=1#top","edge_ttl":60,"forward_query":true,"redirect_status":307}`, nil}, status: 201, keep: map[string]string{"edge": "short_code"}},
		{
			name: "its redirect", ask: ask{"GET", "/{edge}?y=2", "", "", nil}, status: 307,
			header: map[string]string{"Location": `https://go\.dev/dl\?x=1&y=2#top`, "Cdn-Cache-Control": "max-age=60", "Cache-Tag": "kurz-{edge}"},
		},
		{name: "a scheduled link", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/","custom_alias":"later","starts_at":"2999-01-01T00:00:00Z"}`, nil}, status: 201, fields: map[string]string{"status": "scheduled"}},
		{name: "its redirect", ask: ask{"GET", "/later", "", "", nil}, status: 404, fields: fault("URL_NOT_FOUND")},
		{name: "a link that ended", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/","expires_at":"2001-01-01T00:00:00Z"}`, nil}, status: 400, fields: fault("VALIDATION_FAILED")},
		{name: "the caller's id of a thing", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/a","content_id":"post-1"}`, nil}, status: 201, keep: map[string]string{"post": "short_code"}},
		{name: "the same again", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/a","content_id":"post-1"}`, nil}, status: 200, fields: map[string]string{"short_code": "{post}"}},
		{name: "find existing", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/a","find_existing":true}`, nil}, status: 200, fields: map[string]string{"short_code": "{post}"}},
		{name: "another's find existing", ask: ask{"POST", urls, "{other}", `{"long_url":"https://go.dev/a","find_existing":true}`, nil}, status: 201},
		{name: "delete", ask: ask{"DELETE", urls + "/{post}", "{key}", "", nil}, status: 204},
		{name: "delete again", ask: ask{"DELETE", urls + "/{post}", "{key}", "", nil}, status: 204},
		{name: "the redirect of what is deleted", ask: ask{"GET", "/{post}", "", "", nil}, status: 410, fields: fault("URL_REVOKED")},
		{name: "its alias is never given again", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/","custom_alias":"{post}"}`, nil}, status: 409, fields: fault("ALIAS_TAKEN")},
		{name: "restore", ask: ask{"PATCH", urls + "/{post}", "{key}", `{"revoked_at":null}`, nil}, status: 200, fields: map[string]string{"status": "active"}},
		{name: "the redirect of what is restored", ask: ask{"GET", "/{post}", "", "", nil}, status: 302},
		{name: "not a web address", ask: ask{"POST", urls, "{key}", `{"long_url":"javascript:alert(1)"}`, nil}, status: 400, fields: fault("INVALID_URL")},
		{name: "a loop", ask: ask{"POST", urls, "{key}", `{"long_url":"{url}/{code}"}`, nil}, status: 400, fields: fault("INVALID_URL")},
		{name: "a private address", ask: ask{"POST", urls, "{key}", `{"long_url":"http://10.0.0.1/"}`, nil}, status: 400, fields: fault("INVALID_URL")},
		{name: "no JSON", ask: ask{"POST", urls, "{key}", `{"long_url":`, nil}, status: 400, fields: fault("MALFORMED_JSON")},
		{
			name: "an unknown field", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/","colour":"red"}`, nil}, status: 400,
			fields: map[string]string{"error.code": "VALIDATION_FAILED", "error.details.0.field": "colour"},
		},
		{name: "another media type", ask: ask{"POST", urls, "{key}", `long_url=x`, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, status: 415, fields: fault("UNSUPPORTED_MEDIA_TYPE")},
		{name: "an unknown path", ask: ask{"GET", "/api/v1/nothing", "", "", nil}, status: 404, fields: fault("NOT_FOUND")},
		{name: "an unknown parameter", ask: ask{"GET", urls + "?colour=red", "{key}", "", nil}, status: 400, fields: fault("VALIDATION_FAILED")},
		{name: "a made-up cursor", ask: ask{"GET", urls + "?cursor=abc", "{key}", "", nil}, status: 400, fields: fault("VALIDATION_FAILED")},
		{
			name: "the simple form", ask: ask{"POST", "/shorten", "", `{"url":"https://go.dev/tour"}`, nil}, status: 201,
			fields: map[string]string{"short_id": ".{7}", "short_url": "http.+", "original_url": "https://go.dev/tour", "expires_at": ".+Z"},
		},
		{name: "the first request of an operation", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/once"}`, map[string]string{"Idempotency-Key": "op-1"}}, status: 201, keep: map[string]string{"once": "short_code"}},
		{
			name: "its retry", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/once"}`, map[string]string{"Idempotency-Key": "op-1"}}, status: 201,
			fields: map[string]string{"short_code": "{once}"}, header: map[string]string{"Idempotency-Replayed": "true"},
		},
		{name: "another's request of the same name", ask: ask{"POST", urls, "{other}", `{"long_url":"https://go.dev/once"}`, map[string]string{"Idempotency-Key": "op-1"}}, status: 201, header: map[string]string{"Idempotency-Replayed": ""}},
		{name: "something else of the same name", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/twice"}`, map[string]string{"Idempotency-Key": "op-1"}}, status: 422, fields: fault("IDEMPOTENCY_KEY_REUSED")},
		{name: "a name too long", ask: ask{"POST", urls, "{key}", `{"long_url":"https://go.dev/once"}`, map[string]string{"Idempotency-Key": strings.Repeat("x", 256)}}, status: 400, fields: fault("VALIDATION_FAILED")},
		{name: "who am I", ask: ask{"GET", "/api/v1/me", "{key}", "", nil}, status: 200, fields: map[string]string{"email": "ann@example.org", "role": "member", "tier": "free"}},
		{name: "a new key", ask: ask{"POST", "/api/v1/keys", "{key}", `{"name":"laptop"}`, nil}, status: 201, fields: map[string]string{"key": "kurz_.+"}, keep: map[string]string{"second": "key", "second-id": "id"}},
		{name: "it works", ask: ask{"GET", "/api/v1/me", "{second}", "", nil}, status: 200},
		{name: "keys", ask: ask{"GET", "/api/v1/keys", "{key}", "", nil}, status: 200, fields: map[string]string{"items.1.name": "laptop"}},
		{name: "another revokes it", ask: ask{"DELETE", "/api/v1/keys/{second-id}", "{other}", "", nil}, status: 404},
		{name: "revoke it", ask: ask{"DELETE", "/api/v1/keys/{second-id}", "{key}", "", nil}, status: 204},
		{name: "it works no more", ask: ask{"GET", "/api/v1/me", "{second}", "", nil}, status: 401, fields: fault("UNAUTHORIZED")},
		{name: "a request id of the client's", ask: ask{"GET", "/nobodys", "", "", map[string]string{"X-Request-Id": "mine-1"}}, status: 404, header: map[string]string{"X-Request-Id": "mine-1"}, fields: map[string]string{"error.request_id": "mine-1"}},
		{
			name: "CORS preflight", ask: ask{"OPTIONS", urls, "", "", map[string]string{"Origin": "https://app.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}}, status: 204,
			header: map[string]string{"Access-Control-Allow-Origin": `\*`, "Access-Control-Allow-Credentials": ""},
		},
		{name: "the document", ask: ask{"GET", "/api/openapi.json", "", "", nil}, status: 200, fields: map[string]string{"openapi": `3\.1\..+`}},
		{name: "the readable document", ask: ask{"GET", "/api/docs", "", "", nil}, status: 200, header: map[string]string{"Content-Type": "text/html.*"}},
		{name: "alive", ask: ask{"GET", "/health", "", "", nil}, status: 200},
		{name: "ready", ask: ask{"GET", "/health/ready", "", "", nil}, status: 200},
		{name: "metrics", ask: ask{"GET", "/metrics", "", "", nil}, status: 200, header: map[string]string{"Content-Type": "text/plain.*"}},
	} {
		kept["url"] = s.URL
		t.Run(st.name, func(t *testing.T) {
			st.ask.path, st.ask.key, st.ask.body = fill(st.ask.path), fill(st.ask.key), fill(st.ask.body)
			header := map[string]string{}
			for name, value := range st.ask.header {
				header[name] = fill(value)
			}
			st.ask.header = header
			r := s.must(t, st.status, st.ask)
			for field, want := range st.fields {
				match(t, field, fill(want), fmt.Sprint(r.field(field)))
			}
			for name, want := range st.header {
				match(t, name, fill(want), r.header.Get(name))
			}
			if r.header.Get("X-Request-Id") == "" && r.status >= 400 {
				t.Error("no X-Request-Id")
			}
			for name, field := range st.keep {
				kept[name] = r.text(field)
			}
		})
	}
}

func match(t *testing.T, what, pattern, got string) {
	t.Helper()
	if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(got) {
		t.Errorf("%s is %q, want %s", what, got, pattern)
	}
}

// TestExpiry shows a link end while it is in every cache.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	ends := time.Now().Add(1500 * time.Millisecond).UTC()
	body := fmt.Sprintf(`{"long_url":"https://go.dev/","custom_alias":"soon","expires_at":%q}`, ends.Format(time.RFC3339Nano))
	s.must(t, 201, ask{method: "POST", path: "/api/v1/urls", body: body})
	s.must(t, 302, ask{method: "GET", path: "/soon"})
	eventually(t, 5*time.Second, func() string {
		r := s.get(t, "/soon")
		switch {
		case r.status == 410 && time.Now().Before(ends):
			t.Fatal("ended before its time")
		case r.status == 410:
			match(t, "code", "URL_EXPIRED", r.text("error.code"))
			return ""
		}
		return fmt.Sprintf("still %d", r.status)
	})
}

func (s *server) get(t *testing.T, path string) reply {
	t.Helper()
	r, err := s.do(t.Context(), ask{method: "GET", path: path})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestStatistics shows a click in the report within two seconds, with what is
// known of it, and what is not a person's apart.
func TestStatistics(t *testing.T) {
	t.Parallel()
	s := start(t, proxied()...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	const address = "203.0.113.77"
	visit := func(header map[string]string) {
		header["X-Forwarded-For"] = address
		s.must(t, 302, ask{method: "GET", path: "/" + code, header: header})
	}
	const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	for range 3 {
		visit(map[string]string{"User-Agent": phone, "Referer": "https://www.news.example/today?x=1", "Accept-Language": "de-DE,de;q=0.9"})
	}
	visit(map[string]string{"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"})
	s.must(t, 302, ask{method: "HEAD", path: "/" + code})
	s.must(t, 200, ask{method: "GET", path: "/" + code + "+"})

	var report reply
	took := eventually(t, 2*time.Second, func() string {
		report = s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats", key: key})
		if report.text("total_clicks") != "3" || report.text("bot_clicks") != "2" {
			return "the report says " + string(report.body)
		}
		return ""
	})
	t.Logf("clicks were in the report after %v", took.Round(time.Millisecond))
	for field, want := range map[string]string{
		"unique_visitors": "1", "top_referrers.0.value": "news.example", "top_referrers.0.clicks": "3",
		"devices.0.value": "mobile", "languages.0.value": "de", "last_clicked_at": ".+Z",
	} {
		match(t, field, want, report.text(field))
	}
	all := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats?kind=all", key: key})
	match(t, "total of all kinds", "5", all.text("total_clicks"))
	mine := s.must(t, 200, ask{method: "GET", path: "/api/v1/stats", key: key})
	match(t, "total of all links", "3", mine.text("total_clicks"))
	clicks := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/clicks", key: key})
	if items, _ := clicks.field("items").([]any); len(items) != 5 {
		t.Errorf("%d single clicks, want 5: %s", len(items), clicks.body)
	}
	// The server's own is in the link's domain.
	if others := strings.ReplaceAll(string(clicks.body), s.Addr, ""); strings.Contains(others, address) || strings.Contains(others, "127.0.0.1") {
		t.Errorf("single clicks show an address: %s", others)
	}
	s.must(t, 403, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats", key: s.key(t, "bob@example.org")})
	link := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code, key: key})
	match(t, "clicks of the link", "3", link.text("clicks"))
}

// TestPages shows that a listing by cursor gives each link once.
func TestPages(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	made := map[string]bool{}
	for i := range 25 {
		made[s.create(t, key, fmt.Sprintf("https://example.com/%d", i))] = true
	}
	s.create(t, "", "https://example.com/nobodys")
	path, pages := "/api/v1/urls?limit=10", 0
	for at := path; ; pages++ {
		r := s.must(t, 200, ask{method: "GET", path: at, key: key})
		items, _ := r.field("items").([]any)
		for i := range items {
			code := r.text(fmt.Sprintf("items.%d.short_code", i))
			if !made[code] {
				t.Errorf("%s is there twice, or another's", code)
			}
			delete(made, code)
		}
		// Links made while someone pages are not in the pages to come.
		s.create(t, key, "https://example.com/later")
		cursor := r.text("next_cursor")
		if cursor == "" {
			break
		}
		at = path + "&cursor=" + cursor
	}
	if len(made) != 0 || pages != 2 {
		t.Errorf("%d links are missing after %d pages", len(made), pages+1)
	}
}

// TestLimits shows the default limits: ten creates an hour without a key, and
// that nothing a client sends widens its own.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := start(t, "KURZ_RATE_REDIRECT=20/m")
	request := ask{method: "POST", path: "/api/v1/urls", body: `{"long_url":"https://go.dev/"}`}
	var last reply
	for i := range 10 {
		request.header = map[string]string{"X-Forwarded-For": fmt.Sprintf("203.0.113.%d", i)}
		last = s.must(t, 201, request)
		match(t, "RateLimit", fmt.Sprintf(`".+";r=%d;t=\d+`, 9-i), last.header.Get("RateLimit"))
		match(t, "RateLimit-Policy", `".+";q=10;w=3600`, last.header.Get("RateLimit-Policy"))
	}
	refused := s.must(t, 429, request)
	match(t, "code", "RATE_LIMIT_EXCEEDED", refused.text("error.code"))
	match(t, "Retry-After", `[1-9]\d*`, refused.header.Get("Retry-After"))
	match(t, "RateLimit", `".+";r=0;t=\d+`, refused.header.Get("RateLimit"))
	s.must(t, 429, ask{method: "POST", path: "/shorten", body: `{"url":"https://go.dev/"}`})

	// A key has a quota of its own.
	free := s.must(t, 201, ask{method: "POST", path: "/api/v1/urls", key: s.key(t, "ann@example.org"), body: request.body})
	match(t, "RateLimit-Policy", `".+";q=100;w=3600`, free.header.Get("RateLimit-Policy"))
	premium := s.must(t, 201, ask{method: "POST", path: "/api/v1/urls", key: s.key(t, "bob@example.org", "--tier", "premium"), body: request.body})
	match(t, "RateLimit-Policy", `".+";q=1000;w=3600`, premium.header.Get("RateLimit-Policy"))

	code := last.text("short_code")
	for range 20 {
		s.must(t, 302, ask{method: "GET", path: "/" + code})
	}
	refused = s.must(t, 429, ask{method: "GET", path: "/" + code})
	match(t, "Retry-After", `[1-9]\d*`, refused.header.Get("Retry-After"))
}

// TestTrustedProxy shows that X-Forwarded-For counts from a trusted proxy.
func TestTrustedProxy(t *testing.T) {
	t.Parallel()
	s := start(t, "KURZ_RATE_ANONYMOUS=1/h", "KURZ_TRUSTED_PROXIES=127.0.0.0/8")
	request := ask{method: "POST", path: "/api/v1/urls", body: `{"long_url":"https://go.dev/"}`}
	for _, c := range []struct {
		name, forwarded string
		status          int
	}{
		{"the first", "203.0.113.1", 201},
		{"the same", "203.0.113.1", 429},
		{"the same, with a made-up one before it", "198.51.100.7, 203.0.113.1", 429},
		{"another", "203.0.113.2", 201},
		{"an IPv6 address", "2001:db8::1", 201},
		{"another of the same /64", "2001:db8::2", 429},
	} {
		t.Run(c.name, func(t *testing.T) {
			request.header = map[string]string{"X-Forwarded-For": c.forwarded}
			s.must(t, c.status, request)
		})
	}
}

// TestOneAlias shows that of two hundred parallel creates of one alias one is
// done, and that of a hundred parallel retries of one create all give one link.
func TestOneAlias(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	statuses := func(n int, request func(i int) ask) (count map[int]int, codes map[string]bool) {
		var mu sync.Mutex
		count, codes = map[int]int{}, map[string]bool{}
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				r, err := s.do(t.Context(), request(i))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				count[r.status]++
				if r.status == http.StatusCreated {
					codes[r.text("short_code")] = true
				}
			})
		}
		wg.Wait()
		return count, codes
	}
	count, _ := statuses(200, func(i int) ask {
		return ask{method: "POST", path: "/api/v1/urls", body: fmt.Sprintf(`{"long_url":"https://go.dev/%d","custom_alias":"one"}`, i)}
	})
	if count[201] != 1 || count[409] != 199 {
		t.Errorf("200 creates of one alias: %v, want one 201 and 199 times 409", count)
	}
	count, codes := statuses(100, func(int) ask {
		return ask{method: "POST", path: "/api/v1/urls", body: `{"long_url":"https://go.dev/"}`, header: map[string]string{"Idempotency-Key": "same"}}
	})
	if len(codes) != 1 || count[201]+count[409] != 100 {
		t.Errorf("100 retries of one create: %v, %d links", count, len(codes))
	}
}
