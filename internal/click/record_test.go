package click_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kurz/internal/click"
)

var at = time.Date(2026, 11, 22, 10, 30, 15, 123e6, time.UTC)

func visit() *click.Visit {
	return &click.Visit{
		Time: at, Link: 42, Owner: 7, Client: netip.MustParseAddr("203.0.113.9"),
		UserAgent: "Mozilla/5.0", Referer: "https://news.example/a?token=secret#top",
		AcceptLanguage: "de-CH,de;q=0.9", Purpose: "prefetch",
		Query:       "a=1&utm_source=mail&qr=1&utm_medium=x%20y&b",
		TargetQuery: "utm_source=other",
	}
}

func TestRecordOfVisit(t *testing.T) {
	place := click.Place{Country: "DE", Region: "Bavaria", City: "München"}
	tests := []struct {
		name   string
		change func(v *click.Visit)
		want   func(n *click.Noted)
	}{
		{"all", func(*click.Visit) {}, func(*click.Noted) {}},
		{"head", func(v *click.Visit) { v.Head = true }, func(n *click.Noted) { n.Head = true }},
		{"campaign of the destination", func(v *click.Visit) { v.Query = "qr=1" }, func(n *click.Noted) {
			n.Query, n.TargetQuery = "qr=1", "utm_source=other"
		}},
		{"no trigger from the destination", func(v *click.Visit) { v.Query, v.TargetQuery = "x", "qr=1&utm_id=3&a" }, func(n *click.Noted) {
			n.Query, n.TargetQuery = "", "utm_id=3"
		}},
		{"empty", func(v *click.Visit) {
			*v = click.Visit{Time: at, Link: 42, Owner: 7}
		}, func(n *click.Noted) { n.Headers = click.Headers{} }},
		{"untracked", func(v *click.Visit) { v.Untracked = true }, func(n *click.Noted) {
			n.Untracked, n.Visitor, n.Place, n.Headers = true, 0, click.Place{}, click.Headers{}
		}},
		{"too long", func(v *click.Visit) {
			long := strings.Repeat("x", 5000)
			v.UserAgent, v.Referer, v.AcceptLanguage, v.Purpose = long, long, long, long
			v.Query = "utm_term=" + long + "&utm_id=1"
		}, func(n *click.Noted) {
			long := strings.Repeat("x", 5000)
			n.UserAgent, n.Referer, n.AcceptLanguage, n.Purpose = long[:1024], long[:1024], long[:128], long[:64]
			n.Query = ("utm_term=" + long)[:1023]
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := visit()
			tt.change(v)
			want := click.Noted{
				Time: at, Link: 42, Owner: 7, Visitor: 99, Place: place, Kind: click.Bot,
				Headers: click.Headers{
					UserAgent: "Mozilla/5.0", Referer: "https://news.example/a", AcceptLanguage: "de-CH,de;q=0.9",
					Purpose: "prefetch", Query: "utm_source=mail&qr=1&utm_medium=x%20y",
				},
			}
			tt.want(&want)
			b := click.AppendVisit(nil, v, place, 99, click.Bot)
			got, err := click.ParseNoted(b)
			if d := cmp.Diff(want, got); err != nil || d != "" {
				t.Error(err, d)
			}
			for cut := range len(b) {
				if _, err := click.ParseNoted(b[:cut]); err == nil {
					t.Errorf("cut to %d of %d bytes it is read", cut, len(b))
				}
			}
			if _, err := click.ParseNoted(append(b, 0)); err == nil {
				t.Error("with a byte too many it is read")
			}
		})
	}
}

func TestRecordOfAnotherVersion(t *testing.T) {
	b := click.AppendVisit(nil, visit(), click.Place{}, 1, 0)
	for i, value := range map[int]byte{0: 2, 1: 0x80, 2: 77} {
		c := append([]byte(nil), b...)
		c[i] = value
		if _, err := click.ParseNoted(c); err == nil {
			t.Errorf("byte %d made %d is read", i, value)
		}
	}
}

func TestRecordOfAnyVisit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringN(0, 3000, 3000))
		v := &click.Visit{
			Time: at, Link: 1, Client: netip.MustParseAddr("2001:db8::1"),
			UserAgent: text.Draw(t, "agent"), Referer: text.Draw(t, "referer"),
			AcceptLanguage: text.Draw(t, "language"), Purpose: text.Draw(t, "purpose"),
			Query:       "utm_source=" + text.Draw(t, "query") + "&utm_term=" + text.Draw(t, "term"),
			TargetQuery: text.Draw(t, "target"),
		}
		n, err := click.ParseNoted(click.AppendVisit(nil, v, click.Place{City: text.Draw(t, "city")}, 1, 0))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(v.UserAgent, n.UserAgent) || !strings.HasPrefix(v.Referer, n.Referer) {
			t.Fatalf("%+v", n)
		}
	})
}

func FuzzParseNoted(f *testing.F) {
	f.Add([]byte{})
	f.Add(click.AppendVisit(nil, visit(), click.Place{Country: "DE"}, 5, 0))
	v := visit()
	v.Untracked = true
	f.Add(click.AppendVisit(nil, v, click.Place{}, 0, click.Head))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := click.ParseNoted(b)
		if err != nil {
			return
		}
		// What was read can be written again, and says the same.
		v := &click.Visit{
			Time: n.Time, Link: n.Link, Owner: n.Owner, Head: n.Head, Untracked: n.Untracked,
			UserAgent: n.UserAgent, Referer: n.Referer, AcceptLanguage: n.AcceptLanguage, Purpose: n.Purpose,
		}
		again, err := click.ParseNoted(click.AppendVisit(nil, v, n.Place, n.Visitor, n.Kind))
		if err != nil || again.UserAgent != n.UserAgent || !again.Time.Equal(n.Time) || again.Kind != n.Kind {
			t.Fatalf("%+v, then %+v, %v", n, again, err)
		}
	})
}
