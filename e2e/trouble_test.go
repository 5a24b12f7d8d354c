package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/test/program"
	"kurz/test/wire"
)

// TestSecondServer shows that a data folder has one server at a time.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	second, err := program.Start(t.Context(), program.Options{Binary: binary, Data: s.Data})
	if err == nil {
		second.Kill()
		t.Fatal("a second server runs on the same data folder")
	}
	t.Log(err)
	match(t, "the error", `(?s).*(in use|another|already).*`, err.Error())
	s.must(t, 200, ask{method: "GET", path: "/health/ready"})
}

// TestReadOnlyFolder shows that a folder which can't be written is refused with
// its name, at once.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	o := program.Options{Binary: binary, Data: filepath.Join(folder, "data")}
	if os.Geteuid() == 0 {
		// Root may write everywhere, so the server runs as nobody.
		o.Change = asNobody
		// The folders above are made for their owner alone.
		for dir := folder; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	} else if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s, err := program.Start(t.Context(), o)
	if err == nil {
		s.Kill()
		t.Fatal("it runs on a folder that it can't write to")
	}
	t.Log(err)
	if !strings.Contains(err.Error(), o.Data) || !strings.Contains(err.Error(), "permission denied") {
		t.Error("the error does not name the folder and the reason")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("refused after %v", took)
	}
}

// TestBadSettings shows that settings which are wrong stop the start, and that
// the error names the setting.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, setting, want string }{
		{"unknown", "KURZ_COLOUR=red", "KURZ_COLOUR"},
		{"malformed", "KURZ_RATE_FREE=many", "KURZ_RATE_FREE"},
		{"contradictory", "KURZ_TLS_CERT=cert.pem", "KURZ_TLS_KEY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := program.Start(t.Context(), program.Options{Binary: binary, Data: t.TempDir(), Env: []string{c.setting}})
			if err == nil {
				s.Kill()
				t.Fatal("it runs")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error does not name %s: %v", c.want, err)
			}
		})
	}
}

// TestLockedDatabase has another process hold the database's only writing
// transaction: creates are refused as passing, redirects go on, and all that
// was acknowledged is there.
func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	fresh := s.create(t, key, "https://go.dev/not-yet-redirected")

	other, err := sqlite.OpenConn(filepath.Join(s.Data, "kurz.db"), sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	execute(t, other, "BEGIN EXCLUSIVE")
	refused := s.must(t, 503, ask{method: "POST", path: "/api/v1/urls", key: key, body: `{"long_url":"https://go.dev/locked"}`})
	match(t, "code", "UNAVAILABLE", refused.text("error.code"))
	match(t, "Retry-After", `[1-9]\d*`, refused.header.Get("Retry-After"))
	s.must(t, 302, ask{method: "GET", path: "/" + code})
	s.must(t, 302, ask{method: "GET", path: "/" + fresh})
	execute(t, other, "ROLLBACK")

	eventually(t, 10*time.Second, func() string {
		r, err := s.do(t.Context(), ask{method: "POST", path: "/api/v1/urls", key: key, body: `{"long_url":"https://go.dev/unlocked"}`})
		if err != nil || r.status != 201 {
			return fmt.Sprintf("create: %d %s %v", r.status, r.body, err)
		}
		return ""
	})
	eventually(t, 10*time.Second, func() string {
		r := s.must(t, 200, ask{method: "GET", path: "/api/v1/stats?kind=all", key: key})
		if r.text("total_clicks") != "2" {
			return "clicks while locked: " + string(r.body)
		}
		return ""
	})
}

// TestRebuildSaysWhatItWaitsFor has another program write the clicks: counting
// them again tells which file it waits for, and goes on once that is free.
func TestRebuildSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Data, "clicks.db")
	other, err := sqlite.OpenConn(file, sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	execute(t, other, "BEGIN IMMEDIATE")
	rebuild := exec.CommandContext(t.Context(), binary, "clicks", "rebuild", "--check", "--data", s.Data)
	rebuild.Env = withoutSettings(os.Environ())
	rebuild.Env = withoutSettings(os.Environ())
	var out bytes.Buffer
	rebuild.Stdout = &out
	told, err := rebuild.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := rebuild.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(told)
	if !lines.Scan() {
		t.Fatalf("it says nothing: %v %s", rebuild.Wait(), out.Bytes())
	}
	match(t, "the first line", "kurz: waiting for another program, which writes "+regexp.QuoteMeta(file), lines.Text())
	execute(t, other, "ROLLBACK")
	for lines.Scan() {
		t.Errorf("and then %q", lines.Text())
	}
	if err := rebuild.Wait(); err != nil || !strings.Contains(out.String(), "none differs") {
		t.Errorf("%v: %s", err, out.Bytes())
	}
}

func execute(t *testing.T, c *sqlite.Conn, sql string) {
	t.Helper()
	if err := sqlitex.ExecuteTransient(c, sql, nil); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestRetryAcrossKill shows that an answer is given again, byte for byte, by
// the server that comes after a killed one.
func TestRetryAcrossKill(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	for _, a := range []ask{
		{method: "POST", path: "/api/v1/urls", key: key, body: `{"long_url":"https://go.dev/"}`},
		{method: "POST", path: "/shorten", body: `{"url":"https://go.dev/"}`},
		{method: "POST", path: "/api/v1/keys", key: key, body: `{"name":"laptop"}`},
		{method: "POST", path: "/api/v1/urls", key: key, body: `{"long_url":"nonsense"}`},
	} {
		a.header = map[string]string{"Idempotency-Key": fmt.Sprintf("across-%x", a.body)}
		first, err := s.do(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		s.Kill()
		s.again(t)
		second := s.must(t, first.status, a)
		match(t, "Idempotency-Replayed", "true", second.header.Get("Idempotency-Replayed"))
		if !bytes.Equal(first.body, second.body) {
			t.Errorf("%s %s: answered\n%s\nand then\n%s", a.path, a.body, first.body, second.body)
		}
	}
}

// TestGracefulEnd sends SIGTERM while a request is half sent: it is finished,
// new connections are refused, and the exit status is 0.
func TestGracefulEnd(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	conn, err := wire.Dial(t.Context(), s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := wire.AppendPost(nil, s.Addr, "/api/v1/urls", "", []byte(`{"long_url":"https://go.dev/","custom_alias":"half"}`))
	half := len(request) - 10
	if _, err := conn.Write(request[:half]); err != nil {
		t.Fatal(err)
	}
	// Once another connection was served, this one's half has arrived too.
	s.must(t, 200, ask{method: "GET", path: "/health"})
	if err := s.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() string {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			return ""
		}
		c.Close()
		return "new connections are still accepted"
	})
	r, err := conn.Do(request[half:])
	if err != nil {
		t.Fatalf("the running request: %v", err)
	}
	var made struct {
		Code string `json:"short_code"`
	}
	if err := json.Unmarshal(r.Body, &made); err != nil || r.Status != 201 || made.Code != "half" {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	select {
	case <-s.Done():
	case <-time.After(15 * time.Second):
		t.Fatal("it does not end")
	}
	match(t, "how it ended", "exit status 0", s.Exit().Error())
	s.again(t)
	s.must(t, 302, ask{method: "GET", path: "/half"})
}
