package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestCommands runs the commands beside a running server, on its folder and
// through it.
func TestCommands(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	run := func(args ...string) string {
		t.Helper()
		out, err := s.Run(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	run("user", "add", "ann@example.org", "--tier", "premium")
	key := run("key", "create", "--user", "ann@example.org", "--name", "laptop")
	if strings.Count(key, "\n") != 1 || !strings.HasPrefix(key, "kurz_") {
		t.Fatalf("key create prints %q, not the key alone", key)
	}
	key = strings.TrimSpace(key)
	match(t, "tier", "premium", s.must(t, 200, ask{method: "GET", path: "/api/v1/me", key: key}).text("tier"))

	if _, err := s.Run(t.Context(), "user", "add", "ann@example.org"); err == nil {
		t.Error("the same user twice")
	}
	if _, err := s.Run(t.Context(), "key", "create", "--user", "nobody@example.org", "--name", "x"); err == nil {
		t.Error("a key for nobody")
	}
	match(t, "user list", `(?s).*ann@example\.org.*`, run("user", "list"))

	// On the folder; the server sees it by the next request.
	short := strings.TrimSpace(run("shorten", "https://go.dev/doc"))
	code := short[strings.LastIndex(short, "/")+1:]
	match(t, "Location", "https://go.dev/doc", s.must(t, 302, ask{method: "GET", path: "/" + code}).header.Get("Location"))
	match(t, "links", "(?s).*"+code+".*", run("links"))

	// Through the server.
	remote := []string{"--server", s.URL}
	s.Env = append(s.Env, "KURZ_API_KEY="+key)
	short = strings.TrimSpace(run(append([]string{"shorten", "https://go.dev/blog"}, remote...)...))
	mine := short[strings.LastIndex(short, "/")+1:]
	s.must(t, 302, ask{method: "GET", path: "/" + mine, header: map[string]string{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}})
	eventually(t, 2*time.Second, func() string {
		var report struct {
			Total int `json:"total_clicks"`
		}
		out := run(append([]string{"stats", mine, "--json"}, remote...)...)
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if report.Total != 1 {
			return "stats: " + out
		}
		return ""
	})

	var keys []struct{ ID, Name string }
	out := run("key", "list", "--user", "ann@example.org", "--json")
	if err := json.Unmarshal([]byte(out), &keys); err != nil || len(keys) != 1 || keys[0].Name != "laptop" {
		t.Fatalf("key list: %v: %s", err, out)
	}
	run("key", "revoke", keys[0].ID)
	eventually(t, 2*time.Second, func() string {
		if r, err := s.do(t.Context(), ask{method: "GET", path: "/api/v1/me", key: key}); err != nil || r.status != 401 {
			return "a revoked key works"
		}
		return ""
	})

	for _, command := range [][]string{{"version"}, {"config"}, {"doctor"}, {"migrate"}, {"help"}} {
		if out := run(command...); out == "" {
			t.Errorf("kurz %s says nothing", command[0])
		}
	}
	if strings.Contains(run("config"), key) {
		t.Error("kurz config shows a secret")
	}
	if _, err := s.Run(t.Context(), "made-up"); err == nil {
		t.Error("an unknown command is no error")
	}
}
