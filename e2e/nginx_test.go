package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kurz/test/program"
	"kurz/test/rfc9112"
)

// nginxConfig passes what comes on one port as a whole, and on the other as it
// comes, so in chunks too, over the same kept connections. Each request has an
// id of nginx's own, which kurz is told and nginx tells the client.
const nginxConfig = `daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  log_format forwarded '$upstream_addr $uri $upstream_status';
  access_log %[1]s/access.log forwarded;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  client_header_timeout 1s;
  client_body_timeout 1s;
  keepalive_timeout 1s;
  underscores_in_headers on;
  ignore_invalid_headers off;
  upstream kurz { server %[2]s; keepalive 2; }
  proxy_http_version 1.1;
  proxy_next_upstream off;
  proxy_ignore_client_abort on;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Request-Id $request_id;
  add_header X-Meant "$request_id $upstream_status" always;
  server { listen %[3]s; server_name a; location / { proxy_pass http://kurz; } }
  server { listen %[4]s; server_name a; location / { proxy_pass http://kurz; proxy_request_buffering off; } }
}
`

// nginx is one before a kurz.
type nginx struct {
	addrs [2]string // where it takes requests as a whole, and as they come
	log   string
}

func startNginx(t *testing.T, upstream string) *nginx {
	t.Helper()
	needs(t, "nginx")
	dir := t.TempDir()
	n := &nginx{log: filepath.Join(dir, "access.log")}
	for i := range n.addrs {
		addr, err := program.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		n.addrs[i] = addr
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, upstream, n.addrs[0], n.addrs[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // its worker is another user
		for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	command := exec.Command("nginx", "-c", config, "-e", filepath.Join(dir, "error.log"))
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		command.Wait()
	})
	eventually(t, 10*time.Second, func() string {
		c, err := net.Dial("tcp", n.addrs[1])
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
	return n
}

// forwarded counts the requests that nginx sent to kurz, by path and status; "-"
// is one of which it gave up, for want of the rest of its body.
func (n *nginx) forwarded(t *testing.T) (byAnswer map[string]int, all int) {
	t.Helper()
	text, err := os.ReadFile(n.log)
	if err != nil {
		t.Fatal(err)
	}
	byAnswer = map[string]int{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] != "-" {
			byAnswer[f[1]+" "+f[2]]++
			all++
		}
	}
	return byAnswer, all
}

// ruled starts a server with the links of test/rfc9112.
func ruled(t *testing.T, env ...string) (s *server, key string) {
	t.Helper()
	s = start(t, append(unlimited(), env...)...)
	key = s.key(t, "ann@example.org")
	for code, status := range map[string]int{rfc9112.Honest: 302, rfc9112.Smuggled: 301} {
		s.must(t, 201, ask{
			method: "POST", path: "/api/v1/urls", key: key,
			body: fmt.Sprintf(`{"long_url":"https://go.dev/%s","custom_alias":%q,"redirect_status":%d}`, code, code, status),
		})
	}
	return s, key
}

// clicksOf counts a link's clicks, once nothing is on the way.
func (s *server) clicksOf(t *testing.T, key, code string, want int) {
	t.Helper()
	eventually(t, 20*time.Second, func() string {
		got := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats?kind=all", key: key}).text("total_clicks")
		if got != fmt.Sprint(want) {
			return fmt.Sprintf("%s has %s clicks, want %d", code, got, want)
		}
		return ""
	})
}

// TestRFC9112 sends what the table of test/rfc9112 has to the real program. What
// only looks like a request is for a link of its own, which gets no click.
func TestRFC9112(t *testing.T) {
	t.Parallel()
	s, key := ruled(t)
	honest := 0
	for _, c := range rfc9112.Cases() {
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Play(conn); err != nil {
			t.Errorf("%s %s: %v; sent %q", c.Section, c.Name, err, c.Raw)
		}
		honest += strings.Count(strings.Join(c.Answers, "\n"), "302 ")
		if !c.Ends {
			honest++
		}
	}
	// Those come last in the journal, so that all is counted that will be.
	s.clicksOf(t, key, rfc9112.Honest, honest)
	s.clicksOf(t, key, rfc9112.Smuggled, 0)
}

// TestRFC9112BehindNginx sends the same to nginx before it. Whatever nginx makes
// of it, kurz reads what nginx forwards as the requests that nginx meant: no
// more, no fewer, and each answer goes to the request that it is for.
func TestRFC9112BehindNginx(t *testing.T) {
	t.Parallel()
	s, key := ruled(t)
	n := startNginx(t, s.Addr)
	before := s.metric(t, "kurz_http_requests_total")
	answered, passed := 0, 0
	exchange := func(addr, name, raw string, stops bool) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		answers, err := rfc9112.Exchange(conn, raw, stops)
		if err != nil {
			t.Errorf("%s: %v; sent %q", name, err, raw)
		}
		answered += len(answers)
		for _, a := range answers {
			meant, upstream, _ := strings.Cut(a.Header.Get("X-Meant"), " ")
			if upstream == "" {
				continue // nginx's own
			}
			passed++
			// What kurz can't read has no id but kurz's.
			if id := a.Header.Get("X-Request-Id"); id != meant && a.Status != 400 {
				t.Errorf("%s: answer %d to %s of kurz's for %s of nginx's; sent %q", name, a.Status, id, meant, raw)
			}
		}
	}
	for _, c := range rfc9112.Cases() {
		if c.Name == "version 0.9" {
			continue // nginx answers it, without a head
		}
		for _, addr := range n.addrs {
			exchange(addr, c.Section+" "+c.Name, c.Raw+rfc9112.Next, c.Stops)
			// Another client, on the same connection behind nginx.
			exchange(addr, "after "+c.Section+" "+c.Name, rfc9112.Next, false)
		}
	}
	// nginx writes its log after its answer; kurz counts its answer to before.
	var meant map[string]int
	var forwarded int
	eventually(t, 5*time.Second, func() string {
		if meant, forwarded = n.forwarded(t); forwarded < passed {
			return fmt.Sprintf("nginx forwarded %d requests, and passed on %d answers", forwarded, passed)
		}
		return ""
	})
	counted := s.metric(t, "kurz_http_requests_total") - before - 1
	if counted != float64(forwarded) {
		t.Errorf("nginx forwarded %d requests, kurz answered %v", forwarded, counted)
	}
	s.clicksOf(t, key, rfc9112.Honest, meant["/"+rfc9112.Honest+" 302"])
	s.clicksOf(t, key, rfc9112.Smuggled, meant["/"+rfc9112.Smuggled+" 301"])
	t.Logf("%d answers of nginx, %d of them kurz's; %d requests forwarded, %v counted: %v", answered, passed, forwarded, counted, meant)
}
