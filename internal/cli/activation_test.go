//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// activated is a kurz whose socket this test opened, as systemd does.
type activated struct {
	command *exec.Cmd
	log     *bytes.Buffer
}

// activate starts kurz with the socket f as its descriptor 3.
func activate(t *testing.T, f *os.File, data, url string) *activated {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The shell's id is that of the program it becomes; testscript.Main runs
	// kurz under that name.
	link := filepath.Join(t.TempDir(), "kurz")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	a := &activated{log: &bytes.Buffer{}}
	a.command = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, link)
	a.command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LISTEN_FDS=1", "KURZ_DATA=" + data, "KURZ_BASE_URL=" + url,
		"KURZ_RATE_REDIRECT=off", "KURZ_LOG_LEVEL=warn",
	}
	a.command.ExtraFiles = []*os.File{f}
	a.command.Stderr = a.log
	if err := a.command.Start(); err != nil {
		t.Fatal(err)
	}
	return a
}

// stop ends it as systemd does, and checks that it ends in order.
func (a *activated) stop(t *testing.T) {
	t.Helper()
	if err := a.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := a.command.Wait(); err != nil {
		t.Errorf("kurz: %v: %s", err, a.log)
	}
}

func fetch(ctx context.Context, url string) (int, error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// wait waits until cond holds.
func wait(t *testing.T, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-end:
			t.Fatal("waited too long")
		case <-tick.C:
		}
	}
}

// serving is a kurz on a socket of its own.
func serving(t *testing.T) (server *activated, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	address = listener.Addr().String()
	server = activate(t, socket, filepath.Join(t.TempDir(), "data"), "http://"+address)
	if status, err := fetch(t.Context(), "http://"+address+"/health/ready"); err != nil || status != 200 {
		server.stop(t)
		t.Fatalf("status %d, %v: %s", status, err, server.log)
	}
	return server, address
}

// shut asks the server to end, and waits until it accepts nothing more.
func (a *activated) shut(t *testing.T, address string) {
	t.Helper()
	if err := a.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

// begun is a request whose body the server waits for.
func begun(t *testing.T, address, body string) *bufio.ReadWriter {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	rw := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	fmt.Fprintf(rw, "POST /shorten HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", address, len(body))
	if err := rw.Flush(); err != nil {
		t.Fatal(err)
	}
	line, err := rw.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := rw.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return rw
}

const aLink = `{"url":"https://example.org/"}`

// TestRunningRequestsFinish shows that SIGTERM waits for what runs, accepts
// nothing more, and ends with 0.
func TestRunningRequestsFinish(t *testing.T) {
	t.Parallel()
	server, address := serving(t)
	request := begun(t, address, aLink)
	server.shut(t, address)
	if _, err := request.WriteString(aLink); err != nil {
		t.Fatal(err)
	}
	if err := request.Flush(); err != nil {
		t.Fatal(err)
	}
	if line, err := request.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 201 ") {
		t.Errorf("%q, %v", line, err)
	}
	if err := server.command.Wait(); err != nil {
		t.Errorf("kurz: %v: %s", err, server.log)
	}
}

// TestSecondSignal shows that a second signal ends what the first one left to
// finish.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	server, address := serving(t)
	begun(t, address, aLink)
	ended := make(chan error, 1)
	server.shut(t, address)
	go func() { ended <- server.command.Wait() }()
	if err := server.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still running")
		_ = server.command.Process.Kill()
		<-ended
	}
}
