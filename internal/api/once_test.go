package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/ratelimit"
)

func once(key string) http.Header { return http.Header{"Idempotency-Key": {key}} }

func TestIdempotency(t *testing.T) {
	w := newWorld(t)
	a := ask{Method: "POST", Path: urls, Who: "ann", Body: `{"long_url":"https://example.com"}`, Header: once("k1")}
	first := w.must(t, 201, a)
	if first.Header.Get("Idempotency-Replayed") != "" {
		t.Error("the first answer is marked as a repetition")
	}
	w.pass(time.Hour)
	again := w.must(t, 201, a)
	if again.Body != first.Body || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %s, %v", again.Body, again.Header)
	}
	for _, name := range []string{"ETag", "Location", "Content-Type"} {
		if first.Header.Get(name) == "" || again.Header.Get(name) != first.Header.Get(name) {
			t.Errorf("%s: %q, then %q", name, first.Header.Get(name), again.Header.Get(name))
		}
	}
	if again.Header.Get("RateLimit") == "" {
		t.Error("a repetition is counted and does not say so")
	}
	other := a
	other.Body = `{"long_url":"https://example.com" }`
	w.refused(t, "IDEMPOTENCY_KEY_REUSED", other)
	other = a
	other.Path, other.Body = "/shorten", `{"url":"https://example.com"}`
	w.refused(t, "IDEMPOTENCY_KEY_REUSED", other)
	bobs := a
	bobs.Who = "bob"
	if got := w.must(t, 201, bobs); got.Body == first.Body || got.Header.Get("Idempotency-Replayed") != "" {
		t.Error("a key of someone else's is the same key")
	}
	w.pass(25 * time.Hour)
	if got := w.must(t, 201, a); got.Body == first.Body {
		t.Error("kept for more than a day")
	}
	for _, h := range []http.Header{once(""), once("a b"), once("ä"), once(strings.Repeat("x", 256)), {"Idempotency-Key": {"a", "b"}}} {
		a.Header = h
		w.refused(t, "VALIDATION_FAILED", a, "Idempotency-Key")
	}
}

func TestIdempotencyOfStrangers(t *testing.T) {
	w := newWorld(t)
	a := ask{Method: "POST", Path: "/shorten", Body: `{"url":"https://example.com"}`, Header: once("k"), From: "192.0.2.7:1"}
	first := w.must(t, 201, a)
	if again := w.must(t, 201, a); again.Body != first.Body {
		t.Error("not repeated")
	}
	a.From = "192.0.2.8:1"
	if again := w.must(t, 201, a); again.Body == first.Body {
		t.Error("another client got the answer")
	}
}

func TestIdempotencyKeepsRefusals(t *testing.T) {
	w := newWorld(t)
	code := w.link(t, "bob", `{"long_url":"https://example.com","custom_alias":"taken"}`)
	for i, body := range []string{`{`, `{}`, `{"long_url":"x"}`, `{"long_url":"https://evil.example"}`, `{"long_url":"https://example.com","custom_alias":"` + code + `"}`} {
		a := ask{Method: "POST", Path: urls, Who: "ann", Body: body, Header: once(fmt.Sprint("bad-", i))}
		first, again := w.do(t, a), w.do(t, a)
		if first.Status < 400 || again.Status != first.Status || again.Body != first.Body || again.Header.Get("Idempotency-Replayed") != "true" ||
			again.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s, then %d %s", body, first.Status, first.Body, again.Status, again.Body)
		}
	}
}

// lameStore is away for a while; what it is asked to insert may be done all
// the same.
type lameStore struct {
	link.Store
	mu    sync.Mutex
	away  int
	doIt  bool
	tried int
}

func (s *lameStore) Insert(ctx context.Context, n link.New) (link.Link, link.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tried++; s.tried > s.away {
		return s.Store.Insert(ctx, n)
	}
	if s.doIt {
		if _, _, err := s.Store.Insert(ctx, n); err != nil {
			return link.Link{}, 0, err
		}
	}
	return link.Link{}, 0, fault.New(fault.Unavailable, "away")
}

func TestIdempotencyWhenTheStoreFails(t *testing.T) {
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprintf("done=%v", done), func(t *testing.T) {
			w := newWorld(t, func(_ *api.Settings, l *link.Settings) {
				l.Store = &lameStore{Store: l.Store, away: 2, doIt: done}
			})
			a := ask{Method: "POST", Path: urls, Who: "ann", Body: `{"long_url":"https://example.com"}`, Header: once("k")}
			for range 2 {
				if got := w.refused(t, "UNAVAILABLE", a); got.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			}
			w.must(t, 201, a)
			w.must(t, 201, a)
			var list struct{ Items []any }
			w.must(t, 200, ask{Method: "GET", Path: urls, Who: "ann"}).decode(t, &list)
			if len(list.Items) != 1 {
				t.Errorf("%d links were made", len(list.Items))
			}
		})
	}
}

func TestIdempotencyInParallel(t *testing.T) {
	w := newWorld(t)
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			got, _ := w.send(t, ask{Method: "POST", Path: urls, Who: "pam", Body: `{"long_url":"https://example.com"}`, Header: once("k")})
			if got.Status != 201 && got.Status != 409 {
				t.Errorf("status %d: %s", got.Status, got.Body)
			}
		})
	}
	group.Wait()
	var list struct{ Items []any }
	w.must(t, 200, ask{Method: "GET", Path: urls, Who: "pam"}).decode(t, &list)
	if len(list.Items) != 1 {
		t.Errorf("%d links were made", len(list.Items))
	}
}

func TestRateLimit(t *testing.T) {
	w := newWorld(t)
	create := ask{Method: "POST", Path: urls, Body: `{"long_url":"https://example.com"}`}
	for i := range 10 {
		got := w.do(t, create)
		if i%2 == 1 { // whatever is wrong with it, it is counted
			create.Body = `{"long_url":"https://example.com"}`
		} else {
			create.Body = `{`
		}
		if want := fmt.Sprintf(`"anonymous";r=%d;t=%d`, 9-i, 360*(i+1)); got.Header.Get("RateLimit") != want || got.Header.Get("RateLimit-Policy") != `"anonymous";q=10;w=3600` {
			t.Errorf("create %d: %q %q, want %s", i, got.Header.Get("RateLimit"), got.Header.Get("RateLimit-Policy"), want)
		}
	}
	got := w.refused(t, "RATE_LIMIT_EXCEEDED", create)
	if got.Header.Get("Retry-After") != "360" || got.Header.Get("RateLimit") == "" || got.Header.Get("RateLimit-Policy") == "" {
		t.Errorf("a refusal: %v", got.Header)
	}
	w.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "POST", Path: "/shorten", Body: `{"url":"https://example.com"}`})
	create.From = "192.0.2.2:1"
	w.do(t, create)
	w.pass(6 * time.Minute)
	create.From, create.Body = "", `{"long_url":"https://example.com"}`
	w.must(t, 201, create)
}

// Whoever lost an answer on the way can have it, limit or not.
func TestAKeptAnswerIsGivenBeyondTheLimit(t *testing.T) {
	w := newWorld(t)
	keyed := ask{Method: "POST", Path: urls, Body: `{"long_url":"https://example.com"}`, Header: once("lost")}
	first := w.must(t, 201, keyed)
	for range 9 {
		w.must(t, 201, ask{Method: "POST", Path: urls, Body: `{"long_url":"https://example.com"}`})
	}
	again := w.must(t, 201, keyed)
	if again.Body != first.Body || again.Header.Get("Idempotency-Replayed") != "true" || again.Header.Get("RateLimit") == "" {
		t.Errorf("again: %s, %v", again.Body, again.Header)
	}
	for name, other := range map[string]ask{
		"another key":  {Method: "POST", Path: urls, Body: keyed.Body, Header: once("new")},
		"another body": {Method: "POST", Path: urls, Body: `{}`, Header: once("lost")},
		"a bad key":    {Method: "POST", Path: urls, Body: keyed.Body, Header: once("a b")},
		"no key":       {Method: "POST", Path: urls, Body: keyed.Body},
		"another type": {Method: "POST", Path: urls, Body: keyed.Body, Header: http.Header{"Idempotency-Key": {"lost"}, "Content-Type": {"text/plain"}}},
	} {
		t.Run(name, func(t *testing.T) { w.refused(t, "RATE_LIMIT_EXCEEDED", other) })
	}
}

func TestRateLimitSubjects(t *testing.T) {
	w := newWorld(t)
	left := func(who, from string) string {
		t.Helper()
		got := w.must(t, 201, ask{Method: "POST", Path: urls, Who: who, From: from, Body: `{"long_url":"https://example.com"}`})
		return strings.Split(got.Header.Get("RateLimit"), ";")[1]
	}
	for i, c := range []struct{ who, from, want string }{
		{"", "192.0.2.9:1", "r=9"},
		{"", "[::ffff:192.0.2.9]:1", "r=8"},
		{"", "[2001:db8::1]:1", "r=9"},
		{"", "[2001:db8::ffff:ffff:ffff:ffff]:1", "r=8"},
		{"", "[2001:db8:0:1::1]:1", "r=9"},
		{"ann", "192.0.2.9:1", "r=99"},
		{"ann", "[2001:db8::1]:1", "r=98"},
		{"bob", "192.0.2.9:1", "r=99"},
		{"pam", "192.0.2.9:1", "r=999"},
		{"root", "192.0.2.9:1", "r=99"},
	} {
		if got := left(c.who, c.from); got != c.want {
			t.Errorf("%d: %q from %s: %s, want %s", i, c.who, c.from, got, c.want)
		}
	}
}

// lameLimits can't be asked.
type lameLimits struct{}

func (lameLimits) Take(context.Context, ratelimit.Key, ratelimit.Limit, time.Time, int) (ratelimit.Result, error) {
	return ratelimit.Result{}, fault.New(fault.Unavailable, "away")
}

func TestRateLimitOff(t *testing.T) {
	for name, change := range map[string]func(*api.Settings, *link.Settings){
		"off":  func(a *api.Settings, _ *link.Settings) { a.Rates, a.Limits = api.Rates{}, nil },
		"away": func(a *api.Settings, _ *link.Settings) { a.Limits = lameLimits{} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, change)
			for range 12 {
				got := w.must(t, 201, ask{Method: "POST", Path: urls, Body: `{"long_url":"https://example.com"}`})
				if got.Header.Get("RateLimit") != "" || got.Header.Get("RateLimit-Policy") != "" {
					t.Error("RateLimit of what was not counted")
				}
			}
		})
	}
}

func TestKeys(t *testing.T) {
	w := newWorld(t)
	var me map[string]string
	w.must(t, 200, ask{Method: "GET", Path: "/api/v1/me", Who: "pam"}).decode(t, &me)
	if me["id"] != w.users["pam"].ID.String() || me["email"] != "pam@example.com" || me["role"] != "member" || me["tier"] != "premium" || me["key_id"] == "" {
		t.Errorf("me: %v", me)
	}
	a := ask{Method: "POST", Path: "/api/v1/keys", Who: "ann", Body: `{"name":"ci","expires_at":"2026-11-23T00:00:00Z"}`, Header: once("k")}
	made := w.must(t, 201, a)
	if again := w.must(t, 201, a); again.Body != made.Body {
		t.Error("repeated with another key")
	}
	var key struct{ ID, Key, Name, Hint string }
	made.decode(t, &key)
	if _, good := account.ParseSecret(key.Key); !good || key.Name != "ci" || !strings.HasPrefix(key.Key, strings.TrimSuffix(key.Hint, "…")) {
		t.Errorf("key: %s", made.Body)
	}
	withKey := ask{Method: "GET", Path: "/api/v1/me", Header: http.Header{"X-Api-Key": {key.Key}}}
	w.must(t, 200, withKey)
	listed := w.must(t, 200, ask{Method: "GET", Path: "/api/v1/keys", Who: "ann"})
	if strings.Contains(listed.Body, key.Key) || strings.Count(listed.Body, `"id"`) != 2 {
		t.Errorf("keys: %s", listed.Body)
	}
	page := w.must(t, 200, ask{Method: "GET", Path: "/api/v1/keys?limit=1", Who: "ann"})
	if next, _ := page.field(t, "next_cursor").(string); next == "" {
		t.Errorf("the first page of two: %s", page.Body)
	} else {
		w.must(t, 200, ask{Method: "GET", Path: "/api/v1/keys?limit=1&cursor=" + next, Who: "ann"})
	}
	w.refused(t, "NOT_FOUND", ask{Method: "DELETE", Path: "/api/v1/keys/" + key.ID, Who: "bob"})
	w.must(t, 204, ask{Method: "DELETE", Path: "/api/v1/keys/" + key.ID, Who: "ann"})
	w.must(t, 401, withKey)
	w.refused(t, "NOT_FOUND", ask{Method: "DELETE", Path: "/api/v1/keys/nonsense", Who: "ann"})
	for _, c := range []struct{ body, fields string }{
		{`{}`, "name"},
		{`{"name":null}`, "name"},
		{`{"name":" "}`, "name"},
		{`{"name":"` + strings.Repeat("x", 101) + `"}`, "name"},
		{`{"name":"x","expires_at":"2026-11-22T10:00:00Z"}`, "expires_at"},
		{`{"name":"x","role":"admin"}`, "role"},
		{`{"name":1,"expires_at":1}`, "name expires_at"},
	} {
		w.refused(t, "VALIDATION_FAILED", ask{Method: "POST", Path: "/api/v1/keys", Who: "ann", Body: c.body}, strings.Fields(c.fields)...)
	}
}
