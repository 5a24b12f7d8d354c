package edge_test

import (
	"context"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"kurz/internal/edge"
)

// watched is a listener that shows what it accepts.
type watched struct {
	net.Listener
	conns chan *net.TCPConn
}

func (w watched) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err == nil {
		w.conns <- c.(*net.TCPConn)
	}
	return c, err
}

// TestProbes: a connection that net/http answers is probed by the system, one
// of a lane, which ends by itself, is not. In neither waits much of an answer to be
// sent.
func TestProbes(t *testing.T) {
	listeners, err := edge.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := watched{listeners[0], make(chan *net.TCPConn, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- edge.New(settings(t)).Serve(ctx, l) }()
	for path, want := range map[string]int{"/found": 0, "/api": 1} {
		c := dial(t, l.Addr().String())
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		raw, err := (<-l.conns).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		option := func(level, name int) (value int) {
			var refused error
			err := raw.Control(func(fd uintptr) { value, refused = unix.GetsockoptInt(int(fd), level, name) })
			if err != nil || refused != nil {
				t.Fatal(err, refused)
			}
			return value
		}
		if got := option(unix.SOL_SOCKET, unix.SO_KEEPALIVE); got != want {
			t.Errorf("%s: probes %d, want %d", path, got, want)
		}
		if got := option(unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT); got != 32<<10 {
			t.Errorf("%s: %d bytes may wait unsent", path, got)
		}
		c.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
