package edge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/edge"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/ratelimit"
	"kurz/internal/redirect"
)

// store has a link for each kind of answer.
type store struct{}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func (store) Route(_ context.Context, k link.Key) (link.Route, error) {
	r := link.Route{ID: 1, Version: 1, Destination: "https://a.example/x?y=1", Status: 302}
	switch k.Code {
	case "found":
	case "moved":
		r.Status, r.EdgeTTL = 301, time.Minute
	case "forward":
		r.Status, r.ForwardQuery = 307, true
	case "permanent":
		r.Status = 308
	case "expired":
		r.ExpiresAt = time.Unix(1, 0)
	case "revoked":
		r.RevokedAt = time.Unix(1, 0)
	case "blocked":
		r.Destination = "https://bad.example/"
	case "down":
		return link.Route{}, fault.Wrap(fault.Unavailable, errors.New("secret cause"), "The database can't be asked")
	case "broken":
		panic("secret cause")
	default:
		return link.Route{}, fault.New(fault.URLNotFound, "not there")
	}
	return r, nil
}

func (store) Walk(context.Context, link.Key, int) ([]link.Key, error) { return nil, nil }

func (store) Changes(context.Context, int64) ([]link.Key, int64, error) { return nil, 0, nil }

type recorder struct{}

func (recorder) Record(*click.Visit) error { return nil }

func domains(t testing.TB) *link.Domains {
	t.Helper()
	d, err := link.NewDomains(&url.URL{Scheme: "https", Host: "kurz.example"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// redirects makes a real handler for the store, with a limit of quota a minute.
func redirects(t testing.TB, quota int) *redirect.Handler {
	t.Helper()
	return redirect.New(redirect.Settings{
		Resolver: redirect.NewResolver(redirect.ResolverSettings{Memory: memory.NewRoutes(100), Store: store{}}),
		Recorder: recorder{}, Domains: domains(t), Blocklist: link.NewBlocklist([]string{"bad.example"}),
		Limits: memory.NewLimits(1000), Limit: ratelimit.Limit{Name: "redirect", Quota: quota, Window: time.Minute},
	})
}

// named is a room that says who it is.
func named(name string) http.Handler {
	return edge.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		_, err := fmt.Fprintf(w, "%s %s", name, r.URL.Path)
		return err
	})
}

// settings are those of an Edge with all rooms.
func settings(t testing.TB) edge.Settings {
	return edge.Settings{
		Redirect: redirects(t, 0), Preview: named("preview"), API: named("api"),
		Web: named("web"), Ops: named("ops"),
	}
}

// serve runs an Edge on a socket of its own until the test ends.
func serve(t *testing.T, s edge.Settings) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- edge.New(s).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// ask sends a request and gives the answer with its body; it follows nothing.
func ask(t *testing.T, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// told is the error of a JSON answer.
type told struct {
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Status    int            `json:"status"`
	RequestID string         `json:"request_id"`
	Details   []fault.Detail `json:"details"`
}

// errorOf reads an error's JSON form, strictly, and checks what holds for all.
func errorOf(t testing.TB, resp *http.Response, body string) told {
	t.Helper()
	var e struct {
		Error told `json:"error"`
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	if e.Error.Status != resp.StatusCode {
		t.Errorf("status %d says it is %d", resp.StatusCode, e.Error.Status)
	}
	if id := resp.Header.Get("X-Request-Id"); id == "" || e.Error.RequestID != id {
		t.Errorf("request id %q in the header, %q in the body", id, e.Error.RequestID)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q", got)
	}
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("cache control %q", got)
	}
	return e.Error
}

func TestDispatch(t *testing.T) {
	base := "http://" + serve(t, settings(t))
	for _, c := range []struct {
		method, path string
		status       int
		want         string // the body, the Location, or the error's code
	}{
		{"GET", "/", 200, "web /"},
		{"POST", "/", 200, "web /"},
		{"GET", "/?a=b", 200, "web /"},
		{"GET", "/setup?token=x", 200, "web /setup"},
		{"GET", "/robots.txt", 200, "web /robots.txt"},
		{"GET", "/favicon.ico", 200, "web /favicon.ico"},
		{"GET", "/assets/a.css", 200, "web /assets/a.css"},
		{"GET", "/assets", 404, "URL_NOT_FOUND"},
		{"GET", "/api", 200, "api /api"},
		{"GET", "/api/", 200, "api /api/"},
		{"PATCH", "/api/v1/urls/abc", 200, "api /api/v1/urls/abc"},
		{"POST", "/shorten", 200, "api /shorten"},
		{"GET", "/shorten/x", 404, "NOT_FOUND"},
		{"GET", "/health", 200, "ops /health"},
		{"GET", "/health/ready", 200, "ops /health/ready"},
		{"GET", "/healthy", 404, "URL_NOT_FOUND"},
		{"GET", "/metrics", 200, "ops /metrics"},
		{"GET", "/found", 302, "https://a.example/x?y=1"},
		{"HEAD", "/found", 302, "https://a.example/x?y=1"},
		{"GET", "/found?x=1", 302, "https://a.example/x?y=1"},
		{"GET", "/found?", 302, "https://a.example/x?y=1"},
		{"GET", "/moved", 301, "https://a.example/x?y=1"},
		{"GET", "/forward?z=2", 307, "https://a.example/x?y=1&z=2"},
		{"GET", "/permanent", 308, "https://a.example/x?y=1"},
		{"GET", "/found+", 200, "preview /found+"},
		{"HEAD", "/found+", 200, ""},
		{"POST", "/found+", 405, "METHOD_NOT_ALLOWED"},
		{"POST", "/found", 405, "METHOD_NOT_ALLOWED"},
		{"OPTIONS", "/found", 405, "METHOD_NOT_ALLOWED"},
		{"BREW", "/found", 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/nothing", 404, "URL_NOT_FOUND"},
		{"GET", "/%66ound", 302, "https://a.example/x?y=1"}, // RFC 3986, section 6.2.2.2
		{"GET", "/a%2Fb", 404, "URL_NOT_FOUND"},
		{"GET", "/%00", 404, "URL_NOT_FOUND"},
		{"GET", "/%2e%2e", 404, "URL_NOT_FOUND"},
		{"GET", "/..", 404, "URL_NOT_FOUND"},
		{"GET", "/.env", 404, "URL_NOT_FOUND"},
		{"GET", "/a", 404, "URL_NOT_FOUND"},
		{"GET", "/%E4%BD%A0", 404, "URL_NOT_FOUND"},
		{"GET", "/expired", 410, "URL_EXPIRED"},
		{"GET", "/revoked", 410, "URL_REVOKED"},
		{"GET", "/blocked", 422, "URL_BLOCKED"},
		{"GET", "/down", 503, "UNAVAILABLE"},
		{"GET", "/broken", 500, "INTERNAL"},
		{"GET", "/found/", 404, "NOT_FOUND"},
		{"GET", "/found/x", 404, "NOT_FOUND"},
		{"POST", "/found/x", 404, "NOT_FOUND"},
		{"GET", "//", 404, "NOT_FOUND"},
		{"GET", "//found", 404, "NOT_FOUND"},
		{"GET", "//evil.example/found", 404, "NOT_FOUND"},
		{"GET", "/../found", 404, "NOT_FOUND"},
		{"GET", "/./found", 404, "NOT_FOUND"},
		{"GET", "/api/../found", 404, "NOT_FOUND"},
		{"GET", "/api//v1", 404, "NOT_FOUND"},
		{"GET", "/api/%2e%2e/found", 404, "NOT_FOUND"},
		{"GET", "/api/v1/..", 404, "NOT_FOUND"},
		{"GET", "/api/%2F", 404, "NOT_FOUND"},
		{"GET", "/health/.", 404, "NOT_FOUND"},
		{"GET", "/" + strings.Repeat("a", 8191), 404, "URL_NOT_FOUND"},
		{"GET", "/" + strings.Repeat("a", 8192), 414, "URI_TOO_LONG"},
		{"GET", "/found?" + strings.Repeat("a", 8192), 414, "URI_TOO_LONG"},
		{"GET", "/api/" + strings.Repeat("a", 8192), 414, "URI_TOO_LONG"},
	} {
		name := c.method + " " + c.path
		if len(name) > 40 {
			name = name[:40]
		}
		t.Run(name, func(t *testing.T) {
			resp, body := ask(t, c.method, base+c.path)
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d; body %s", resp.StatusCode, c.status, body)
			}
			if resp.Header.Get("X-Request-Id") == "" {
				t.Error("no X-Request-Id")
			}
			switch {
			case c.status >= 400:
				if e := errorOf(t, resp, body); e.Code != c.want {
					t.Errorf("code %s, want %s", e.Code, c.want)
				}
			case c.status >= 300:
				if got := resp.Header.Get("Location"); got != c.want || body != "" || resp.Header.Get("Content-Length") != "0" {
					t.Errorf("location %q, want %q; body %q", got, c.want, body)
				}
			case body != c.want:
				t.Errorf("body %q, want %q", body, c.want)
			}
			switch allow := resp.Header.Get("Allow"); {
			case c.status == 405 && allow != "GET, HEAD", c.status != 405 && allow != "":
				t.Errorf("Allow %q", allow)
			}
			if got := resp.Header.Get("Retry-After"); (got != "") != (c.status == 503 || c.status == 429) {
				t.Errorf("Retry-After %q", got)
			}
			if strings.Contains(body, "secret") {
				t.Errorf("the cause is shown: %s", body)
			}
		})
	}
}

func TestHeaderTooLarge(t *testing.T) {
	base := "http://" + serve(t, settings(t))
	for _, c := range []struct {
		size, status int
	}{{31 << 10, 302}, {33 << 10, 431}, {100 << 10, 431}} {
		resp, body := ask(t, "GET", base+"/found", "X-Big", strings.Repeat("a", c.size))
		if resp.StatusCode != c.status {
			t.Errorf("%d bytes: status %d", c.size, resp.StatusCode)
		} else if c.status == 431 {
			if e := errorOf(t, resp, body); e.Code != "HEADER_TOO_LARGE" {
				t.Errorf("%d bytes: code %s", c.size, e.Code)
			}
		}
	}
}

func TestRooms(t *testing.T) {
	s := settings(t)
	s.Preview, s.API, s.Web, s.Ops = nil, nil, nil, nil
	base := "http://" + serve(t, s)
	for path, want := range map[string]string{
		"/": "NOT_FOUND", "/api/x": "NOT_FOUND", "/metrics": "NOT_FOUND", "/found+": "URL_NOT_FOUND",
	} {
		resp, body := ask(t, "GET", base+path)
		if e := errorOf(t, resp, body); e.Code != want {
			t.Errorf("%s: %s, want %s", path, e.Code, want)
		}
	}
}

func TestRequestID(t *testing.T) {
	s := settings(t)
	s.API = edge.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, edge.RequestID(r.Context()))
		return err
	})
	base := "http://" + serve(t, s)
	for _, c := range []struct {
		name  string
		given []string
		kept  bool
	}{
		{"well-formed", []string{"Az09._-"}, true},
		{"longest", []string{strings.Repeat("x", 64)}, true},
		{"too long", []string{strings.Repeat("x", 65)}, false},
		{"odd bytes", []string{"a b"}, false},
		{"markup", []string{"<b>"}, false},
		{"two", []string{"a", "b"}, false},
		{"empty", []string{""}, false},
		{"none", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			for _, v := range c.given {
				header = append(header, "X-Request-Id", v)
			}
			for _, path := range []string{"/api", "/found", "/nothing"} {
				resp, body := ask(t, "GET", base+path, header...)
				id := resp.Header.Get("X-Request-Id")
				switch {
				case len(resp.Header["X-Request-Id"]) != 1:
					t.Errorf("ids %q", resp.Header["X-Request-Id"])
				case c.kept && id != c.given[0]:
					t.Errorf("%s: id %q, given %q", path, id, c.given)
				case !c.kept && (!strings.HasPrefix(id, "req_") || len(id) != 16):
					t.Errorf("%s: id %q", path, id)
				case path == "/api" && body != id:
					t.Errorf("RequestID %q, header %q", body, id)
				}
			}
		})
	}
	one, _ := ask(t, "GET", base+"/found")
	two, _ := ask(t, "GET", base+"/found")
	if one.Header.Get("X-Request-Id") == two.Header.Get("X-Request-Id") {
		t.Error("two requests with one id")
	}
}

// dry is a source of randomness that has none.
type dry struct{}

func (dry) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestRequestIDWithoutRandomness(t *testing.T) {
	s := settings(t)
	s.Rand = dry{}
	resp, _ := ask(t, "GET", "http://"+serve(t, s)+"/found")
	if got := resp.Header.Get("X-Request-Id"); got != "req_000000000000" || resp.StatusCode != 302 {
		t.Errorf("%d, id %q", resp.StatusCode, got)
	}
}

func TestOutsideARequest(t *testing.T) {
	if id, client := edge.RequestID(t.Context()), edge.Client(t.Context()); id != "" || client.IsValid() {
		t.Errorf("id %q, client %s", id, client)
	}
	edge.SetRoute(t.Context(), "x")
	addr := netip.MustParseAddr("192.0.2.1")
	ctx := edge.NewContext(t.Context(), "req_1", addr)
	if id, client := edge.RequestID(ctx), edge.Client(ctx); id != "req_1" || client != addr {
		t.Errorf("id %q, client %s", id, client)
	}
}

func TestRateLimit(t *testing.T) {
	s := settings(t)
	s.Redirect = redirects(t, 4)
	base := "http://" + serve(t, s)
	for i, path := range []string{"/found", "/nothing", "/revoked", "/found+"} {
		resp, body := ask(t, "GET", base+path)
		want := fmt.Sprintf(`"redirect";r=%d;`, 3-i)
		if got := resp.Header.Get("RateLimit"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: RateLimit %q, want %s…; %s", path, got, want, body)
		}
		if got := resp.Header.Get("RateLimit-Policy"); got != `"redirect";q=4;w=60` {
			t.Errorf("%s: RateLimit-Policy %q", path, got)
		}
	}
	for _, path := range []string{"/found", "/found+"} {
		resp, body := ask(t, "GET", base+path)
		e := errorOf(t, resp, body)
		if e.Code != "RATE_LIMIT_EXCEEDED" || resp.Header.Get("RateLimit") == "" || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s, header %v", path, e.Code, resp.Header)
		}
	}
	if resp, _ := ask(t, "GET", base+"/api"); resp.StatusCode != 200 || resp.Header.Get("RateLimit") != "" {
		t.Errorf("the API is counted here: %d", resp.StatusCode)
	}
}
