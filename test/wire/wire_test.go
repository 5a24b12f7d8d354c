package wire_test

import (
	"net"
	"strings"
	"testing"

	"kurz/test/wire"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, sent     string
		head           bool
		status         int
		location, body string
		closes, bad    bool
	}{
		{name: "a redirect", sent: "HTTP/1.1 302 Found\r\nLocation: https://example.org/\r\nContent-Length: 0\r\n\r\n", status: 302, location: "https://example.org/"},
		{name: "a body", sent: "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntext", status: 201, body: "text", closes: true},
		{name: "chunks", sent: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nte\r\n2\r\nxt\r\n0\r\n\r\n", status: 200, body: "text"},
		{name: "to HEAD", sent: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", head: true, status: 200},
		{name: "no status", sent: "text\r\n\r\n", bad: true},
		{name: "cut off in the head", sent: "HTTP/1.1 302 Found\r\nLocation: https://exam", bad: true},
		{name: "cut off in the body", sent: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nte", bad: true},
		{name: "nothing", bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err == nil {
					conn.Write([]byte(c.sent))
					conn.Close()
				}
			}()
			conn, err := wire.Dial(t.Context(), l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r, err := conn.Read(c.head)
			if (err != nil) != c.bad {
				t.Fatalf("error %v", err)
			}
			if r.Status != c.status && !c.bad || !c.bad && (string(r.Location) != c.location || string(r.Body) != c.body || r.Close != c.closes) {
				t.Errorf("%d, location %q, body %q, closes %t", r.Status, r.Location, r.Body, r.Close)
			}
		})
	}
}

func TestAppend(t *testing.T) {
	post := string(wire.AppendPost(nil, "h", "/p", "X: y\r\n", []byte("{}")))
	if !strings.HasPrefix(post, "POST /p HTTP/1.1\r\nHost: h\r\n") || !strings.HasSuffix(post, "Content-Length: 2\r\nX: y\r\n\r\n{}") {
		t.Errorf("%q", post)
	}
	get := string(wire.AppendGet(nil, "h", "/p"))
	if !strings.HasPrefix(get, "GET /p HTTP/1.1\r\nHost: h\r\nUser-Agent: Mozilla/") || !strings.HasSuffix(get, "\r\n\r\n") {
		t.Errorf("%q", get)
	}
}
