// Package program builds, starts and ends real kurz processes, for e2e and
// bench.
//
// Processes are ended by their own id only, and listen on loopback only. Start
// reading at Build, then Start.
package program

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// Build builds kurz from the module that the working directory is in, into
// dir, and gives its path: as it is released, or with the race detector where
// the caller itself runs with it.
func Build(ctx context.Context, dir string) (string, error) {
	name := "kurz"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	binary := filepath.Join(dir, name)
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", binary}
	environment := os.Environ()
	if racing() {
		args = append(args, "-race")
	} else {
		environment = append(environment, "CGO_ENABLED=0")
	}
	build := exec.CommandContext(ctx, "go", append(args, "kurz/cmd/kurz")...)
	build.Env = environment
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

func racing() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// Options say how a server is started.
type Options struct {
	Binary string
	Data   string   // its data folder
	Addr   string   // where it listens; a free loopback port if ""
	Env    []string // on top of an environment without any KURZ_
	Args   []string // after "serve"
	// Before stands before the command, such as taskset -c 0.
	Before []string
	// Change, unless nil, has the last word on how the process is started.
	Change func(*exec.Cmd)
	// TLS, unless nil, says that it speaks TLS, and how to trust it.
	TLS *tls.Config
	// Patience bounds the wait until it is ready; 30 s if zero.
	Patience time.Duration
}

// Server is a running kurz.
type Server struct {
	Options
	URL string

	client  *http.Client
	command *exec.Cmd
	log     *os.File
	done    chan struct{}
	ended   error
}

// Start starts a server and waits until it says that it is ready. If it ends
// before, the error has the last of what it wrote.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := Launch(o)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		s.Kill()
		return nil, fmt.Errorf("kurz serve: %w\n%s", err, s.Log())
	}
	return s, nil
}

// Launch starts a server and waits for nothing.
func Launch(o Options) (*Server, error) {
	if o.Addr == "" {
		addr, err := FreeAddr()
		if err != nil {
			return nil, err
		}
		o.Addr = addr
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	log, err := newLog()
	if err != nil {
		return nil, err
	}
	scheme := "http://"
	if o.TLS != nil {
		scheme = "https://"
	}
	s := &Server{Options: o, URL: scheme + o.Addr, log: log, done: make(chan struct{})}
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: o.TLS}}
	args := append(append([]string{}, o.Before...), o.Binary, "serve")
	args = append(args, o.Args...)
	s.command = exec.Command(args[0], args[1:]...) //nolint:noctx // ended by Kill and Stop, with the state that each promises
	s.command.Env = s.environment()
	s.command.Stdout = s.log
	s.command.Stderr = s.log
	if o.Change != nil {
		o.Change(s.command)
	}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.ended = s.command.Wait()
		close(s.done)
	}()
	return s, nil
}

// Ready waits until the server says that it is, for Patience at most.
func (s *Server) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	return s.waitReady(ctx)
}

// environment is the caller's without settings of kurz, and then the server's.
func (s *Server) environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "KURZ_") && !strings.HasPrefix(e, "LISTEN_") {
			env = append(env, e)
		}
	}
	env = append(env, "KURZ_LISTEN="+s.Addr, "KURZ_DATA="+s.Data, "KURZ_BASE_URL="+s.URL)
	return append(env, s.Env...)
}

func (s *Server) waitReady(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	for {
		err := s.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("ended: %w", s.Exit())
		case <-ctx.Done():
			return fmt.Errorf("waiting until it is ready: %w", err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// ask asks once whether the server is ready, and waits a second at most.
func (s *Server) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	response, err := s.Get(ctx, "/health/ready")
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New("not ready: " + response.Status)
	}
	return nil
}

// Get asks for a path. Connections are kept for the next.
func (s *Server) Get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		return nil, err
	}
	return s.client.Do(request)
}

// Pid gives the process's id.
func (s *Server) Pid() int { return s.command.Process.Pid }

// Log gives what the server wrote: the last 64 KiB.
func (s *Server) Log() string {
	const most = 64 << 10
	info, err := s.log.Stat()
	if err != nil {
		return err.Error()
	}
	from := max(info.Size()-most, 0)
	text := make([]byte, info.Size()-from)
	n, err := s.log.ReadAt(text, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return string(text[:n])
}

// Kill ends the server as kill -9 does, and waits until it is gone.
func (s *Server) Kill() {
	s.command.Process.Kill() //nolint:errcheck // it may have ended by itself
	<-s.done
}

// Signal sends a signal without waiting.
func (s *Server) Signal(signal os.Signal) error { return s.command.Process.Signal(signal) }

// Stop asks the server to end, as a service manager does, and waits for it. The
// error tells of any exit status but 0.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.done:
		return s.ended
	case <-ctx.Done():
		s.Kill()
		return fmt.Errorf("did not end after SIGTERM: %w", ctx.Err())
	}
}

// Done is closed when the process has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// Exit tells, after Done, how it ended.
func (s *Server) Exit() error {
	if s.ended == nil {
		return errors.New("exit status 0")
	}
	return s.ended
}

// Restart starts a server with the same options and address.
func (s *Server) Restart(ctx context.Context) (*Server, error) { return Start(ctx, s.Options) }

// Run runs another command of kurz on the server's data folder and gives what
// it printed.
func (s *Server) Run(ctx context.Context, args ...string) (stdout string, err error) {
	var out, log bytes.Buffer
	command := exec.CommandContext(ctx, s.Binary, args...)
	command.Env = s.environment()
	command.Stdout = &out
	command.Stderr = &log
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("kurz %s: %w: %s", strings.Join(args, " "), err, log.String())
	}
	return out.String(), nil
}

// NewKey adds a user and gives a key of theirs.
func (s *Server) NewKey(ctx context.Context, email string, flags ...string) (string, error) {
	if _, err := s.Run(ctx, append([]string{"user", "add", email}, flags...)...); err != nil {
		return "", err
	}
	key, err := s.Run(ctx, "key", "create", "--user", email, "--name", "test")
	return strings.TrimSpace(key), err
}

// FreeAddr gives a loopback address with a port that is free at the moment.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// newLog makes a file that nobody else sees and that is gone with its last
// user. A server writes into it by itself, so that its log costs the caller
// nothing, as under a service manager.
func newLog() (*os.File, error) {
	f, err := os.CreateTemp("", "kurz-log-*")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
