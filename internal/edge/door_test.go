package edge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kurz/internal/edge"
)

const found = "GET /found HTTP/1.1\r\nHost: a\r\n\r\n"

// door is an Edge that serves, and the socket that it serves on.
type door struct {
	*edge.Edge
	net.Listener
	stop  context.CancelFunc
	ended chan error
}

func open(t *testing.T, s edge.Settings, wrap func(net.Listener) net.Listener) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &door{edge.New(s), l, cancel, make(chan error, 1)}
	go func() { d.ended <- d.Serve(ctx, wrap(l)) }()
	t.Cleanup(func() { d.end(t) })
	return d
}

func bare(l net.Listener) net.Listener { return l }

// end ends it, once.
func (d *door) end(t *testing.T) {
	t.Helper()
	d.stop()
	if d.ended == nil {
		return
	}
	if err := <-d.ended; err != nil {
		t.Error(err)
	}
	d.ended = nil
}

// visit sends a request on a connection, which stays open, and reads its answer.
func visit(t *testing.T, c net.Conn, request string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return nextAnswer(t, c)
}

func nextAnswer(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, a.Body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// isClosed waits until the server has closed a connection.
func isClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// hasConns waits until so many connections are open.
func hasConns(t *testing.T, d *door, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); d.Conns() != n; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections, want %d", d.Conns(), n)
		}
	}
}

// TestFullOfConnections fills a server with connections that wait: the one that
// has waited longest makes room for a new one, those that are used stay.
func TestFullOfConnections(t *testing.T) {
	for name, request := range map[string]string{
		"answered":     found,
		"nothing sent": "",
		"net/http's":   "GET /api HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var passed atomic.Int64
			began := time.Now()
			s := settings(t)
			s.MaxConns = 4
			s.Now = func() time.Time { return began.Add(time.Duration(passed.Load())) }
			d := open(t, s, bare)
			used := dial(t, d.Addr().String())
			visit(t, used, found)
			var waiting []net.Conn
			for range 3 {
				c := dial(t, d.Addr().String())
				if request != "" {
					visit(t, c, request)
				}
				waiting = append(waiting, c)
				hasConns(t, d, len(waiting)+1)
				passed.Add(int64(10 * time.Millisecond))
			}
			passed.Add(int64(time.Second))
			visit(t, used, found)
			visit(t, dial(t, d.Addr().String()), found)
			isClosed(t, waiting[0])
			visit(t, used, found)
			if n := d.Conns(); n > s.MaxConns {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestConnectionsAreCounted has every way in which a connection ends.
func TestConnectionsAreCounted(t *testing.T) {
	s := settings(t)
	certFile, keyFile := files(t, "kurz.example")
	secure := s
	secure.TLS = &edge.TLS{CertFile: certFile, KeyFile: keyFile}
	for name, s := range map[string]edge.Settings{"plain": s, "TLS": secure} {
		t.Run(name, func(t *testing.T) {
			d := open(t, s, bare)
			for _, text := range []string{
				"", "GET /fou", found, found + found[:9], "GET /api HTTP/1.1\r\nHost: a\r\n\r\n", "nonsense\r\n\r\n",
				found + "POST /found HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
				"GET /found HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			} {
				c := dial(t, d.Addr().String())
				if s.TLS != nil && text != "nonsense\r\n\r\n" {
					c = tls.Client(c, insecure())
				}
				if text != "" {
					if _, err := io.WriteString(c, text); err != nil {
						t.Fatal(err)
					}
				}
				if strings.HasSuffix(text, "\r\n\r\n") && (s.TLS == nil || text != "nonsense\r\n\r\n") {
					nextAnswer(t, c)
				}
				c.Close()
			}
			if s.TLS != nil {
				transport := &http.Transport{TLSClientConfig: insecure(), ForceAttemptHTTP2: true}
				for range 3 {
					a, err := (&http.Client{Transport: transport}).Get("https://" + d.Addr().String() + "/api")
					if err != nil || a.ProtoMajor != 2 {
						t.Fatal(a, err)
					}
					a.Body.Close()
				}
				transport.CloseIdleConnections()
			}
			hasConns(t, d, 0)
			d.end(t)
			if n := d.Conns(); n != 0 {
				t.Errorf("%d connections at the end", n)
			}
		})
	}
}

// lastly is a listener that calls a function before its deadline is set, which
// is when accepting is about to end.
type lastly struct {
	net.Listener
	call func()
}

func (l lastly) SetDeadline(t time.Time) error {
	l.call()
	return l.Listener.(*net.TCPListener).SetDeadline(t)
}

// TestLastCall ends a server that has requests in its sockets which it has not
// yet seen: they are answered, on idle connections and on new ones.
func TestLastCall(t *testing.T) {
	var idle, idleElsewhere, fresh net.Conn
	var d *door
	made := make(chan struct{})
	d = open(t, settings(t), func(l net.Listener) net.Listener {
		return lastly{l, func() {
			<-made
			fresh = dial(t, d.Addr().String())
			for _, c := range []net.Conn{idle, fresh} {
				_, _ = io.WriteString(c, found)
			}
			_, _ = io.WriteString(idleElsewhere, "GET /api HTTP/1.1\r\nHost: a\r\n\r\n")
		}}
	})
	idle, idleElsewhere = dial(t, d.Addr().String()), dial(t, d.Addr().String())
	visit(t, idle, found)
	visit(t, idleElsewhere, "GET /api HTTP/1.1\r\nHost: a\r\n\r\n")
	close(made)
	d.end(t)
	for name, c := range map[string]net.Conn{"idle": idle, "idle at net/http": idleElsewhere, "new": fresh} {
		if a := nextAnswer(t, c); !a.Close || a.StatusCode != 302 && a.StatusCode != 200 {
			t.Errorf("%s: %d, close %v", name, a.StatusCode, a.Close)
		}
	}
}
