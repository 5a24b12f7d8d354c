package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/client"
)

// script answers requests one after the other and keeps what was asked.
type script struct {
	answers []answer
	asked   []*http.Request
	bodies  []string
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if len(s.asked) == len(s.answers) {
		return nil, fmt.Errorf("request %d was not expected", len(s.asked)+1)
	}
	a := s.answers[len(s.asked)]
	s.asked, s.bodies = append(s.asked, r), append(s.bodies, string(body))
	if a.err != nil {
		return nil, a.err
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json")
	for name, values := range a.header {
		rec.Header()[name] = values
	}
	rec.WriteHeader(a.status)
	_, _ = rec.WriteString(a.body)
	return rec.Result(), nil
}

func (s *script) client(t *testing.T, options ...client.Option) *client.Client {
	t.Helper()
	options = append(options, client.WithHTTPClient(&http.Client{Transport: s}))
	c, err := client.New("https://go.example/", options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const refusal = `{"error":{"code":"%s","message":"no","status":%d,"request_id":"req_1"}}`

func refused(status int, code, retryAfter string) answer {
	return answer{status: status, header: http.Header{"Retry-After": {retryAfter}}, body: fmt.Sprintf(refusal, code, status)}
}

func TestCreateSendsWhatIsAskedFor(t *testing.T) {
	s := &script{answers: []answer{{status: 201, header: http.Header{"Etag": {`"1"`}}, body: `{"short_code":"abc","short_url":"https://go.example/abc","expires_at":null,"owner":null,"created_at":"2026-11-22T00:00:00.5Z"}`}}}
	got, err := s.client(t, client.WithKey("kurz_k")).Create(t.Context(), client.NewLink{
		LongURL: "https://example.org/", ExpiresAt: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Tags: []string{"a"}, IdempotencyKey: "mine",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &client.Link{ShortCode: "abc", ShortURL: "https://go.example/abc", ETag: `"1"`, CreatedAt: time.Date(2026, 11, 22, 0, 0, 0, 5e8, time.UTC)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("link (-want +got):\n%s", diff)
	}
	if want := `{"long_url":"https://example.org/","expires_at":"2030-01-01T00:00:00Z","tags":["a"]}`; s.bodies[0] != want {
		t.Errorf("body %s, want %s", s.bodies[0], want)
	}
	r := s.asked[0]
	for name, want := range map[string]string{"Authorization": "Bearer kurz_k", "Idempotency-Key": "mine", "Content-Type": "application/json", "Accept": "application/json"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r.URL.String() != "https://go.example/api/v1/urls" {
		t.Errorf("asked %s", r.URL)
	}
}

func TestRetries(t *testing.T) {
	ok := answer{status: 200, body: `{"short_code":"abc"}`}
	broken := answer{err: errors.New("connection reset")}
	tests := []struct {
		name    string
		answers []answer
		call    func(context.Context, *client.Client) error
		wait    time.Duration // at least
		code    string
	}{
		{"a create that is told to wait", []answer{refused(429, "RATE_LIMIT_EXCEEDED", "3"), refused(503, "UNAVAILABLE", ""), ok}, shorten, 3 * time.Second, ""},
		{"a create whose connection breaks", []answer{broken, ok}, shorten, 0, ""},
		{"a create that is still running", []answer{refused(409, "IDEMPOTENCY_IN_PROGRESS", "1"), ok}, shorten, time.Second, ""},
		{"too long to wait", []answer{refused(429, "RATE_LIMIT_EXCEEDED", "11")}, shorten, 0, "RATE_LIMIT_EXCEEDED"},
		{"too often", []answer{refused(503, "UNAVAILABLE", "1"), refused(503, "UNAVAILABLE", "1"), refused(503, "UNAVAILABLE", "1"), refused(503, "UNAVAILABLE", "1")}, shorten, 3 * time.Second, "UNAVAILABLE"},
		{"not what waiting mends", []answer{refused(409, "ALIAS_TAKEN", "")}, shorten, 0, "ALIAS_TAKEN"},
		{"an internal error", []answer{refused(500, "INTERNAL", "")}, shorten, 0, "INTERNAL"},
		{"a patch that is told to wait", []answer{refused(503, "UNAVAILABLE", "1"), ok}, patch, time.Second, ""},
		{"a patch whose connection breaks", []answer{broken}, patch, 0, "broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tt.answers}
				start := time.Now()
				err := tt.call(t.Context(), s.client(t))
				switch e, typed := errors.AsType[*client.Error](err); {
				case tt.code == "" && err != nil, tt.code == "broken" && (err == nil || typed):
					t.Errorf("error %v", err)
				case tt.code != "" && tt.code != "broken" && (!typed || e.Code != tt.code || !client.Is(err, tt.code)):
					t.Errorf("error %v, want %s", err, tt.code)
				}
				if waited := time.Since(start); waited < tt.wait || tt.wait == 0 && waited > time.Second {
					t.Errorf("waited %s, want %s", waited, tt.wait)
				}
				if len(s.asked) != len(tt.answers) {
					t.Errorf("asked %d times, want %d", len(s.asked), len(tt.answers))
				}
				for i, r := range s.asked {
					if key := r.Header.Get("Idempotency-Key"); r.Method == "POST" && (key == "" || key != s.asked[0].Header.Get("Idempotency-Key")) {
						t.Errorf("request %d has the key %q", i, key)
					}
					if s.bodies[i] != s.bodies[0] {
						t.Errorf("request %d has another body", i)
					}
				}
			})
		})
	}
}

func shorten(ctx context.Context, c *client.Client) error {
	_, err := c.Shorten(ctx, "https://example.org/")
	return err
}

func patch(ctx context.Context, c *client.Client) error {
	title := "t"
	_, err := c.Update(ctx, "abc", client.Patch{Title: &title})
	return err
}

func TestNoRetryPastTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		s := &script{answers: []answer{refused(503, "UNAVAILABLE", "5")}}
		start := time.Now()
		if err := shorten(ctx, s.client(t)); !client.Is(err, client.CodeUnavailable) {
			t.Errorf("error %v, want the server's", err)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %s for nothing", waited)
		}
	})
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name   string
		answer answer
		want   client.Error
		text   string
	}{
		{
			"of kurz",
			answer{status: 400, body: `{"error":{"code":"VALIDATION_FAILED","message":"two fields","status":400,"request_id":"req_9","details":[{"field":"a","reason":"x"},{"field":"b","reason":"y"}]}}`},
			client.Error{Code: "VALIDATION_FAILED", Message: "two fields", Status: 400, RequestID: "req_9", Details: []client.Detail{{Field: "a", Reason: "x"}, {Field: "b", Reason: "y"}}},
			"two fields (VALIDATION_FAILED, request req_9)\n  a x\n  b y",
		},
		{
			"of something before it",
			answer{status: 502, header: http.Header{"Content-Type": {"text/html"}, "X-Request-Id": {"p1"}}, body: "<h1>"},
			client.Error{Message: "the server answered 502 Bad Gateway", Status: 502, RequestID: "p1"},
			"the server answered 502 Bad Gateway",
		},
		{"of other JSON", answer{status: 418, body: `[]`}, client.Error{Message: "the server answered 418 I'm a teapot", Status: 418}, "the server answered 418 I'm a teapot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{answers: []answer{tt.answer}}
			_, err := s.client(t).Get(t.Context(), "abc")
			got, ok := errors.AsType[*client.Error](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, *got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if err.Error() != tt.text {
				t.Errorf("text %q, want %q", err, tt.text)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	empty := ""
	never := time.Time{}
	status := 301
	tests := []struct {
		name string
		call func(context.Context, *client.Client) error
		want string
		body string
	}{
		{"get", func(ctx context.Context, c *client.Client) error { _, err := c.Get(ctx, "a/b"); return err }, "GET /api/v1/urls/a%2Fb", ""},
		{"get on a domain", func(ctx context.Context, c *client.Client) error {
			_, err := c.On("s.example").Get(ctx, "abc")
			return err
		}, "GET /api/v1/urls/abc?domain=s.example", ""},
		{"create on a domain", func(ctx context.Context, c *client.Client) error {
			_, err := c.On("s.example").Shorten(ctx, "x")
			return err
		}, "POST /api/v1/urls", `{"long_url":"x","domain":"s.example"}`},
		{"update", func(ctx context.Context, c *client.Client) error {
			_, err := c.Update(ctx, "abc", client.Patch{ExpiredURL: &empty, Title: &empty, ExpiresAt: &never, RedirectStatus: &status, IfMatch: `"3"`})
			return err
		}, "PATCH /api/v1/urls/abc", `{"expired_url":null,"expires_at":null,"redirect_status":301,"title":""}`},
		{"delete", func(ctx context.Context, c *client.Client) error { return c.Delete(ctx, "abc") }, "DELETE /api/v1/urls/abc", ""},
		{"stats", func(ctx context.Context, c *client.Client) error {
			_, err := c.Stats(ctx, "abc", client.Stats{From: time.Unix(0, 0), Interval: "day", TimeZone: "UTC", Kind: "all", Top: 3, Filters: url.Values{"country": {"DE", "FR"}}})
			return err
		}, "GET /api/v1/urls/abc/stats?country=DE&country=FR&from=1970-01-01T00%3A00%3A00Z&interval=day&kind=all&top=3&tz=UTC", ""},
		{"all stats", func(ctx context.Context, c *client.Client) error {
			_, err := c.AllStats(ctx, client.Stats{})
			return err
		}, "GET /api/v1/stats", ""},
		{"me", func(ctx context.Context, c *client.Client) error { _, err := c.Me(ctx); return err }, "GET /api/v1/me", ""},
		{"create key", func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateKey(ctx, client.NewKey{Name: "ci"})
			return err
		}, "POST /api/v1/keys", `{"name":"ci"}`},
		{"revoke key", func(ctx context.Context, c *client.Client) error { return c.RevokeKey(ctx, "key_1") }, "DELETE /api/v1/keys/key_1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{answers: []answer{{status: 200, body: "{}"}}}
			if err := tt.call(t.Context(), s.client(t)); err != nil {
				t.Fatal(err)
			}
			if got := s.asked[0].Method + " " + s.asked[0].URL.RequestURI(); got != tt.want {
				t.Errorf("asked %s, want %s", got, tt.want)
			}
			if s.bodies[0] != tt.body {
				t.Errorf("body %s, want %s", s.bodies[0], tt.body)
			}
		})
	}
}

func TestListGoesThroughThePages(t *testing.T) {
	page := func(next any, codes ...string) answer {
		items := []map[string]string{}
		for _, code := range codes {
			items = append(items, map[string]string{"short_code": code})
		}
		body, err := json.Marshal(map[string]any{"items": items, "next_cursor": next})
		if err != nil {
			t.Fatal(err)
		}
		return answer{status: 200, body: string(body)}
	}
	s := &script{answers: []answer{page("c1", "a", "b"), page("c2"), page(nil, "c")}}
	var got []string
	for l, err := range s.client(t).List(t.Context(), client.Filter{Text: "x", PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, l.ShortCode)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	var queries []string
	for _, r := range s.asked {
		queries = append(queries, r.URL.RawQuery)
	}
	if diff := cmp.Diff([]string{"limit=2&q=x", "cursor=c1&limit=2&q=x", "cursor=c2&limit=2&q=x"}, queries); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}

	s = &script{answers: []answer{page("c1", "a"), {status: 401, body: fmt.Sprintf(refusal, "UNAUTHORIZED", 401)}}}
	var last error
	n := 0
	for _, err := range s.client(t).List(t.Context(), client.Filter{}) {
		n++
		last = err
	}
	if n != 2 || !client.Is(last, client.CodeUnauthorized) {
		t.Errorf("%d items, the last with %v", n, last)
	}

	s = &script{answers: []answer{page("c1", "a", "b")}}
	for range s.client(t).List(t.Context(), client.Filter{}) {
		break
	}
	if len(s.asked) != 1 {
		t.Errorf("asked %d times after the loop ended", len(s.asked))
	}
}

func TestServersAddress(t *testing.T) {
	for _, bad := range []string{"", "go.example", "ftp://go.example", "https://", "https://u:p@go.example", "https://go.example?x", "https://go.example#x", "http://[::1"} {
		if _, err := client.New(bad); err == nil {
			t.Errorf("%q is taken for a server", bad)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("the message shows a password: %v", err)
		}
	}
	s := &script{answers: []answer{{status: 200, body: "{}"}}}
	c, err := client.New("https://example.org/kurz/", client.WithHTTPClient(&http.Client{Transport: s}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	if got := s.asked[0].URL.String(); got != "https://example.org/kurz/api/v1/urls/a%2Fb" {
		t.Errorf("asked %s", got)
	}
}
