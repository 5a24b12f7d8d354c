package link_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kurz/internal/fault"
	"kurz/internal/link"
)

func domains(t testing.TB, base string, others ...string) *link.Domains {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	d, err := link.NewDomains(u, others)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// corpus opens one of the public test files that lie beside the project, in
// ../shared/corpora or where KURZ_CORPORA says. A clean checkout has no such
// folder beside it: the test is skipped then, and fails only where
// KURZ_CORPORA says otherwise.
func corpus(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("KURZ_CORPORA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpora")
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if os.IsNotExist(err) && os.Getenv("KURZ_CORPORA") == "" {
		t.Skipf("no %s: put it into %s or set KURZ_CORPORA", name, dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The Web Platform Tests say what browsers do: what they fail is refused, and
// what they parse as http(s) is stored with the host and href they record,
// unless kurz's own stricter rules refuse it.
func TestDestinationsAreWhatBrowsersFollow(t *testing.T) {
	var cases []json.RawMessage
	if err := json.Unmarshal(corpus(t, "urltestdata.json"), &cases); err != nil {
		t.Fatal(err)
	}
	open := link.Policy{AllowPrivate: true}
	failed, stored, stricter, skipped := 0, 0, 0, 0
	for _, raw := range cases {
		var c struct {
			Input, Protocol, Host, Hostname, Href, Username, Password string

			Base    *string
			Failure bool
		}
		if raw[0] != '{' {
			continue // a comment
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		if c.Base != nil && *c.Base != "about:blank" {
			skipped++
			continue
		}
		href, err := link.ParseDestination(c.Input, open)
		switch {
		case c.Failure || c.Protocol != "http:" && c.Protocol != "https:":
			failed++
			if err == nil {
				t.Errorf("%q is stored as %q, browsers do not follow it", c.Input, href)
			}
		case err == nil:
			stored++
			if got := href.Host(); got != c.Hostname {
				t.Errorf("%q: stored host %q, browsers go to %q", c.Input, got, c.Hostname)
			}
			if string(href) != c.Href {
				t.Errorf("%q: stored %q, browsers have %q", c.Input, href, c.Href)
			}
		case c.Username != "" || c.Password != "" || strings.ContainsFunc(c.Input, strange):
			stricter++
		default:
			t.Errorf("%q is refused (%v), browsers go to %q", c.Input, err, c.Href)
		}
		if err != nil && !fault.Is(err, fault.InvalidURL) {
			t.Errorf("%q: %v, want %s", c.Input, err, fault.InvalidURL)
		}
	}
	t.Logf("%d refused as by browsers, %d stored as browsers have them, %d refused by stricter rules, %d need a base", failed, stored, stricter, skipped)
	if failed+stored < 300 {
		t.Errorf("only %d cases were compared", failed+stored)
	}
}

// strange reports the characters that kurz refuses and browsers drop or encode.
func strange(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xad || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e ||
		r >= 0x2060 && r <= 0x206f || r == 0xfeff || r == 0xfffd || r == 0x2028 || r == 0x2029
}

func TestParseDestination(t *testing.T) {
	policy := link.Policy{
		Domains:   domains(t, "https://s.example", "go.example", "local.example:8443", "[2001:db8::1]"),
		Blocklist: link.NewBlocklist([]string{"evil.example", "*.bad.example", "MÜLL.example"}),
	}
	private := "private"
	tests := []struct {
		name, in, want, refusal string
	}{
		{"plain", "https://example.com/a?b=c#d", "https://example.com/a?b=c#d", ""},
		{"a path is added", "http://example.com", "http://example.com/", ""},
		{"scheme and host in lower case", "HTTP://EXAMPLE.com/A", "http://example.com/A", ""},
		{"default port dropped", "https://example.com:443/", "https://example.com/", ""},
		{"another port kept", "https://example.com:8443/", "https://example.com:8443/", ""},
		{"spaces around", "  https://example.com/  ", "https://example.com/", ""},
		{"space within", "https://example.com/a b", "https://example.com/a%20b", ""},
		{"unicode", "https://bücher.example/ä?ö#ü", "https://xn--bcher-kva.example/%C3%A4?%C3%B6#%C3%BC", ""},
		{"emoji with a variation selector", "https://example.com/❤️", "https://example.com/%E2%9D%A4%EF%B8%8F", ""},
		{"backslashes are slashes", `https:\\example.com\a`, "https://example.com/a", ""},
		{"dots resolved", "https://example.com/a/../b", "https://example.com/b", ""},
		{"quotes and brackets encoded", `https://example.com/"<>`, "https://example.com/%22%3C%3E", ""},
		{"public IPv4 in hexadecimal", "http://0x08080808/", "http://8.8.8.8/", ""},
		{"public IPv6", "http://[2606:4700::1111]/", "http://[2606:4700::1111]/", ""},
		{"punycode as it is", "https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/", ""},
		{"invalid punycode as it is", "https://a.XN--pokxncvks/", "https://a.xn--pokxncvks/", ""},

		{"empty", "", "", "missing"},
		{"only spaces", "   ", "", "missing"},
		{"no scheme", "example.com/a", "", "https://"},
		{"other scheme", "javascript:alert(1)", "", "http://"},
		{"data", "data:text/html,x", "", "http://"},
		{"ftp", "ftp://example.com/", "", "http://"},
		{"file", "file:///etc/passwd", "", "http://"},
		{"no host", "https://", "", "parsed"},
		{"bad port", "https://example.com:99999/", "", "parsed"},
		{"a space in the host", "https://exa mple.com/", "", "parsed"},
		{"credentials", "https://user:secret@example.com/", "", "password"},
		{"a name as credentials", "https://paypal.com@example.net/", "", "user name"},
		{"newline", "https://example.com/\nSet-Cookie: a=b", "", "U+000A"},
		{"newline at the end", "https://example.com/\n", "", "U+000A"},
		{"tab", "https://exam\tple.com/", "", "U+0009"},
		{"NUL", "https://example.com/\x00", "", "U+0000"},
		{"C1 control", "https://example.com/\u0085", "", "U+0085"},
		{"line separator", "https://example.com/\u2028", "", "U+2028"},
		{"bidirectional override", "https://example.com/\u202egnp.exe", "", "bidirectional"},
		{"zero width", "https://exam\u200bple.com/", "", "invisible"},
		{"soft hyphen", "https://exam\u00adple.com/", "", "invisible"},
		{"byte order mark", "\ufeffhttps://example.com/", "", "invisible"},
		{"invalid UTF-8", "https://example.com/\xff", "", "UTF-8"},
		{"too long", "https://example.com/" + strings.Repeat("a", link.MaxURL), "", "8192"},
		{"too long once encoded", "https://example.com/" + strings.Repeat("ä", link.MaxURL/3), "", "normalised"},
		{"exactly as long as allowed", "https://example.com/" + strings.Repeat("a", link.MaxURL-20), "https://example.com/" + strings.Repeat("a", link.MaxURL-20), ""},

		{"own domain", "https://s.example/x", "", "back"},
		{"own domain by http", "http://S.example/x", "", "back"},
		{"own domain with the root's dot", "http://s.example./x", "", "back"},
		{"own domain at another port", "https://s.example:8443/x", "", "back"},
		{"own host at another port than its own", "https://local.example/x", "https://local.example/x", ""},
		{"other own domain", "https://go.example/", "", "back"},
		{"own domain and port", "https://local.example:8443/", "", "back"},
		{"own address", "https://[2001:db8::1]/", "", "back"},

		{"localhost", "http://localhost:3000/", "", private},
		{"a name under localhost", "http://app.localhost/", "", private},
		{"loopback", "http://127.0.0.1/", "", private},
		{"loopback as a number", "http://2130706433/", "", private},
		{"loopback in octal", "http://0177.1/", "", private},
		{"loopback in IPv6", "http://[::1]/", "", private},
		{"unspecified", "http://0/", "", private},
		{"private", "http://10.1.2.3/", "", private},
		{"private in IPv6", "http://[::ffff:192.168.0.1]/", "", private},
		{"private in the old IPv4-compatible form", "http://[::10.0.0.1]/", "", private},
		{"private behind NAT64", "http://[64:ff9b::a00:1]/", "", private},
		{"public behind NAT64", "http://[64:ff9b::808:808]/", "http://[64:ff9b::808:808]/", ""},
		{"private behind SIIT", "http://[::ffff:0:127.0.0.1]/", "", private},
		{"Teredo", "http://[2001:0:1::]/", "", private},
		{"private in 6to4", "http://[2002:c0a8:1::]/", "", private},
		{"cloud metadata", "http://169.254.169.254/latest", "", private},
		{"carrier-grade NAT", "http://100.64.0.1/", "", private},
		{"unique local", "http://[fd00::1]/", "", private},
		{"link-local", "http://[fe80::1]/", "", private},
		{"multicast", "http://224.0.0.1/", "", private},
		{"no dot", "http://intranet/", "", private},
		{"no dot but the root's", "http://intranet./", "", private},
		{"mdns", "http://printer.local/", "", private},

		{"blocked", "https://evil.example/x", "", "URL_BLOCKED"},
		{"below a blocked one", "https://a.b.evil.example/x", "", "URL_BLOCKED"},
		{"blocked with the root's dot", "https://evil.example./x", "", "URL_BLOCKED"},
		{"blocked by star", "https://x.bad.example/", "", "URL_BLOCKED"},
		{"blocked in unicode", "https://xn--mll-hoa.example/", "", "URL_BLOCKED"},
		{"not below a blocked one", "https://notevil.example/", "https://notevil.example/", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := link.ParseDestination(tt.in, policy)
			if string(got) != tt.want {
				t.Errorf("stored %q, want %q", got, tt.want)
			}
			if tt.refusal == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.refusal) {
				t.Fatalf("error %v, want it to say %q", err, tt.refusal)
			}
			if f := fault.Of(err); f.Code != fault.URLBlocked && (f.Code != fault.InvalidURL || len(f.Details) != 1 || f.Details[0].Field != "long_url") {
				t.Errorf("fault %+v", f)
			}
		})
	}
}

func TestPrivateDestinationsCanBeAllowed(t *testing.T) {
	for _, in := range []string{"http://localhost:3000/", "http://10.0.0.1/", "http://[::1]/", "http://intranet/"} {
		if got, err := link.ParseDestination(in, link.Policy{AllowPrivate: true}); err != nil || string(got) != in {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
}

func FuzzParseDestination(f *testing.F) {
	for _, s := range []string{
		"https://example.com/", "http://[::1]:80/", "https://a@b/", "//x", "http:example.com", `http:\\x\..\y`,
		"https://xn--/", "https://%41.example/", "https://example.com/?a=b#c d", "http://1.2.3", "https://ex\u200bample.com",
	} {
		f.Add(s)
	}
	policy := link.Policy{Domains: domains(f, "https://s.example")}
	f.Fuzz(func(t *testing.T, in string) {
		href, err := link.ParseDestination(in, policy)
		if err != nil {
			if !fault.Is(err, fault.InvalidURL) {
				t.Fatalf("%q: %v", in, err)
			}
			return
		}
		for i := range len(href) {
			if href[i] <= ' ' || href[i] >= 0x7f {
				t.Fatalf("%q: byte %#x in %q", in, href[i], href)
			}
		}
		again, err := link.ParseDestination(string(href), policy)
		if err != nil || again != href {
			t.Fatalf("%q: stored %q, which reads as %q, %v", in, href, again, err)
		}
		if strings.Contains(href.Host(), "@") || href.Host() == "" {
			t.Fatalf("%q: host %q", in, href.Host())
		}
		// Whatever a request's query holds, the host stays and no header breaks.
		full := link.Href(href.AppendQuery(nil, in))
		if full.Host() != href.Host() || !strings.HasPrefix(string(full), string(href)[:strings.IndexByte(string(href)[8:], '/')+8]) {
			t.Fatalf("query %q moves %q to %q", in, href, full)
		}
		for i := range len(full) {
			if full[i] <= ' ' || full[i] >= 0x7f {
				t.Fatalf("query %q puts byte %#x into %q", in, full[i], full)
			}
		}
	})
}

// FuzzPlainURL holds the short cut against the parser: what it takes must come
// out of the parser unchanged.
func FuzzPlainURL(f *testing.F) {
	for _, s := range []string{
		"https://example.com/a/b?c=d&e=%20f", "http://a.b/", "https://xn--a/", "https://a-.b/", "https://1.2.3.4/", "https://a.0x1/",
		"https://example.com/./x", "https://example.com/..", "https://example.com/%2e%2e/x", "https://a..b/", "https://ab--c.d/",
		"https://example.com/?a/../b", "https://example.com//x", "https://e.example/a%", "https://e.example/?a=%zz",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		href, hostname, port := link.PlainURL(raw)
		if href == "" {
			return
		}
		u, err := link.ParseURL(raw)
		if err != nil {
			t.Fatalf("%q is taken, the parser refuses it: %v", raw, err)
		}
		if got := u.Href(false); got != string(href) || u.Hostname() != hostname || u.Port() != port || u.Username() != "" || u.Password() != "" {
			t.Fatalf("%q: taken as %q at %q %q, the parser has %q at %q %q", raw, href, hostname, port, got, u.Hostname(), u.Port())
		}
	})
}

func TestTheShortCutIsTaken(t *testing.T) {
	for _, s := range []string{
		"https://example.com/", "https://example.com/articles/2026/17/a-title-of-ordinary-length?utm_source=news", "http://sub.example.co.uk/a?b=%20",
	} {
		if href, _, _ := link.PlainURL(s); string(href) != s {
			t.Errorf("%s goes the long way", s)
		}
	}
}

func BenchmarkParseDestination(b *testing.B) {
	for name, raw := range map[string]string{
		"plain":  "https://example.com/articles/2026/17/a-title-of-ordinary-length?utm_source=news",
		"parsed": "https://Example.com/articles/2026/17/a-title-of-ordinary-length?utm_source=news",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := link.ParseDestination(raw, link.Policy{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestAppendQuery(t *testing.T) {
	tests := []struct{ name, href, query, want string }{
		{"after a bare ampersand", "https://e.example/?a=1&", "z=9", "https://e.example/?a=1&z=9"},
		{"none", "https://e.example/", "", "https://e.example/"},
		{"first", "https://e.example/a", "x=1", "https://e.example/a?x=1"},
		{"more", "https://e.example/a?b=2", "x=1&y", "https://e.example/a?b=2&x=1&y"},
		{"after a bare question mark", "https://e.example/a?", "x=1", "https://e.example/a?x=1"},
		{"before the fragment", "https://e.example/a#f?g", "x=1", "https://e.example/a?x=1#f?g"},
		{"kurz's own parameter left out", "https://e.example/", "qr=1&x=1", "https://e.example/?x=1"},
		{"others of that name kept", "https://e.example/", "qr=10&qr&qr=", "https://e.example/?qr=10&qr&qr="},
		{"only kurz's own", "https://e.example/", "qr=1", "https://e.example/"},
		{"hostile", "https://e.example/", "a=\r\nSet-Cookie: b\x00\"<>'#é", "https://e.example/?a=%0D%0ASet-Cookie:%20b%00%22%3C%3E%27%23%C3%A9"},
		{"looks like a host", "https://e.example/", "@evil.example/", "https://e.example/?@evil.example/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(link.Href(tt.href).AppendQuery(nil, tt.query)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
