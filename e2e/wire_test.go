package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"kurz/test/wire"
)

// TestBadWire sends what no HTTP library would: each gets the contract's error
// with its status, and the server goes on.
func TestBadWire(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	code := s.create(t, "", "https://go.dev/")
	for _, c := range []struct {
		name, sent string
		status     int
		code       string
	}{
		{"no HTTP", "hello\r\n\r\n", 400, "BAD_REQUEST"},
		{"no version", "GET /\r\n\r\n", 400, "BAD_REQUEST"},
		{"no host", "GET /" + code + " HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"},
		{"two hosts", "GET /" + code + " HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "BAD_REQUEST"},
		{"a header without a colon", "GET /" + code + " HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n", 400, "BAD_REQUEST"},
		{"a space before the colon", "GET /" + code + " HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400, "BAD_REQUEST"},
		{"a broken length", "POST /api/v1/urls HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "BAD_REQUEST"},
		{"two lengths", "POST /api/v1/urls HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400, "BAD_REQUEST"},
		{"an oversized header", "GET /" + code + " HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431, "HEADER_TOO_LARGE"},
		{"an oversized URL", "GET /" + strings.Repeat("x", 40<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414, "URI_TOO_LONG"},
		{"an oversized body", "POST /api/v1/urls HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 33554432\r\n\r\n", 413, "PAYLOAD_TOO_LARGE"},
		{"an oversized body in chunks", "POST /api/v1/urls HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + strings.Repeat(" ", 0x200000) + "\r\n0\r\n\r\n", 413, "PAYLOAD_TOO_LARGE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := wire.Dial(t.Context(), s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			// The server may answer and close before it has read all of it.
			written := make(chan struct{})
			go func() {
				defer close(written)
				conn.Write([]byte(c.sent))
			}()
			r, err := conn.Read(false)
			if err != nil {
				t.Fatal(err)
			}
			var body struct {
				Error struct {
					Code   string
					Status int
				}
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Errorf("not JSON: %.200q", r.Body)
			}
			if r.Status != c.status || body.Error.Code != c.code || body.Error.Status != c.status {
				t.Errorf("%d %+v, want %d %s", r.Status, body.Error, c.status, c.code)
			}
			conn.Close()
			<-written
		})
	}
	s.must(t, 302, ask{method: "GET", path: "/" + code})
}

// TestPaths sends paths that proxies and multiplexers tend to clean up: none of
// them leads anywhere else, and none is answered with another path.
func TestPaths(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	code := s.create(t, "", "https://go.dev/")
	for _, path := range []string{
		"//" + code, "/./" + code, "/x/../" + code, "/" + code + "/", "/" + code + "//", "/%2e%2e/" + code,
		"/" + code + "%00", "/%0d%0aLocation:%20x", "/" + code + ";x", "//evil.example/%2f..", `/\evil.example`,
	} {
		t.Run(path, func(t *testing.T) {
			conn, err := wire.Dial(t.Context(), s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r, err := conn.Do(fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, s.Addr))
			if err != nil {
				t.Fatal(err)
			}
			if r.Status != 404 && r.Status != 400 || r.Location != nil {
				t.Errorf("%d, Location %q; want 404 or 400", r.Status, r.Location)
			}
		})
	}
}
