package edge_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/edge"
	"kurz/internal/fault"
)

func TestStatus(t *testing.T) {
	for code, want := range map[fault.Code]int{
		fault.InvalidURL: 400, fault.ValidationFailed: 400, fault.MalformedJSON: 400, fault.BadRequest: 400,
		fault.Unauthorized: 401, fault.Forbidden: 403, fault.URLNotFound: 404, fault.NotFound: 404,
		fault.MethodNotAllowed: 405, fault.AliasTaken: 409, fault.AlreadyExists: 409,
		fault.IdempotencyInProgress: 409, fault.URLExpired: 410, fault.URLRevoked: 410,
		fault.PreconditionFailed: 412, fault.PayloadTooLarge: 413, fault.URITooLong: 414,
		fault.UnsupportedMediaType: 415, fault.URLBlocked: 422, fault.IdempotencyKeyReused: 422,
		fault.RateLimitExceeded: 429, fault.HeaderTooLarge: 431, fault.Internal: 500, fault.Unavailable: 503,
		"NO_SUCH_CODE": 500,
	} {
		if got := edge.Status(code); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

// answered runs an error through an Edge's API room, or a page's.
func answered(t *testing.T, path string, err error, header ...string) *http.Response {
	t.Helper()
	s := settings(t)
	room := edge.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("RateLimit", "kept")
		return err
	})
	s.API, s.Web = room, room
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	edge.New(s).ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	return body
}

func TestWriteError(t *testing.T) {
	retry := fault.New(fault.RateLimitExceeded, "slow down")
	retry.RetryAfter = 1500 * time.Millisecond
	for _, c := range []struct {
		name   string
		err    error
		status int
		want   told
		header map[string]string
	}{
		{
			"a fault", fault.New(fault.URLNotFound, "Short code %q not found", "<x>"), 404,
			told{Code: "URL_NOT_FOUND", Message: `Short code "<x>" not found`},
			nil,
		},
		{
			"a wrapped fault", fmt.Errorf("load: %w", fault.New(fault.Forbidden, "not yours")), 403,
			told{Code: "FORBIDDEN", Message: "not yours"},
			nil,
		},
		{"details", fault.Invalid("expires_at", "is in the past"), 400, told{
			Code: "VALIDATION_FAILED", Message: "expires_at: is in the past",
			Details: []fault.Detail{{Field: "expires_at", Reason: "is in the past"}},
		}, nil},
		{"no code", errors.New("secret cause"), 500, told{Code: "INTERNAL", Message: "Internal error"}, nil},
		{"internal", fault.New(fault.Internal, "secret cause"), 500, told{Code: "INTERNAL", Message: "Internal error"}, nil},
		{"unknown code", fault.New("NO_SUCH_CODE", "what"), 500, told{Code: "INTERNAL", Message: "what"}, nil},
		{"no message", fault.New(fault.Forbidden, ""), 403, told{Code: "FORBIDDEN", Message: "Internal error"}, nil},
		{
			"cause", fault.Wrap(fault.Unavailable, errors.New("secret cause"), "later"), 503,
			told{Code: "UNAVAILABLE", Message: "later"},
			map[string]string{"Retry-After": "1"},
		},
		{"retry", retry, 429, told{Code: "RATE_LIMIT_EXCEEDED", Message: "slow down"}, map[string]string{"Retry-After": "2"}},
		{
			"key", fault.New(fault.Unauthorized, "who?"), 401,
			told{Code: "UNAUTHORIZED", Message: "who?"},
			map[string]string{"Www-Authenticate": "Bearer"},
		},
		{
			"method", fmt.Errorf("x: %w", edge.MethodNotAllowed("GET", "POST")), 405,
			told{Code: "METHOD_NOT_ALLOWED", Message: "Use GET, POST here"},
			map[string]string{"Allow": "GET, POST"},
		},
		{
			"too large", fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 9}), 413,
			told{Code: "PAYLOAD_TOO_LARGE", Message: "The body may have at most 9 bytes"},
			nil,
		},
		{
			"too slow", context.DeadlineExceeded, 503,
			told{Code: "UNAVAILABLE", Message: "This takes too long at the moment, try again"},
			map[string]string{"Retry-After": "1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := answered(t, "/api/x", c.err)
			body := text(t, resp)
			got := errorOf(t, resp, body)
			c.want.Status, c.want.RequestID = c.status, got.RequestID
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if strings.Contains(body, "secret") {
				t.Errorf("the cause is shown: %s", body)
			}
			for name, want := range c.header {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
			for name, want := range map[string]string{
				"Etag": "", "Content-Encoding": "", "Ratelimit": "kept", "X-Content-Type-Options": "nosniff",
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestWriteErrorWithoutEdge(t *testing.T) {
	w := httptest.NewRecorder()
	edge.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.Forbidden, "no")
	}).ServeHTTP(w, httptest.NewRequest("GET", "/api/x", nil))
	if w.Code != 403 || !strings.Contains(w.Body.String(), `"FORBIDDEN"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAccept(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
	for _, c := range []struct {
		name, path string
		accept     []string
		page       bool
	}{
		{"none", "/setup", nil, false},
		{"empty", "/setup", []string{""}, false},
		{"curl", "/setup", []string{"*/*"}, false},
		{"browser", "/setup", []string{browser}, true},
		{"browser on a link", "/nothing", []string{browser}, true},
		{"browser elsewhere", "/no/such/page", []string{browser}, true},
		{"browser on the API", "/api/x", []string{browser}, false},
		{"browser on the root of the API", "/api", []string{browser}, false},
		{"browser on shorten", "/shorten", []string{browser}, false},
		{"old browser", "/setup", []string{"text/html, image/gif, */*; q=.2"}, true},
		{"tie with a wildcard", "/setup", []string{"text/html, */*"}, true},
		{"tie with JSON", "/setup", []string{"text/html, application/json"}, false},
		{"JSON first", "/setup", []string{"application/json, text/html;q=0.9"}, false},
		{"HTML first", "/setup", []string{"application/json;q=0.8, text/html"}, true},
		{"two lines", "/setup", []string{"application/json;q=0.8", "TEXT/HTML"}, true},
		{"refused HTML", "/setup", []string{"text/html;q=0, */*"}, false},
		{"bad weight", "/setup", []string{"text/html;q=much"}, false},
		{"weight out of range", "/setup", []string{"text/html;q=7"}, false},
		{"problem JSON", "/setup", []string{"application/problem+json, text/html;q=0.5"}, false},
		{"parameters", "/setup", []string{"text/html; charset=utf-8 ; Q=0.9, */*;q=0.1"}, true},
		{"wildcard wins", "/setup", []string{"text/html;q=0.1, */*;q=0.9"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			for _, a := range c.accept {
				header = append(header, "Accept", a)
			}
			resp := answered(t, c.path, fault.New(fault.Forbidden, "no"), header...)
			page := strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html")
			if page != c.page {
				t.Errorf("page %v, want %v", page, c.page)
			}
			if resp.Header.Get("Vary") != "Accept" {
				t.Errorf("Vary %q", resp.Header.Get("Vary"))
			}
		})
	}
}

func TestPage(t *testing.T) {
	resp := answered(t, "/setup", fault.New(fault.URLNotFound, "Short code '<script>x' not found"),
		"Accept", "text/html", "X-Request-Id", "the-one")
	body := text(t, resp)
	for _, want := range []string{"This link does not exist", "&lt;script&gt;x", "404", "the-one", "prefers-color-scheme", "viewport", "Capital and small letters", `href="/favicon.ico"`} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if strings.Contains(body, "<script") {
		t.Error("page has a script")
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body)
	if style == nil {
		t.Fatal("page has no style")
	}
	policy := resp.Header.Get("Content-Security-Policy")
	if want := "'" + sha256Source(style[1]) + "'"; !strings.Contains(policy, want) || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("policy %q lacks %s", policy, want)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Content-Type": "text/html; charset=utf-8",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, err := range []error{errors.New("secret cause"), fault.New(fault.UnsupportedMediaType, "secret-free")} {
		if body := text(t, answered(t, "/setup", err, "Accept", "text/html")); strings.Contains(body, "secret cause") {
			t.Errorf("the cause is shown: %s", body)
		}
	}
}

func TestHeadHasNoBody(t *testing.T) {
	w := httptest.NewRecorder()
	edge.New(settings(t)).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/nothing", nil))
	if w.Code != 404 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
		t.Errorf("%d, %d bytes, header %v", w.Code, w.Body.Len(), w.Header())
	}
}

func TestClientGone(t *testing.T) {
	log := &lines{}
	s := settings(t)
	s.Logger = logger(log)
	s.API = edge.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error { return r.Context().Err() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	edge.New(s).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/api/x", nil))
	if w.Code != 503 || strings.Contains(log.String(), "request failed") {
		t.Errorf("%d, log %s", w.Code, log)
	}
}
