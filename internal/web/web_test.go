package web_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/edge"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/web"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const token = "a-long-token"

// site is the room in memory behind edge's error writer.
type site struct {
	room      *web.Web
	registry  *link.Registry
	directory *account.Directory
	now       time.Time
}

func newSite(tb testing.TB, change ...func(*site, *account.Store)) *site {
	tb.Helper()
	s := &site{now: start}
	now := func() time.Time { return s.now }
	base, err := url.Parse("https://kurz.example")
	if err != nil {
		tb.Fatal(err)
	}
	domains, err := link.NewDomains(base, []string{"go.example"})
	if err != nil {
		tb.Fatal(err)
	}
	s.registry = link.NewRegistry(link.Settings{
		Store: memory.NewLinks(), Codes: link.RandomCodes{Rand: rand.Reader}, IDs: link.NewIDs(now, rand.Reader),
		Domains: domains, Policy: link.Policy{Domains: domains}, CodeLength: link.DefaultCode, AnonymousCreate: true, Now: now,
	})
	var accounts account.Store = memory.NewAccounts()
	for _, c := range change {
		c(s, &accounts)
	}
	s.directory = account.NewDirectory(accounts, now, rand.Reader)
	blocklist := link.NewBlocklist(nil)
	blocklist.Replace([]string{"evil.example"})
	s.room = web.New(web.Settings{
		Registry: s.registry, Directory: s.directory, Domains: domains, Blocklist: blocklist, SetupToken: token, Now: now,
	})
	return s
}

type answer struct {
	Status int
	Header http.Header
	Body   string
}

func (s *site) send(tb testing.TB, r *http.Request) answer {
	tb.Helper()
	handler := s.room.Handle
	if strings.HasSuffix(r.URL.Path, "+") {
		handler = s.room.Preview
	}
	rec := httptest.NewRecorder()
	edge.HandlerFunc(handler).ServeHTTP(rec, r)
	body, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		tb.Fatal(err)
	}
	got := answer{rec.Code, rec.Result().Header, string(body)}
	if strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		checkPage(tb, r.URL.Path, got)
	}
	return got
}

func (s *site) get(tb testing.TB, path string) answer {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path, http.NoBody)
	r.Host = "kurz.example"
	r.Header.Set("Accept", "text/html")
	return s.send(tb, r)
}

func (s *site) post(tb testing.TB, form url.Values, header http.Header) answer {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "/setup", strings.NewReader(form.Encode()))
	r.Host = "kurz.example"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, values := range header {
		r.Header[name] = values
	}
	return s.send(tb, r)
}

var asset = regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`)

// checkPage holds what is promised of every page.
func checkPage(tb testing.TB, path string, got answer) {
	tb.Helper()
	policy := got.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action "} {
		if !strings.Contains(policy, part) {
			tb.Errorf("%s: Content-Security-Policy %q lacks %s", path, policy, part)
		}
	}
	for _, bad := range []string{"unsafe", "http:", "*", "script-src"} {
		if strings.Contains(policy, bad) {
			tb.Errorf("%s: Content-Security-Policy %q has %s", path, policy, bad)
		}
	}
	for _, bad := range []string{"<script", " style=", "ZgotmplZ", " onclick", `src="http`} {
		if strings.Contains(got.Body, bad) {
			tb.Errorf("%s has %s", path, bad)
		}
	}
	for _, part := range []string{`<html lang="en">`, `name="viewport"`, "<title>", "<h1>", "<main>"} {
		if !strings.Contains(got.Body, part) {
			tb.Errorf("%s lacks %s", path, part)
		}
	}
	if p := got.Header.Get("Referrer-Policy"); p != "no-referrer" && p != "same-origin" {
		tb.Errorf("%s: Referrer-Policy %q", path, p)
	}
}

func TestHome(t *testing.T) {
	s := newSite(t)
	got := s.get(t, "/")
	if got.Status != 200 || !strings.Contains(got.Body, "kurz.example/") || !strings.Contains(got.Body, "/api/docs") {
		t.Errorf("home: %d %s", got.Status, got.Body)
	}
	found := asset.FindAllStringSubmatch(got.Body, -1)
	if len(found) < 2 {
		t.Fatalf("assets of the page: %q", found)
	}
	for _, m := range found {
		file := s.get(t, m[1])
		if file.Status != 200 || file.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || file.Body == "" {
			t.Errorf("%s: %d %v", m[1], file.Status, file.Header)
		}
	}
	other := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	other.Host = "go.example"
	if got := s.send(t, other); !strings.Contains(got.Body, "go.example/") {
		t.Errorf("home of another domain: %s", got.Body)
	}
}

func TestSmallFiles(t *testing.T) {
	s := newSite(t)
	if got := s.get(t, "/robots.txt"); got.Status != 200 || !strings.HasPrefix(got.Body, "User-agent: *\n") {
		t.Errorf("robots.txt: %d %q", got.Status, got.Body)
	}
	icon := s.get(t, "/favicon.ico")
	if icon.Status != 200 || len(icon.Body) < 22 || icon.Body[:4] != "\x00\x00\x01\x00" {
		t.Fatalf("favicon.ico: %d %q", icon.Status, icon.Body)
	}
	picture, err := png.Decode(strings.NewReader(icon.Body[22:]))
	if err != nil || picture.Bounds().Dx() != 32 {
		t.Errorf("picture of favicon.ico: %v, %v", picture, err)
	}
	for _, path := range []string{"/assets/", "/assets/style.css", "/assets/style.0000000000000000.css", "/setup/", "/index.html", "/assets/../setup"} {
		if got := s.get(t, path); got.Status != 404 {
			t.Errorf("%s: status %d", path, got.Status)
		}
	}
}

func TestMethods(t *testing.T) {
	s := newSite(t)
	for path, allow := range map[string]string{"/": "GET, HEAD", "/robots.txt": "GET, HEAD", "/favicon.ico": "GET, HEAD", "/setup": "GET, HEAD, POST"} {
		for _, method := range []string{"PUT", "DELETE", "PATCH", "POST"} {
			if strings.Contains(allow, method) {
				continue
			}
			got := s.send(t, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
			if got.Status != 405 || got.Header.Get("Allow") != allow || !strings.Contains(got.Body, `"METHOD_NOT_ALLOWED"`) {
				t.Errorf("%s %s: %d %v %s", method, path, got.Status, got.Header, got.Body)
			}
		}
	}
}

func TestPreview(t *testing.T) {
	s := newSite(t)
	add := func(c link.Creation) {
		t.Helper()
		if _, _, err := s.registry.Create(t.Context(), account.Operator(), c); err != nil {
			t.Fatal(err)
		}
	}
	add(link.Creation{Alias: "plain", LongURL: "https://user.example:8443/a?b=<c>&d#e", Title: `<script>alert("x")</script>`, Notes: "secret note", ExpiresAt: start.Add(48 * time.Hour)})
	add(link.Creation{Alias: "later", LongURL: "https://secret.example/", StartsAt: start.Add(time.Hour)})
	add(link.Creation{Alias: "short", LongURL: "https://example.com/ended", ExpiresAt: start.Add(time.Minute)})
	add(link.Creation{Alias: "gone", LongURL: "https://example.com/gone"})
	add(link.Creation{Alias: "evil", LongURL: "https://www.evil.example/x"})
	add(link.Creation{Alias: "brand", LongURL: "https://example.com/brand", Domain: "go.example"})
	if err := s.registry.Revoke(t.Context(), account.Operator(), link.Key{Code: "gone"}); err != nil {
		t.Fatal(err)
	}
	s.now = start.Add(2 * time.Minute)

	got := s.get(t, "/plain+")
	for _, part := range []string{
		`<a href="https://user.example:8443/a?b=%3Cc%3E&amp;d#e" rel="noopener noreferrer nofollow">https://<b>user.example</b>:8443/a?b=%3Cc%3E&amp;d#e</a>`,
		`&lt;script&gt;`, "Active", `<time datetime="2026-11-22T10:00:00Z">22 November 2026</time>`, "24 November 2026", `name="robots"`, "https://kurz.example/plain",
		"<strong>user.example</strong>", `<h1><bdi>&lt;script`, `src="/api/v1/urls/plain/qr?size=288"`, `href="/api/v1/urls/plain/qr?format=png&amp;size=1024"`,
	} {
		if !strings.Contains(got.Body, part) {
			t.Errorf("the preview lacks %s", part)
		}
	}
	if got.Status != 200 || got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("X-Robots-Tag") != "noindex, nofollow" || strings.Contains(got.Body, "secret note") {
		t.Errorf("preview: %d %v", got.Status, got.Header)
	}
	for path, want := range map[string]string{"/short+": "Expired", "/gone+": "Taken down", "/evil+": "Blocked"} {
		if got := s.get(t, path); got.Status != 200 || !strings.Contains(got.Body, want) || strings.Contains(got.Body, `<a href="https`) || strings.Contains(got.Body, "/qr") {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	missing := map[string]answer{}
	for _, path := range []string{"/later+", "/nobody+", "/brand+", "/+", "/x+"} {
		got := s.get(t, path)
		if missing[path] = got; got.Status != 404 || strings.Contains(got.Body, "secret.example") {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	if later := strings.ReplaceAll(missing["/later+"].Body, "later", "nobody"); later != missing["/nobody+"].Body {
		t.Error("a link whose time has not come can be told from none")
	}
	branded := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/brand+", http.NoBody)
	branded.Host = "GO.example"
	if got := s.send(t, branded); got.Status != 200 || !strings.Contains(got.Body, "https://go.example/brand") || !strings.Contains(got.Body, "/qr?domain=go.example") {
		t.Errorf("preview on another domain: %d %s", got.Status, got.Body)
	}
}

var keyShape = regexp.MustCompile(`kurz_[0-9A-Za-z]{38}`)

func TestSetup(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/setup", "/setup?token=", "/setup?token=wrong", "/setup?token=" + token + "x"} {
		if got := s.get(t, path); got.Status != 404 || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, got.Status, got.Header)
		}
	}
	form := s.get(t, "/setup?token="+token)
	if form.Status != 200 || form.Header.Get("Cache-Control") != "no-store" || form.Header.Get("Referrer-Policy") != "same-origin" ||
		!strings.Contains(form.Body, `<label for="email">`) || !strings.Contains(form.Body, `value="`+token+`"`) {
		t.Errorf("form: %d %v\n%s", form.Status, form.Header, form.Body)
	}
	good := url.Values{"token": {token}, "email": {"Ann@example.com"}}
	html := http.Header{"Accept": {"text/html"}}
	for _, c := range []struct {
		name   string
		form   url.Values
		header http.Header
		status int
		part   string
	}{
		{"no token", url.Values{"email": {"a@example.com"}}, nil, 404, "NOT_FOUND"},
		{"another token", url.Values{"token": {"x"}, "email": {"a@example.com"}}, nil, 404, "NOT_FOUND"},
		{"from elsewhere", good, http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403, "FORBIDDEN"},
		{"from another origin", good, http.Header{"Origin": {"https://evil.example"}}, 403, "FORBIDDEN"},
		{"from nowhere", good, http.Header{"Origin": {"null"}}, 403, "FORBIDDEN"},
		{"JSON", good, http.Header{"Content-Type": {"application/json"}}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"too large", url.Values{"token": {token}, "email": {strings.Repeat("x", 9000)}}, nil, 413, "PAYLOAD_TOO_LARGE"},
		{"no email, for a program", url.Values{"token": {token}, "email": {"x"}}, nil, 400, "VALIDATION_FAILED"},
		{"no email, for a person", url.Values{"token": {token}, "email": {`x"<y`}}, html, 400, `value="x&#34;&lt;y"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := s.post(t, c.form, c.header); got.Status != c.status || !strings.Contains(got.Body, c.part) {
				t.Errorf("%d %s, want %d with %s", got.Status, got.Body, c.status, c.part)
			}
		})
	}
	if empty, err := s.directory.Headless(t.Context()); err != nil || !empty {
		t.Fatalf("a refused form made a user: %v, %v", empty, err)
	}
	done := s.post(t, good, http.Header{"Accept": {"text/html"}, "Origin": {"https://kurz.example"}, "Sec-Fetch-Site": {"same-origin"}})
	key := keyShape.FindString(done.Body)
	if done.Status != 200 || key == "" || done.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("done: %d %v\n%s", done.Status, done.Header, done.Body)
	}
	actor, err := s.directory.Authenticate(t.Context(), key)
	if err != nil || !actor.IsAdmin() || actor.Email != "ann@example.com" {
		t.Errorf("the key is of %+v, %v", actor, err)
	}
	if got := s.post(t, good, nil); got.Status != 404 {
		t.Errorf("a second time: %d", got.Status)
	}
	if got := s.get(t, "/setup?token="+token); got.Status != 404 {
		t.Errorf("the form afterwards: %d", got.Status)
	}
}

func TestSetupIsClosedOnceThereIsAnAdmin(t *testing.T) {
	s := newSite(t)
	if _, err := s.directory.AddUser(t.Context(), "bob@example.com", account.Member, account.Free); err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, "/setup?token="+token); got.Status != 200 {
		t.Errorf("form beside a member: %d", got.Status)
	}
	if _, err := s.directory.AddUser(t.Context(), "ann@example.com", account.Admin, account.Free); err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, "/setup?token="+token); got.Status != 404 {
		t.Errorf("form: %d", got.Status)
	}
	if got := s.post(t, url.Values{"token": {token}, "email": {"a@example.com"}}, nil); got.Status != 404 {
		t.Errorf("post: %d", got.Status)
	}
}

func TestSetupWithoutToken(t *testing.T) {
	s := newSite(t)
	room := web.New(web.Settings{Registry: s.registry, Directory: s.directory, Domains: s.room.Domains, Now: s.room.Now})
	s.room = room
	for _, path := range []string{"/setup", "/setup?token="} {
		if got := s.get(t, path); got.Status != 404 {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
}

func TestSetupRaced(t *testing.T) {
	s := newSite(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	var keys []string
	for i := range 20 {
		group.Go(func() {
			got := s.post(t, url.Values{"token": {token}, "email": {string(rune('a'+i)) + "@example.com"}}, nil)
			mu.Lock()
			defer mu.Unlock()
			if key := keyShape.FindString(got.Body); key != "" {
				keys = append(keys, key)
			}
		})
	}
	group.Wait()
	users, _, err := s.directory.Users(context.Background(), account.Page{Limit: 50})
	if err != nil || len(users) != 1 || len(keys) != 1 {
		t.Errorf("%d users, %d keys, %v", len(users), len(keys), err)
	}
}

// lameKeys can't store a key the first time.
type lameKeys struct {
	account.Store
	tried bool
}

func (k *lameKeys) AddKey(ctx context.Context, key account.Key) error {
	if !k.tried {
		k.tried = true
		return fault.New(fault.Unavailable, "away")
	}
	return k.Store.AddKey(ctx, key)
}

func TestSetupGoesOnAfterAFailure(t *testing.T) {
	s := newSite(t, func(_ *site, store *account.Store) { *store = &lameKeys{Store: *store} })
	form := url.Values{"token": {token}, "email": {"ann@example.com"}}
	if got := s.post(t, form, nil); got.Status != 503 {
		t.Fatalf("first: %d %s", got.Status, got.Body)
	}
	if got := s.get(t, "/setup?token="+token); got.Status != 200 {
		t.Errorf("form: %d", got.Status)
	}
	if got := s.post(t, form, nil); got.Status != 200 || !keyShape.MatchString(got.Body) {
		t.Errorf("again: %d %s", got.Status, got.Body)
	}
	if got := s.post(t, form, nil); got.Status != 404 {
		t.Errorf("a third time: %d", got.Status)
	}
}

// FuzzPreview: whatever is asked for, the page has nothing of it unescaped and
// there is no server error.
func FuzzPreview(f *testing.F) {
	s := newSite(f)
	if _, _, err := s.registry.Create(f.Context(), account.Operator(), link.Creation{Alias: "plain", LongURL: "https://example.com"}); err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{"plain+", "+", "<b>+", "a/b+", "++", "plain++"} {
		f.Add(path, "kurz.example")
	}
	f.Fuzz(func(t *testing.T, path, host string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.URL.Path, r.Host = "/"+strings.TrimSuffix(path, "+")+"+", host
		r.Header.Set("Accept", "text/html")
		got := s.send(t, r)
		if got.Status != 200 && got.Status != 404 || bytes.Contains([]byte(got.Body), []byte("<b><")) {
			t.Errorf("%q on %q: %d %s", path, host, got.Status, got.Body)
		}
	})
}
