package edge_test

import (
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kurz/internal/edge"
)

func logger(l *lines) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func sha256Source(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var trusted = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48"),
	netip.MustParsePrefix("::ffff:172.16.0.0/108"),
}

// clientOf asks an Edge whose request it takes one for.
func clientOf(t testing.TB, unix bool, peer string, forwarded ...string) (client netip.Addr) {
	t.Helper()
	e := edge.New(edge.Settings{
		TrustedProxies: trusted, TrustUnixSocket: unix,
		API: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { client = edge.Client(r.Context()) }),
	})
	r := httptest.NewRequest("GET", "/api", nil)
	r.RemoteAddr = peer
	r.Header["X-Forwarded-For"] = forwarded
	e.ServeHTTP(httptest.NewRecorder(), r)
	return client
}

func TestClient(t *testing.T) {
	for _, c := range []struct {
		name      string
		peer      string
		forwarded []string
		unix      bool
		want      string // "" for none
	}{
		{name: "direct", peer: "192.0.2.1:4711", want: "192.0.2.1"},
		{name: "direct IPv6", peer: "[2001:db8::1]:4711", want: "2001:db8::1"},
		{name: "direct with a zone", peer: "[fe80::1%eth0]:4711", want: "fe80::1"},
		{name: "direct and mapped", peer: "[::ffff:192.0.2.1]:4711", want: "192.0.2.1"},
		{name: "claimed by a stranger", peer: "192.0.2.1:4711", forwarded: []string{"198.51.100.1"}, want: "192.0.2.1"},
		{name: "told by a proxy", peer: "10.0.0.1:4711", forwarded: []string{"198.51.100.1"}, want: "198.51.100.1"},
		{name: "told by a mapped proxy", peer: "[::ffff:10.0.0.1]:4711", forwarded: []string{"198.51.100.1"}, want: "198.51.100.1"},
		{name: "told by a proxy of a mapped network", peer: "172.31.0.1:4711", forwarded: []string{"198.51.100.1"}, want: "198.51.100.1"},
		{name: "told by an IPv6 proxy", peer: "[2001:db8:ffff::1]:4711", forwarded: []string{"198.51.100.1"}, want: "198.51.100.1"},
		{name: "claimed to a proxy", peer: "10.0.0.1:4711", forwarded: []string{"203.0.113.9, 198.51.100.1"}, want: "198.51.100.1"},
		{name: "two proxies", peer: "10.0.0.1:4711", forwarded: []string{"203.0.113.9, 198.51.100.1, 10.0.0.2"}, want: "198.51.100.1"},
		{name: "over lines", peer: "10.0.0.1:4711", forwarded: []string{"203.0.113.9", "198.51.100.1", "10.0.0.2"}, want: "198.51.100.1"},
		{name: "proxies only", peer: "10.0.0.1:4711", forwarded: []string{"10.0.0.3, 10.0.0.2"}, want: "10.0.0.3"},
		{name: "proxy itself", peer: "10.0.0.1:4711", want: "10.0.0.1"},
		{name: "with a port", peer: "10.0.0.1:4711", forwarded: []string{"198.51.100.1:1234"}, want: "198.51.100.1"},
		{name: "IPv6", peer: "10.0.0.1:4711", forwarded: []string{"2001:db8::2"}, want: "2001:db8::2"},
		{name: "IPv6 in brackets", peer: "10.0.0.1:4711", forwarded: []string{"[2001:db8::2]"}, want: "2001:db8::2"},
		{name: "IPv6 with a port", peer: "10.0.0.1:4711", forwarded: []string{"[2001:db8::2]:443"}, want: "2001:db8::2"},
		{name: "IPv6 with a zone", peer: "10.0.0.1:4711", forwarded: []string{"fe80::2%eth1"}, want: "fe80::2"},
		{name: "mapped", peer: "10.0.0.1:4711", forwarded: []string{"::ffff:198.51.100.1"}, want: "198.51.100.1"},
		{name: "mapped proxy in the list", peer: "10.0.0.1:4711", forwarded: []string{"198.51.100.1, ::ffff:10.0.0.2"}, want: "198.51.100.1"},
		{name: "empty elements", peer: "10.0.0.1:4711", forwarded: []string{", 198.51.100.1 ,\t,", ""}, want: "198.51.100.1"},
		{name: "garbage", peer: "10.0.0.1:4711", forwarded: []string{"unknown"}, want: "10.0.0.1"},
		{name: "garbage behind a proxy", peer: "10.0.0.1:4711", forwarded: []string{"198.51.100.1, _hidden, 10.0.0.2"}, want: "10.0.0.2"},
		{name: "IPv4 in brackets", peer: "10.0.0.1:4711", forwarded: []string{"[198.51.100.1]"}, want: "10.0.0.1"},
		{name: "half a bracket", peer: "10.0.0.1:4711", forwarded: []string{"[2001:db8::2"}, want: "10.0.0.1"},
		{name: "lone bracket", peer: "10.0.0.1:4711", forwarded: []string{"["}, want: "10.0.0.1"},
		{name: "unix socket", peer: "@", forwarded: []string{"198.51.100.1"}, want: ""},
		{name: "trusted unix socket", peer: "@", unix: true, forwarded: []string{"198.51.100.1"}, want: "198.51.100.1"},
		{name: "trusted unix socket that says nothing", peer: "", unix: true, want: ""},
		{name: "trusted unix socket, garbage", peer: "", unix: true, forwarded: []string{"x"}, want: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want netip.Addr
			if c.want != "" {
				want = netip.MustParseAddr(c.want)
			}
			if got := clientOf(t, c.unix, c.peer, c.forwarded...); got != want {
				t.Errorf("client %s, want %s", got, want)
			}
		})
	}
}

// FuzzForwardedFor compares with a slower way to say the same: of the whole
// list with the peer at its end, the last address that everybody behind it
// vouches for.
func FuzzForwardedFor(f *testing.F) {
	f.Add("10.0.0.1:1", "198.51.100.1, 10.0.0.2", "::ffff:10.9.9.9")
	f.Add("192.0.2.1:1", "198.51.100.1", "")
	f.Add("[2001:db8:ffff::1]:1", "[2001:db8::2]:443,unknown,", "fe80::1%eth0")
	f.Add("@", ",,,[", "]")
	f.Fuzz(func(t *testing.T, peer, one, two string) {
		got := clientOf(t, false, peer, one, two)
		if got.IsValid() && (got.Is4In6() || got.Zone() != "") {
			t.Errorf("client %s is not in its plain form", got)
		}
		direct := clientOf(t, false, peer)
		if !trusts(direct) {
			if got != direct {
				t.Fatalf("%q is no proxy, but said who it is: %s", peer, got)
			}
			return
		}
		items := append(strings.Split(one, ","), strings.Split(two, ",")...)
		want := direct
		for _, item := range slices.Backward(items) {
			if item = strings.Trim(item, " \t"); item == "" {
				continue
			}
			// An element by itself is read as a peer is.
			next := clientOf(t, false, item)
			if !next.IsValid() {
				break
			}
			if want = next; !trusts(next) {
				break
			}
		}
		if got != want {
			t.Errorf("client %s, want %s", got, want)
		}
	})
}

func trusts(addr netip.Addr) bool {
	if addr.Is4() && netip.MustParsePrefix("172.16.0.0/12").Contains(addr) {
		return true
	}
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}
