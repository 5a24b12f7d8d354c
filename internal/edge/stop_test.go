package edge_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/edge"
	"kurz/test/rfc9112"
)

// TestHandOverWithinTLS sends, in one go over TLS, what lanes answer and what
// they leave to net/http.
func TestHandOverWithinTLS(t *testing.T) {
	s := settings(t)
	certFile, keyFile := files(t, "kurz.example")
	s.TLS = &edge.TLS{CertFile: certFile, KeyFile: keyFile}
	c, err := tls.Dial("tcp", serve(t, s), insecure())
	if err != nil {
		t.Fatal(err)
	}
	var raw strings.Builder
	for i, line := range []string{
		"GET /found", "HEAD /moved", "GET /nothing", "GET /found", "GET /api/x", "GET /found", "POST /found", "GET /moved",
	} {
		raw.WriteString(line + " HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + strconv.Itoa(i) + "\r\n\r\n")
	}
	answers, err := rfc9112.Exchange(c, raw.String()+rfc9112.Next, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"302 0", "301 1", "404 2", "302 3", "200 4", "302 5", "405 6", "301 7", "302 next"}
	if len(answers) != len(want) {
		t.Fatalf("%d answers, want %d", len(answers), len(want))
	}
	for i, a := range answers {
		if got := strconv.Itoa(a.Status) + " " + a.Header.Get("X-Request-Id"); got != want[i] {
			t.Errorf("answer %d is %s, want %s", i, got, want[i])
		}
		if got := a.Header["Strict-Transport-Security"]; len(got) != 1 || got[0] != "max-age=31536000" {
			t.Errorf("answer %d: HSTS %q", i, got)
		}
	}
}

// TestStop ends the server while a connection is in some state. What was begun
// is answered, and says that it is the last; nothing behind it is.
func TestStop(t *testing.T) {
	const whole = "GET /found HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name          string
		before, after string
		asked         int // answers that are awaited before
		status        int // of the answer after; 0: none
		most          time.Duration
	}{
		{"nothing came", "", "", 0, 0, time.Second},
		{"nothing came, and then a request", "", whole, 0, 302, time.Second},
		{"nothing came, and then one for net/http", "", "GET /api HTTP/1.1\r\nHost: a\r\n\r\n", 0, 200, time.Second},
		{"all is answered", whole, "", 1, 0, 0},
		{"all is answered by net/http", "GET /api HTTP/1.1\r\nHost: a\r\n\r\n", "", 1, 0, time.Second},
		{"half a head", whole[:10], whole[10:], 0, 302, time.Second},
		{"half a head behind an answer", whole + whole[:10], whole[10:], 1, 302, time.Second},
		{"half a head for net/http", "BREW /found HTTP/1.1\r\nHo", "st: a\r\n\r\n", 0, 405, time.Second},
		{"half a head, and no more", whole[:10], "", 0, 0, 5 * time.Second},
		{"half a body", "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", "cd", 0, 200, time.Second},
		{"half a body behind an answer", whole + "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", "cd" + whole, 1, 200, time.Second},
		{"half a body, and no more", "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab", "", 0, 0, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := settings(t)
				s.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				conn, stop := piped(t, s)
				r := bufio.NewReader(conn)
				answer := func(status int) *http.Response {
					a, err := http.ReadResponse(r, nil)
					if err == nil {
						_, err = io.Copy(io.Discard, a.Body)
					}
					if err != nil || a.StatusCode != status {
						t.Fatalf("answered %+v, %v; want %d", a, err, status)
					}
					return a
				}
				write := func(text string) {
					if text != "" { // nothing would be read as such from a pipe
						go io.WriteString(conn, text)
					}
				}
				write(c.before)
				for range c.asked {
					if a, err := http.ReadResponse(r, nil); err != nil || a.Close {
						t.Fatalf("answered %+v, %v", a, err)
					}
				}
				synctest.Wait() // all of it is read
				began := time.Now()
				stop()
				synctest.Wait()
				write(c.after)
				if c.status != 0 {
					if a := answer(c.status); !a.Close {
						t.Error("the last answer does not say so")
					}
				}
				// A pipe that was closed in the middle has no half.
				if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("then %q, %v", rest, err)
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("ended after %v", took)
				}
			})
		})
	}
}
