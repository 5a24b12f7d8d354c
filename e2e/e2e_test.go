// Package e2e tests kurz from outside: it builds the real program, starts it on
// a free loopback port with a data folder of its own, and knows nothing of it
// but what its users know.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"kurz/test/program"
)

// binary is the program under test, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kurz-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// A server that runs as another user must be able to reach it.
	if err = os.Chmod(dir, 0o755); err == nil {
		binary, err = program.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// needs skips a test where a program is missing, or fails it where nothing may
// be.
func needs(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("REQUIRE_BACKENDS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// unlimited turns every rate limit off.
func unlimited() []string {
	return []string{"KURZ_RATE_ANONYMOUS=off", "KURZ_RATE_FREE=off", "KURZ_RATE_PREMIUM=off", "KURZ_RATE_REDIRECT=off"}
}

// server is a running kurz with a client that follows no redirect.
type server struct {
	*program.Server
	client *http.Client
}

// start starts a server that ends with the test.
func start(t *testing.T, env ...string) *server {
	t.Helper()
	return startIn(t, t.TempDir(), env...)
}

func startIn(t *testing.T, data string, env ...string) *server {
	t.Helper()
	return startWith(t, program.Options{Binary: binary, Data: data, Env: env})
}

func startWith(t *testing.T, o program.Options) *server {
	t.Helper()
	p, err := program.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{client: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s.follow(t, p)
	return s
}

// follow makes p the server's process, to be ended with the test.
func (s *server) follow(t *testing.T, p *program.Server) {
	s.Server = p
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the server wrote:\n%s", p.Log())
		}
	})
}

// again starts the server anew, on the same address and folder.
func (s *server) again(t *testing.T) {
	t.Helper()
	p, err := s.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.client.CloseIdleConnections()
	s.follow(t, p)
}

func (s *server) key(t *testing.T, email string, flags ...string) string {
	t.Helper()
	key, err := s.NewKey(t.Context(), email, flags...)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ask is a request.
type ask struct {
	method, path string
	key          string // API key
	body         string // JSON unless header says otherwise
	header       map[string]string
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request. Only a connection that fails is an error.
func (s *server) do(ctx context.Context, a ask) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, a.method, s.URL+a.path, strings.NewReader(a.body))
	if err != nil {
		return reply{}, err
	}
	if a.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if a.key != "" {
		request.Header.Set("Authorization", "Bearer "+a.key)
	}
	for name, value := range a.header {
		request.Header.Set(name, value)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, body}, err
}

// must sends a request that has to be answered with this status.
func (s *server) must(t *testing.T, status int, a ask) reply {
	t.Helper()
	r, err := s.do(t.Context(), a)
	if err != nil {
		t.Fatalf("%s %s: %v", a.method, a.path, err)
	}
	if r.status != status {
		t.Fatalf("%s %s: %d, want %d: %s", a.method, a.path, r.status, status, r.body)
	}
	return r
}

// metric gives the sum of a metric's series.
func (s *server) metric(t *testing.T, name string) float64 {
	t.Helper()
	r := s.must(t, http.StatusOK, ask{method: "GET", path: "/metrics"})
	sum, found := 0.0, false
	for line := range strings.Lines(string(r.body)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if at := strings.IndexByte(line, '}'); at >= 0 {
			series, value = line[:strings.IndexByte(line, '{')], strings.TrimSpace(line[at+1:])
		}
		if !ok || series != name {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum, found = sum+n, true
	}
	if !found {
		t.Fatalf("/metrics has no %s", name)
	}
	return sum
}

// create makes a link and gives its code.
func (s *server) create(t *testing.T, key, destination string) string {
	t.Helper()
	body := `{"long_url":` + quote(destination) + `}`
	return s.must(t, http.StatusCreated, ask{method: "POST", path: "/api/v1/urls", key: key, body: body}).text("short_code")
}

// field gives a field of the JSON body; a dot goes one level down, a number
// into a list.
func (r reply) field(path string) any {
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return nil
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// text gives a field as text: "" where it is not there, "null" for null.
func (r reply) text(path string) string {
	v := r.field(path)
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// eventually waits until condition says "", at most for patience. The last
// thing it said fails the test.
func eventually(t *testing.T, patience time.Duration, condition func() string) time.Duration {
	t.Helper()
	began := time.Now()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		said := condition()
		if said == "" {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("after %v: %s", patience, said)
		}
		<-ticker.C
	}
}
