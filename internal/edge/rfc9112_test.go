package edge_test

import (
	"strings"
	"testing"

	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/redirect"
	"kurz/test/rfc9112"
)

// TestRFC9112 sends what the table of test/rfc9112 has, to lanes and to net/http
// alone. The click of a link that only looks asked for would be a request
// smuggled in.
func TestRFC9112(t *testing.T) {
	for _, netHTTP := range []bool{false, true} {
		t.Run(map[bool]string{false: "lanes", true: "net/http"}[netHTTP], func(t *testing.T) {
			s, clicks := settings(t), &visits{}
			s.NetHTTP = netHTTP
			s.Redirect = redirect.New(redirect.Settings{
				Resolver: redirect.NewResolver(redirect.ResolverSettings{Memory: memory.NewRoutes(100), Store: store{}}),
				Recorder: clicks, Domains: domains(t), Blocklist: link.NewBlocklist(nil),
			})
			addr := serve(t, s)
			for _, c := range rfc9112.Cases() {
				t.Run(c.Section+" "+c.Name, func(t *testing.T) {
					if err := c.Play(dial(t, addr)); err != nil {
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
