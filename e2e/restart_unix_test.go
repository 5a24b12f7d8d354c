//go:build unix

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kurz/test/program"
	"kurz/test/wire"
)

// TestRestarts restarts a server, KURZ_RESTARTS times, behind a socket that
// stays open, as systemd does, with SIGTERM and under load: clients that keep
// their connections, that make new ones, that have requests waiting behind one
// another, and that use the API between links. Each request on a new connection
// is answered. One on a kept connection is answered, or its connection was
// closed before kurz read it: then it has no click. So there are as many clicks
// as answers, and as many links as were said to be made.
func TestRestarts(t *testing.T) {
	t.Parallel()
	restarts, proof := times(t, "KURZ_RESTARTS", 3)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	l.Close() // the copy stays open
	s := startWith(t, program.Options{
		Binary: binary, Data: t.TempDir(), Addr: l.Addr().String(), Env: append(unlimited(), "LISTEN_FDS=1", "KURZ_LOG_LEVEL=warn"),
		Before: []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`},
		Change: func(c *exec.Cmd) { c.ExtraFiles = []*os.File{socket} },
	})
	key := s.key(t, "ann@example.org", "--role", "admin")
	load := &steady{addr: s.Addr, code: s.create(t, key, "https://go.dev/")}
	var clients sync.WaitGroup
	for _, client := range []func() error{load.keep, load.keep, load.anew, load.anew, load.pipeline, load.pipeline, load.mixed} {
		clients.Go(func() {
			for !load.done.Load() {
				if err := client(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range restarts {
		load.more(t, 500)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		s.again(t)
	}
	load.more(t, 500)
	load.done.Store(true)
	clients.Wait()
	s.clicksOf(t, key, load.code, int(load.answered.Load()))
	made := 0
	s.everyLink(t, key, func(link listed) {
		if link.Code != load.code {
			made++
		}
	})
	if made != int(load.made.Load()) {
		t.Errorf("%d links were said to be made, %d are there", load.made.Load(), made)
	}
	t.Logf("restarts: %d, under load: %d redirects and %d creates answered, %d clicks and %d links there; %d requests found their connection closed before they were read; 0 cut off, proof %v",
		restarts, load.answered.Load(), load.made.Load(), load.answered.Load(), made, load.unread.Load(), proof)
}

// steady is a load that goes on across restarts.
type steady struct {
	addr, code string
	done       atomic.Bool
	answered   atomic.Int64 // redirects
	made       atomic.Int64 // links
	unread     atomic.Int64 // requests on kept connections without a byte of an answer
}

// more waits for more redirects.
func (l *steady) more(t *testing.T, n int64) {
	t.Helper()
	at := l.answered.Load()
	eventually(t, 20*time.Second, func() string {
		if got := l.answered.Load() - at; got < n && !t.Failed() {
			return fmt.Sprintf("only %d more answers", got)
		}
		return ""
	})
}

// closed reports whether a connection ended between two answers.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (l *steady) dial() (*wire.Conn, error) {
	c, err := net.DialTimeout("tcp", l.addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return wire.New(c), c.SetDeadline(time.Now().Add(time.Minute))
}

// session sends requests on a connection, some at a time, until it ends or so
// many were answered. On a new connection all of the first must be answered,
// unless one of them said that it is the last.
func (l *steady) session(most, depth int, request func(i int) (raw []byte, answered func(wire.Response) error)) error {
	conn, err := l.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	for sent := 0; sent < most && !l.done.Load(); sent += depth {
		var raw []byte
		var readers []func(wire.Response) error
		for i := range depth {
			one, reader := request(sent + i)
			raw, readers = append(raw, one...), append(readers, reader)
		}
		_, err := conn.Write(raw)
		for i, reader := range readers {
			var r wire.Response
			if err == nil {
				r, err = conn.Read(false)
			}
			if err != nil {
				if sent+i > 0 && closed(err) {
					l.unread.Add(int64(depth - i))
					return nil
				}
				return fmt.Errorf("request %d of a connection: %w", sent+i, err)
			}
			if err := reader(r); err != nil {
				return err
			}
			if r.Close {
				if r, err := conn.Read(false); err == nil {
					return fmt.Errorf("behind the last answer there is %d %s", r.Status, r.Location)
				}
				return nil
			}
		}
	}
	return nil
}

func (l *steady) visit(int) ([]byte, func(wire.Response) error) {
	return wire.AppendGet(nil, l.addr, "/"+l.code), func(r wire.Response) error {
		if r.Status != 302 || string(r.Location) != "https://go.dev/" {
			return fmt.Errorf("redirect: %d %s", r.Status, r.Location)
		}
		l.answered.Add(1)
		return nil
	}
}

func (l *steady) keep() error     { return l.session(1000, 1, l.visit) }
func (l *steady) anew() error     { return l.session(1, 1, l.visit) }
func (l *steady) pipeline() error { return l.session(1000, 8, l.visit) }

// mixed has a create behind links, and links behind that, in one go.
func (l *steady) mixed() error {
	return l.session(64, 4, func(i int) ([]byte, func(wire.Response) error) {
		if i%4 != 2 {
			return l.visit(i)
		}
		body := []byte(`{"long_url":"https://go.dev/made"}`)
		return wire.AppendPost(nil, l.addr, "/api/v1/urls", "", body), func(r wire.Response) error {
			if r.Status != 201 || !strings.Contains(string(r.Body), "go.dev/made") {
				return fmt.Errorf("create: %d %s", r.Status, r.Body)
			}
			l.made.Add(1)
			return nil
		}
	})
}
