package edge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kurz/internal/edge"
)

// childVariable makes a process of the test binary one that systemd started.
const childVariable = "KURZ_TEST_ACTIVATED"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := activatedChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// activatedChild answers one connection on each socket it was given.
func activatedChild() error {
	listeners, err := edge.Listen("the sockets of systemd are to be taken")
	if err != nil {
		return err
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if _, ok := os.LookupEnv(name); ok {
			return fmt.Errorf("%s is still set", name)
		}
	}
	for _, l := range listeners {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c, "%d sockets", len(listeners)); err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

func TestSocketActivation(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no systemd on Windows")
	}
	// The shell knows the process id that the program will have.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=a:b")
	cmd.Stderr = os.Stderr
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		addrs = append(addrs, l.Addr().String())
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if got := send(t, dial(t, addr), ""); got != "2 sockets" {
			t.Errorf("got %q", got)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestActivationOfAnother(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	listeners, err := edge.Listen("127.0.0.1:0")
	if err != nil || len(listeners) != 1 {
		t.Fatalf("%d listeners, %v", len(listeners), err)
	}
	listeners[0].Close()
	if _, ok := os.LookupEnv("LISTEN_FDS"); ok {
		t.Error("LISTEN_FDS is still set")
	}
}

func TestActivationGoneWrong(t *testing.T) {
	for _, fds := range []string{"many", "-1"} {
		t.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
		t.Setenv("LISTEN_FDS", fds)
		if _, err := edge.Listen("127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "LISTEN_FDS") {
			t.Errorf("LISTEN_FDS=%s: %v", fds, err)
		}
	}
}

func TestListen(t *testing.T) {
	first, err := edge.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first[0].Close()
	_, err = edge.Listen(first[0].Addr().String())
	if err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("port in use: %v", err)
	}
	if _, err := edge.Listen("nonsense"); err == nil {
		t.Error("listens on nonsense")
	}
}

func TestListenOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	// A socket that a killed process left behind.
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	one, err := edge.Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := edge.Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("socket in use: %v", err)
	}
	// What is no socket is somebody's.
	file, folder := filepath.Join(t.TempDir(), "clicks.db"), t.TempDir()
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, folder} {
		if _, err := edge.Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("listen on %s: %v", path, err)
		}
	}
	if b, err := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file is %q, error %v", b, err)
	}
	if _, err := os.Stat(folder); err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := settings(t)
	s.TrustUnixSocket = true
	s.API = edge.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, edge.Client(r.Context()).String())
		return err
	})
	go func() { ended <- edge.New(s).Serve(ctx, one...) }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	raw := send(t, c, "GET /api HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n")
	if _, bodies := answers(t, raw, 1); bodies[0] != "192.0.2.1" {
		t.Errorf("client %q", bodies[0])
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Skip("no datagram sockets here:", err)
	}
	defer c.Close()
	read := func() string {
		buf := make([]byte, 100)
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := settings(t)
	s.NotifySocket = path
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- edge.New(s).Serve(ctx, l) }()
	if got := read(); got != "READY=1" {
		t.Errorf("told %q", got)
	}
	cancel()
	if got := read(); got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := edge.Notify(filepath.Join(t.TempDir(), "nobody"), "READY=1"); err == nil {
		t.Error("told nobody")
	}
	if err := edge.Notify("", "READY=1"); err != nil {
		t.Error(err)
	}
}

func TestShutdown(t *testing.T) {
	for _, c := range []struct {
		name  string
		grace time.Duration
		whole bool
	}{{"finishes what runs", 10 * time.Second, true}, {"cuts off what doesn't end", 20 * time.Millisecond, false}} {
		t.Run(c.name, func(t *testing.T) {
			s := settings(t)
			s.Timeouts.Grace = c.grace
			running, release := make(chan struct{}), make(chan struct{})
			s.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(running)
				<-release
				_, _ = io.WriteString(w, "whole")
			})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := l.Addr().String()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- edge.New(s).Serve(ctx, l) }()

			c1 := dial(t, addr)
			defer c1.Close()
			if _, err := io.WriteString(c1, "GET /api HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			<-running
			cancel()
			// New connections are refused as soon as the listener is closed.
			for {
				c2, err := net.Dial("tcp", addr)
				if err != nil {
					break
				}
				c2.Close()
				runtime.Gosched()
			}
			if c.whole {
				close(release)
			} else {
				defer close(release)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c1), nil)
			if c.whole {
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(resp.Body); string(body) != "whole" || err != nil {
					t.Errorf("got %q, %v", body, err)
				}
			} else if err == nil {
				t.Error("answered after all")
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// brokenListener fails for good.
type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, errors.New("broken") }

func TestServeFails(t *testing.T) {
	if err := edge.New(settings(t)).Serve(t.Context()); err == nil {
		t.Error("serves on nothing")
	}
	good, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := edge.New(settings(t)).Serve(t.Context(), good, brokenListener{bad}); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
	if _, err := net.Dial("tcp", good.Addr().String()); err == nil {
		t.Error("the other listener is still open")
	}
}

// TestRoomMayStream shows that a room can move the deadlines of its request.
func TestRoomMayStream(t *testing.T) {
	s := settings(t)
	s.Timeouts.Write = time.Nanosecond
	s.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/long" {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
				t.Error(err)
			}
		}
		_, _ = io.WriteString(w, "streamed")
	})
	addr := serve(t, s)
	if got := send(t, dial(t, addr), "GET /api/long HTTP/1.0\r\n\r\n"); !strings.HasSuffix(got, "streamed") {
		t.Errorf("got %q", got)
	}
	if got := send(t, dial(t, addr), "GET /api/short HTTP/1.0\r\n\r\n"); got != "" {
		t.Errorf("got %q although the time was over", got)
	}
}
