package enrich_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/click"
	"kurz/internal/enrich"
)

func TestSpell(t *testing.T) {
	for _, c := range []struct {
		dimension   click.Dimension
		given, want string
	}{
		{click.ByBrowser, "firefox", "Firefox"},
		{click.ByBrowser, "SAFARI", "Safari"},
		{click.ByBrowser, "line", "LINE"},
		{click.ByBrowser, "unknown", "unknown"},
		{click.ByBrowser, "Netscape", "Netscape"},
		{click.ByBrowser, "android", "android"}, // a system
		{click.ByOS, "MACOS", "macOS"},
		{click.ByOS, "series 40", "Series 40"},
		{click.ByReferrer, "www.News.example", "news.example"},
		{click.ByReferrer, "l.facebook.com", "facebook.com"},
		{click.ByReferrer, "www.de", "www.de"},
		{click.ByReferrer, "news.example:8443", "news.example"},
		{click.ByReferrer, "münchen.example", "xn--mnchen-3ya.example"},
		{click.ByReferrer, "direct", "direct"},
		{click.ByReferrer, "%", "%"},
		{click.ByCampaign, "firefox", "firefox"},
		{click.ByCity, "www.de", "www.de"},
	} {
		filters := []click.Filter{{Dimension: click.ByDevice, Values: []string{"tv"}}, {Dimension: c.dimension, Values: []string{"-", c.given}}}
		enrich.Spell(filters)
		if d := cmp.Diff([]string{"-", c.want}, filters[1].Values); d != "" {
			t.Errorf("%s %q: %s", c.dimension, c.given, d)
		}
	}
}

// TestSpellKnowsAllNames: what an agent is called is found in any case.
func TestSpellKnowsAllNames(t *testing.T) {
	for text := range strings.Lines(knownAgents) {
		e := enrich.New().Enrich(click.Headers{UserAgent: text})
		for d, name := range map[click.Dimension]string{click.ByBrowser: e.Browser, click.ByOS: e.OS} {
			filters := []click.Filter{{Dimension: d, Values: []string{strings.ToUpper(name)}}}
			if enrich.Spell(filters); name == "" || filters[0].Values[0] != name {
				t.Errorf("%s: %s %q is spelt %q", text, d, name, filters[0].Values[0])
			}
		}
		if !slices.Contains(click.Devices[:], e.Device) {
			t.Errorf("%s: device %q", text, e.Device)
		}
	}
}

const knownAgents = `Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15
Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148
Mozilla/5.0 (Linux; U; Android 4.0.3; de-de) AppleWebKit/534.30 (KHTML, like Gecko) Mobile
Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Safari/605.1.15
Mozilla/5.0 (PlayStation; PlayStation 5/8.00) AppleWebKit/605.1.15 (KHTML, like Gecko)
Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) LG Browser/8.00.00
Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/142.0.0.0 Safari/537.36
`
