package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/acme"

	"kurz/internal/fault"
)

// Listen gives the sockets to serve on: those that systemd opened for this
// process (sd_listen_fds(3); the environment that names them is unset, so that
// no child takes them for its own), else one for addr, which is host:port or
// "unix:" and a path. The error for a port in use or forbidden says what to do.
func Listen(addr string) ([]net.Listener, error) {
	listeners, err := activated()
	if err == nil && len(listeners) == 0 {
		listeners, err = open(addr)
	}
	for _, l := range listeners {
		// Where it can't be, slow clients cost more.
		_ = boundUnsent(l)
	}
	return listeners, err
}

// open gives a socket for an address.
func open(addr string) ([]net.Listener, error) {
	network, where := "tcp", addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, where = "unix", path
		if err := removeStale(path); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
	// Lanes end idle connections soon enough; what goes to net/http gets its
	// probes there, so that most connections are spared four system calls.
	c := net.ListenConfig{KeepAlive: -1}
	// Paths that a redirect would not live to use make it dearer, and keep what is
	// set on the listener from its connections.
	c.SetMultipathTCP(false)
	l, err := c.Listen(context.Background(), network, where)
	switch {
	case err == nil:
		return []net.Listener{l}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the address is in use: stop the other program or choose another address with --listen", addr)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: not permitted: choose a port above 1023 with --listen, or grant CAP_NET_BIND_SERVICE", addr)
	}
	return nil, fmt.Errorf("listen on %s: %w", addr, err)
}

// removeStale removes a socket that nobody listens on any more. It touches nothing
// else that is at the path, and says so.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // there is none, or Listen says why not
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is something that is no socket: choose another path with --listen, or move it away")
	}
	c, err := new(net.Dialer).DialContext(context.Background(), "unix", path)
	if err == nil {
		// Somebody does; Listen says so.
		return c.Close()
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		// Where this fails, so does Listen.
		_ = os.Remove(path)
	}
	return nil
}

// firstActivated is the descriptor of the first socket that systemd passes.
const firstActivated = 3

// activated gives the sockets that systemd passed to this process, if any.
func activated() ([]net.Listener, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("unset %s: %w", name, err)
		}
	}
	if pid == "" || count == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS=%q is not a number of sockets", count)
	}
	var listeners []net.Listener
	for fd := firstActivated; fd < firstActivated+n; fd++ {
		f := os.NewFile(uintptr(fd), "socket from systemd")
		if f == nil {
			return nil, fmt.Errorf("socket %d from systemd is not open", fd)
		}
		// FileListener has a copy of its own.
		l, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("socket %d from systemd: %w", fd, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Notify tells systemd of a state such as "READY=1" (sd_notify(3)) on the
// socket that NOTIFY_SOCKET names. Without a socket it does nothing.
func Notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	// Go, like systemd, writes an abstract socket's leading 0 as '@'.
	c, err := new(net.Dialer).DialContext(context.Background(), "unixgram", socket)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c, state)
	return errors.Join(err, c.Close())
}

// secured gives what answers a connection over TLS.
func (e *Edge) secured(raw net.Conn, config *tls.Config) (serve func()) {
	c := tls.Server(raw, config)
	l := e.lanes.open(e, c, true)
	return func() { e.handshake(l, c) }
}

// handshake answers a connection over TLS. HTTP/2 is net/http's from the
// beginning, which finds it only in a bare *tls.Conn.
func (e *Edge) handshake(l *lane, c *tls.Conn) {
	ctx, cancel := context.WithTimeout(e.lanes.ctx, e.s.Timeouts.Header)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		e.refusePlain(err)
		l.end()
		return
	}
	switch c.ConnectionState().NegotiatedProtocol {
	case acme.ALPNProto: // the handshake was the proof
		l.end()
	case "h2":
		probe(c.NetConn())
		e.lanes.remove(l, false)
		if !e.handover.give(c) {
			e.lanes.gone()
		}
	default:
		l.serve()
	}
}

// lingering is for how long a connection that is refused is read on, so that
// its answer isn't lost with a reset.
const lingering = 500 * time.Millisecond

// refusePlain answers a client that speaks HTTP without TLS.
func (e *Edge) refusePlain(err error) {
	bad, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || bad.Conn == nil || !looksLikeHTTP(bad.RecordHeader) {
		return
	}
	c := &conn{Conn: bad.Conn, edge: e}
	f := fault.New(fault.BadRequest, "This port speaks HTTPS: write https:// instead of http://")
	// The deadlines bound it; a client that went away needs no answer.
	_ = c.SetDeadline(time.Now().Add(lingering))
	_, _ = c.Conn.Write(e.malformed(f, http.StatusBadRequest))
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, io.LimitReader(c, readLimit))
}

// looksLikeHTTP reports whether a TLS record's header is the beginning of a
// request.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET":
		return true
	}
	return false
}
