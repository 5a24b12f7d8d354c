package app_test

import (
	"crypto/rand"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"kurz/internal/app"
	"kurz/internal/enrich"
)

// endless is a connection whose client sends one request after the other, and
// reads what it is told without looking.
type endless struct {
	net.Conn
	request []byte
	left    int
	ended   chan struct{}
}

func (e *endless) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	e.left--
	return copy(b, e.request), nil
}
func (*endless) Write(b []byte) (int, error) { return len(b), nil }
func (e *endless) Close() error {
	close(e.ended)
	return nil
}

func (*endless) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711} }
func (*endless) SetReadDeadline(time.Time) error  { return nil }
func (*endless) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkRedirect is a redirect without its system calls: parsing, limit,
// route, country, visitor hash, journal, answer, metrics.
func BenchmarkRedirect(b *testing.B) {
	hasher, err := enrich.OpenHasher(filepath.Join(b.TempDir(), "key"), enrich.Day, "", time.Now, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	conns := make(chan net.Conn)
	r := runOn(b, func(l net.Listener) net.Listener { return &crowd{Listener: l, conns: conns} }, func(p *app.Parts) {
		p.Sink = brokenSink{p.Sink, make(chan struct{})}
		p.Hasher, p.Locator = hasher, enrich.Locator{}
	}, "KURZ_RATE_REDIRECT=1000000000/s")
	if status, _, body := r.do(b, "POST", "/api/v1/urls", `{"long_url":"https://example.org/articles/2026/a-title-of-ordinary-length?utm_source=news","custom_alias":"one"}`); status != 201 {
		b.Fatal(status, body)
	}
	e := &endless{left: b.N, ended: make(chan struct{}), request: []byte("GET /one HTTP/1.1\r\nHost: kurz.example\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
		"Accept-Language: de,en;q=0.7\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: https://news.example/\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n\r\n")}
	b.ReportAllocs()
	b.ResetTimer()
	conns <- e
	<-e.ended
}

// crowd is a listener that also gives what a test hands it.
type crowd struct {
	net.Listener
	conns chan net.Conn
}

func (c *crowd) Accept() (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	accepted := make(chan result, 1)
	go func() {
		conn, err := c.Listener.Accept()
		accepted <- result{conn, err}
	}()
	select {
	case conn := <-c.conns:
		go func() { // what came in meanwhile is asked for by nobody
			if r := <-accepted; r.err == nil {
				_ = r.conn.Close()
			}
		}()
		return conn, nil
	case r := <-accepted:
		return r.conn, r.err
	}
}
