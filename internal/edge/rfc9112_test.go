package edge_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"kurz/internal/edge"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/redirect"
	"kurz/test/rfc9112"
)

// TestRFC9112 sends what the table of test/rfc9112 has, to lanes, to them over
// TLS, and to net/http alone. The click of a link that only looks asked for would
// be a request smuggled in.
func TestRFC9112(t *testing.T) {
	certFile, keyFile := files(t, "kurz.example")
	for _, way := range []struct {
		name    string
		netHTTP bool
		tls     *edge.TLS
	}{
		{name: "lanes"},
		{name: "lanes over TLS", tls: &edge.TLS{CertFile: certFile, KeyFile: keyFile}},
		{name: "net/http", netHTTP: true},
	} {
		t.Run(way.name, func(t *testing.T) {
			s, clicks := settings(t), &visits{}
			s.NetHTTP, s.TLS = way.netHTTP, way.tls
			s.Redirect = redirect.New(redirect.Settings{
				Resolver: redirect.NewResolver(redirect.ResolverSettings{Memory: memory.NewRoutes(100), Store: store{}}),
				Recorder: clicks, Domains: domains(t), Blocklist: link.NewBlocklist(nil),
			})
			addr := serve(t, s)
			for _, c := range rfc9112.Cases() {
				t.Run(c.Section+" "+c.Name, func(t *testing.T) {
					conn := dial(t, addr)
					if way.tls != nil {
						conn = tls.Client(conn, insecure())
					}
					if err := c.Play(conn); err != nil {
						t.Errorf("%v; sent %q", err, c.Raw)
					}
					want := strings.Count(strings.Join(c.Answers, "\n"), "302 ")
					if !c.Ends {
						want++
					}
					if got := strings.Count(clicks.take(), "\n"); got != want {
						t.Errorf("%d clicks, want %d", got, want)
					}
				})
			}
		})
	}
}
