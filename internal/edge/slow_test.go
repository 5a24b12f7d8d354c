package edge_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/edge"
)

// trickle sends bytes, one each second, until the connection ends.
func trickle(c net.Conn, text string) {
	for i := 0; ; i++ {
		b := byte('a')
		if i < len(text) {
			b = text[i]
		}
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// TestSlowClients has clients take all the time that they are given, with the
// bounds that kurz has by default, on a clock that runs as fast as it can: each
// is cut off within its bound, by lanes as by net/http.
func TestSlowClients(t *testing.T) {
	const whole = "GET /found HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name        string
		does        func(c net.Conn) // until the connection ends
		least, most time.Duration
		answer      string // how it begins; "" for what is not a redirect's, such as none
	}{
		{"says nothing", func(net.Conn) {}, 5 * time.Second, 5 * time.Second, ""},
		{"a byte each second", func(c net.Conn) { trickle(c, "GET /found HTTP/1.1\r\nHost: a\r\nX: ") }, 5 * time.Second, 5 * time.Second, ""},
		{"a byte each second of nothing known", func(c net.Conn) { trickle(c, "BREW /found HTTP/1.1\r\nHost: a\r\nX: ") }, 5 * time.Second, 5 * time.Second, ""},
		{"half a head, and no more", func(c net.Conn) { io.WriteString(c, "GET /found HTTP/1.1\r\nHost: a\r\n") }, 5 * time.Second, 5 * time.Second, ""},
		// net/http takes a request for begun at its fourth byte.
		{"a byte each second of the next", func(c net.Conn) { io.WriteString(c, whole); trickle(c, whole[:30]) }, 5 * time.Second, 9 * time.Second, "HTTP/1.1 302 "},
		{"a byte of the next, and no more", func(c net.Conn) { io.WriteString(c, whole+"G") }, 5 * time.Second, 2 * time.Minute, "HTTP/1.1 302 "},
		{"half the next, and no more", func(c net.Conn) { io.WriteString(c, whole+whole[:30]) }, 5 * time.Second, 5 * time.Second, "HTTP/1.1 302 "},
		{"says nothing after an answer", func(c net.Conn) { io.WriteString(c, whole) }, 105 * time.Second, 2 * time.Minute, "HTTP/1.1 302 "},
		{"says nothing after another answer", func(c net.Conn) { io.WriteString(c, "GET /api HTTP/1.1\r\nHost: a\r\n\r\n") }, 2 * time.Minute, 2 * time.Minute, "HTTP/1.1 200 "},
		{"a byte each second of a body", func(c net.Conn) {
			io.WriteString(c, "POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
			trickle(c, "")
		}, time.Minute, time.Minute + time.Second, ""},
		{"a chunk each second", func(c net.Conn) {
			io.WriteString(c, "POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			trickle(c, strings.Repeat("1\r\na\r\n", 100))
		}, time.Minute, time.Minute + time.Second, ""},
		{"a head without an end", func(c net.Conn) {
			_, err := io.WriteString(c, "GET /found HTTP/1.1\r\nHost: a\r\n")
			for err == nil {
				_, err = io.WriteString(c, "X: "+strings.Repeat("x", 1000)+"\r\n")
			}
		}, 0, time.Second, "HTTP/1.1 431 "},
	} {
		for _, netHTTP := range []bool{false, true} {
			t.Run(c.name+map[bool]string{true: " to net/http"}[netHTTP], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := settings(t)
					s.NetHTTP = netHTTP
					s.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
					conn, _ := piped(t, s)
					began := time.Now()
					var client sync.WaitGroup
					client.Go(func() { c.does(conn) })
					answer, err := io.ReadAll(conn)
					took := time.Since(began)
					conn.Close()
					client.Wait()
					if err != nil || !strings.HasPrefix(string(answer), c.answer) || c.answer == "" && strings.Contains(string(answer), " 302 ") {
						t.Errorf("answered %q, %v", answer, err)
					}
					if took < c.least || took > c.most {
						t.Errorf("cut off after %v, want %v to %v", took, c.least, c.most)
					}
				})
			})
		}
	}
}

// TestSlowReader sends requests and reads no answer.
func TestSlowReader(t *testing.T) {
	for _, request := range []string{"GET /found HTTP/1.1\r\nHost: a\r\n\r\n", "GET /api HTTP/1.1\r\nHost: a\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			conn, _ := piped(t, settings(t))
			began := time.Now()
			var err error
			for err == nil {
				_, err = io.WriteString(conn, request)
			}
			if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
				t.Errorf("%q: cut off after %v", request, took)
			}
		})
	}
}

// TestSlowHandshake begins TLS, and no more.
func TestSlowHandshake(t *testing.T) {
	certFile, keyFile := files(t, "kurz.example")
	for name, hello := range map[string]string{"nothing": "", "half a record": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := settings(t)
				s.TLS = &edge.TLS{CertFile: certFile, KeyFile: keyFile}
				conn, _ := piped(t, s)
				began := time.Now()
				go io.WriteString(conn, hello)
				io.Copy(io.Discard, conn)
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("cut off after %v", took)
				}
			})
		})
	}
}

// piped gives a connection to an Edge that serves it alone, until stop or the
// test ends.
func piped(t *testing.T, s edge.Settings) (conn net.Conn, stop func()) {
	t.Helper()
	l := &stage{conns: make(chan net.Conn), closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- edge.New(s).Serve(ctx, l) }()
	client, server := net.Pipe()
	l.conns <- server
	t.Cleanup(func() {
		client.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return client, cancel
}
