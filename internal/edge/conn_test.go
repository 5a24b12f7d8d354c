package edge_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/edge"
	"kurz/internal/redirect"
)

// send writes bytes to a server and reads all answers until it hangs up.
func send(t *testing.T, c net.Conn, raw string) string {
	t.Helper()
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(c, raw) }()
	answer, err := io.ReadAll(c)
	if err != nil && len(answer) == 0 {
		t.Fatal(err)
	}
	return string(answer)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answers reads a run of responses.
func answers(t *testing.T, raw string, n int) (all []*http.Response, bodies []string) {
	t.Helper()
	b := bufio.NewReader(strings.NewReader(raw))
	for range n {
		resp, err := http.ReadResponse(b, &http.Request{Method: "GET"})
		if err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		all, bodies = append(all, resp), append(bodies, string(body))
	}
	if rest, _ := io.ReadAll(b); len(rest) > 0 {
		t.Errorf("behind the answers: %q", rest)
	}
	return all, bodies
}

func TestMalformed(t *testing.T) {
	s, o := settings(t), &seen{note: make(chan struct{}, 100)}
	s.Observer = o
	addr := serve(t, s)
	for _, c := range []struct {
		name, raw string
		status    int
		code      string
		text      string // in the message
	}{
		{"garbage", "garbage\r\n\r\n", 400, "BAD_REQUEST", "well-formed"},
		{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "BAD_REQUEST", ""},
		{"no host", "GET /found HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST", "missing required Host header"},
		{"two hosts", "GET /found HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "BAD_REQUEST", ""},
		{"bad host", "GET /found HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "BAD_REQUEST", "malformed Host header"},
		{"bad header name", "GET /found HTTP/1.1\r\nHost: a\r\nA\x01: b\r\n\r\n", 400, "BAD_REQUEST", ""},
		{"bad header value", "GET /found HTTP/1.1\r\nHost: a\r\nA: \x01\r\n\r\n", 400, "BAD_REQUEST", ""},
		{"no colon", "GET /found HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n", 400, "BAD_REQUEST", ""},
		{"space before the colon", "GET /found HTTP/1.1\r\nHost : a\r\n\r\n", 400, "BAD_REQUEST", ""},
		{"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "BAD_REQUEST", ""},
		{"bad length", "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "BAD_REQUEST", ""},
		{"two lengths", "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400, "BAD_REQUEST", ""},
		{"unknown coding", "POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: zip\r\n\r\n", 501, "BAD_REQUEST", "transfer encoding"},
		{"version 2.0", "GET /found HTTP/2.0\r\nHost: a\r\n\r\n", 505, "BAD_REQUEST", "unsupported protocol version"},
		{"version 9", "GET /found HTTP/9.1\r\nHost: a\r\n\r\n", 505, "BAD_REQUEST", "unsupported protocol version"},
		{"expectation", "GET /found HTTP/1.1\r\nHost: a\r\nExpect: the worst\r\n\r\n", 417, "BAD_REQUEST", "Expect"},
		{"expectation of 1.0", "GET /found HTTP/1.0\r\nExpect: the worst\r\n\r\n", 417, "BAD_REQUEST", "Expect"},
		{"huge header", "GET /found HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("a", 200<<10) + "\r\n\r\n", 431, "HEADER_TOO_LARGE", "32768"},
		{"huge target", "GET /" + strings.Repeat("a", 200<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 431, "HEADER_TOO_LARGE", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, before := range []string{"", "GET /found HTTP/1.1\r\nHost: a\r\n\r\n"} {
				n := 1
				if before != "" {
					n = 2 // on a connection that was used, too
				}
				all, bodies := answers(t, send(t, dial(t, addr), before+c.raw), n)
				resp, body := all[n-1], bodies[n-1]
				if resp.StatusCode != c.status || !resp.Close {
					t.Fatalf("status %d, want %d; close %v", resp.StatusCode, c.status, resp.Close)
				}
				e := errorOf(t, resp, body)
				if e.Code != c.code || !strings.Contains(e.Message, c.text) {
					t.Errorf("got %+v", e)
				}
				if resp.Header.Get("Date") == "" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("header %v", resp.Header)
				}
				for range n {
					<-o.note
				}
			}
		})
	}
	if got := o.told[0]; got != "malformed OTHER 400 true" {
		t.Errorf("observed %s", got)
	}
}

func TestWellFormedButOdd(t *testing.T) {
	addr := serve(t, settings(t))
	for _, c := range []struct {
		name, raw string
		status    int
		want      string // in the answer
	}{
		{"options of the server", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 204, "Allow: GET"},
		{"star", "GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404, "NOT_FOUND"},
		{"connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n", 405, "METHOD_NOT_ALLOWED"},
		{"absolute form", "GET http://a/found HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 302, "https://a.example/"},
		{"absolute form without a path", "GET http://a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404, "NOT_FOUND"},
		{"HTTP/1.0", "GET /found HTTP/1.0\r\n\r\n", 302, "https://a.example/"},
		{"bytes above ASCII", "GET /\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404, "URL_NOT_FOUND"},
		{"a body", "GET /found HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", 302, "https://a.example/"},
		{"folded header", "GET /found HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\nConnection: close\r\n\r\n", 302, "https://a.example/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := send(t, dial(t, addr), c.raw)
			all, _ := answers(t, raw, 1)
			if all[0].StatusCode != c.status || !strings.Contains(raw, c.want) || all[0].Header.Get("X-Request-Id") == "" {
				t.Errorf("got %q", raw)
			}
		})
	}
}

// TestBodyThatLooksLikeAnError sends, in a handler's answer, what net/http
// writes about malformed requests: it must arrive as it is.
func TestBodyThatLooksLikeAnError(t *testing.T) {
	const fake = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	s := settings(t)
	s.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, fake)
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, strings.Repeat(fake, 500))
	})
	addr := serve(t, s)
	// HTTP/1.0: the body is sent bare.
	raw := send(t, dial(t, addr), "GET /api HTTP/1.0\r\n\r\n")
	if _, body, _ := strings.Cut(raw, "\r\n\r\n"); body != strings.Repeat(fake, 501) {
		t.Errorf("body of %d bytes changed", len(body))
	}
	raw = send(t, dial(t, addr), "GET /api HTTP/1.1\r\nHost: a\r\n\r\nGET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	_, bodies := answers(t, raw, 2)
	for _, body := range bodies {
		if body != strings.Repeat(fake, 501) {
			t.Errorf("body of %d bytes changed", len(body))
		}
	}
}

// TestAppendToIsWriteTo compares the two ways in which a redirect is written.
func TestAppendToIsWriteTo(t *testing.T) {
	s := settings(t)
	s.Redirect, s.NetHTTP = redirects(t, 1000), true
	s.Now = func() time.Time { return noon }
	handler := redirects(t, 1000)
	addr := serve(t, s)
	for _, path := range []string{"found", "moved", "forward", "permanent", "forward?a=b&c='d'", "found?x"} {
		for _, method := range []string{"GET", "HEAD"} {
			raw := send(t, dial(t, addr), method+" /"+path+" HTTP/1.1\r\nHost: a\r\nX-Request-Id: one\r\nConnection: close\r\n\r\n")
			var p redirect.Response
			p.RequestID, p.Close = "one", true
			q := redirect.Request{Head: method == "HEAD", Host: "a", Now: noon, Client: netip.MustParseAddr("127.0.0.1")}
			q.Path, q.Query, _ = strings.Cut(path, "?")
			if err := handler.Answer(t.Context(), &q, &p); err != nil {
				t.Fatal(err)
			}
			one, _ := answers(t, raw, 1)
			two, _ := answers(t, string(p.AppendTo(nil)), 1)
			// net/http has a clock of its own.
			for _, resp := range []*http.Response{one[0], two[0]} {
				if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
					t.Error(err)
				}
				resp.Header.Del("Date")
			}
			if diff := cmp.Diff(one[0].Header, two[0].Header); diff != "" || one[0].Status != two[0].Status {
				t.Errorf("%s %s: %s and %s, net/http and AppendTo differ:\n%s", method, path, one[0].Status, two[0].Status, diff)
			}
		}
	}
}

// FuzzTarget asks for anything: no answer may lack a request id, be a redirect
// unless it is a link's, or show a cause.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{
		"/found", "/", "//x", "/..", "/api/../found", "/%66ound", "/found+", "*", "http://a/found",
		"/assets/x", "/health/", "/a%2fb", "/?", "/found?%zz", "/\xff",
	} {
		f.Add("GET", target, "text/html")
	}
	e := edge.New(settings(f))
	f.Fuzz(func(t *testing.T, method, target, accept string) {
		if strings.ContainsAny(method+target+accept, "\r\n") {
			return
		}
		raw := method + " " + target + " HTTP/1.1\r\nHost: a\r\nAccept: " + accept + "\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		r.RemoteAddr = "192.0.2.1:1"
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		resp := w.Result()
		if resp.Header.Get("X-Request-Id") == "" {
			t.Error("no request id")
		}
		if loc := resp.Header.Get("Location"); (loc != "") != (resp.StatusCode/100 == 3) ||
			loc != "" && !strings.HasPrefix(loc, "https://a.example/x?y=1") {
			t.Errorf("status %d to %q", resp.StatusCode, loc)
		}
		if strings.ContainsFunc(resp.Header.Get("Location"), func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			t.Errorf("Location %q", resp.Header.Get("Location"))
		}
		if bytes.Contains(w.Body.Bytes(), []byte("secret")) {
			t.Error("the cause is shown")
		}
		if resp.StatusCode >= 400 && r.Method != http.MethodHead && resp.Header.Get("Content-Type") == "application/json" {
			errorOf(t, resp, w.Body.String())
		}
	})
}

func BenchmarkRedirect(b *testing.B) {
	e := edge.New(settings(b))
	r := httptest.NewRequest("GET", "/found", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0")
	b.ReportAllocs()
	for b.Loop() {
		e.ServeHTTP(httptest.NewRecorder(), r)
	}
}
