package e2e_test

import (
	"bytes"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestNoAddress shows that a visitor's address touches no disk and no log: not
// while its clicks are in the journal, nor when they are in the statistics, nor
// after a kill.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	s := start(t, append(unlimited(), "KURZ_TRUSTED_PROXIES=127.0.0.0/8", "KURZ_LOG_REDIRECTS=1", "KURZ_LOG_LEVEL=debug", "KURZ_PUMP_INTERVAL=2s")...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	visitors := []string{"203.0.113.177", "2001:db8:1234:5678:9abc:def0:1357:2468"}
	for _, visitor := range visitors {
		header := map[string]string{"X-Forwarded-For": visitor, "User-Agent": "a visitor"}
		s.must(t, 302, ask{method: "GET", path: "/" + code, header: header})
		s.must(t, 404, ask{method: "GET", path: "/nobodys", header: header})
		s.must(t, 201, ask{method: "POST", path: "/api/v1/urls", header: map[string]string{"X-Forwarded-For": visitor, "Idempotency-Key": "mine"}, body: `{"long_url":"https://go.dev/"}`})
	}
	s.findNone(t, visitors, "a visitor")
	s.backUp(t).findNone(t, visitors, "https://go.dev/") // clicks may be counted already, which keeps no agents
	s.Kill()
	s.findNone(t, visitors, "a visitor")
	s.again(t)
	eventually(t, 10*time.Second, func() string {
		r := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats?kind=all", key: key})
		if r.text("total_clicks") != "2" {
			return string(r.body)
		}
		return ""
	})
	s.findNone(t, visitors, "")
}

// backUp gives a server, which does not run, on a folder restored from a backup
// of this one.
func (s *server) backUp(t *testing.T) *server {
	t.Helper()
	other := *s.Server
	other.Data = filepath.Join(t.TempDir(), "restored")
	file := filepath.Join(t.TempDir(), "kurz.backup")
	if out, err := s.Run(t.Context(), "backup", file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := other.Run(t.Context(), "restore", file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return &server{Server: &other, client: s.client}
}

// findNone reads all that the server wrote. The text that is to be there shows
// that it looks in the right place.
func (s *server) findNone(t *testing.T, addresses []string, there string) {
	t.Helper()
	found := there == ""
	written := map[string][]byte{"the log": []byte(s.Log())}
	err := filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		written[filepath.Base(path)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range written {
		found = found || bytes.Contains(text, []byte(there))
		for _, address := range addresses {
			a := netip.MustParseAddr(address)
			forms := map[string][]byte{"text": []byte(address)}
			if a.Is6() { // four bytes are found by chance
				forms["bytes"] = a.AsSlice()
				forms["the /64"] = a.AsSlice()[:8]
			}
			for form, b := range forms {
				if bytes.Contains(text, b) {
					t.Errorf("%s holds the %s of %s", name, form, address)
				}
			}
		}
	}
	if !found {
		t.Errorf("nothing holds %q: the check looks in the wrong place", there)
	}
}

// TestSetUp follows the link that the first start prints, once.
func TestSetUp(t *testing.T) {
	t.Parallel()
	s := start(t)
	link := regexp.MustCompile(regexp.QuoteMeta(s.URL) + `(/setup\?token=\w+)`).FindStringSubmatch(s.Log())
	if link == nil {
		t.Fatalf("no link in %q", s.Log())
	}
	page := s.must(t, 200, ask{method: "GET", path: link[1], header: map[string]string{"Accept": "text/html"}})
	if !bytes.Contains(page.body, []byte(`name="email"`)) {
		t.Errorf("no form: %s", page.body)
	}
	s.must(t, 404, ask{method: "GET", path: "/setup?token=made-up"})
	_, token, _ := strings.Cut(link[1], "=")
	form := ask{
		method: "POST", path: "/setup", body: "email=ann%40example.org&token=" + token,
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"},
	}
	forged := form
	forged.header = map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"}
	s.must(t, 403, forged)
	done := s.must(t, 200, form)
	key := regexp.MustCompile(`kurz_[0-9A-Za-z]{38}`).Find(done.body)
	if key == nil {
		t.Fatalf("no key: %s", done.body)
	}
	me := s.must(t, 200, ask{method: "GET", path: "/api/v1/me", key: string(key)})
	match(t, "role", "admin", me.text("role"))
	s.must(t, 404, form)
	s.must(t, 404, ask{method: "GET", path: link[1]})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.again(t)
	if strings.Contains(s.Log(), "/setup") {
		t.Errorf("a second start prints a link: %s", s.Log())
	}
}
