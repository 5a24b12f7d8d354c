package click_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/click"
	"kurz/internal/fault"
)

type texts = map[string][]string

func TestParseFilters(t *testing.T) {
	is := func(d click.Dimension, values ...string) click.Filter {
		return click.Filter{Dimension: d, Values: values}
	}
	not := func(d click.Dimension, values ...string) click.Filter {
		return click.Filter{Dimension: d, Values: values, Not: true}
	}
	for _, c := range []struct {
		given texts
		want  []click.Filter
	}{
		{nil, nil},
		{texts{"country": {"DE"}}, []click.Filter{is(click.ByCountry, "DE")}},
		{texts{"country": {"de,Fr", "unknown"}}, []click.Filter{is(click.ByCountry, "DE", "FR", "unknown")}},
		{texts{"country": {"!DE,AT", "FR"}}, []click.Filter{is(click.ByCountry, "FR"), not(click.ByCountry, "DE", "AT")}},
		{texts{"city": {`Köln\, Mitte,Bonn`}}, []click.Filter{is(click.ByCity, "Köln, Mitte", "Bonn")}},
		{texts{"browser": {`\!a,\\b,c\d\`}}, []click.Filter{is(click.ByBrowser, "!a", `\b`, `c\d\`)}},
		{texts{"referrer": {"WWW.News.Example,direct"}}, []click.Filter{is(click.ByReferrer, "www.news.example", "direct")}},
		{texts{"device": {"Mobile"}, "language": {"DE"}, "trigger": {"QR"}}, []click.Filter{is(click.ByDevice, "mobile"), is(click.ByLanguage, "de"), is(click.ByTrigger, "qr")}},
		{texts{"device": {"Unknown"}, "language": {"unknown,GSW"}}, []click.Filter{is(click.ByDevice, "unknown"), is(click.ByLanguage, "unknown", "gsw")}},
		{texts{"utm_source": {"A"}, "utm_medium": {"b"}, "utm_campaign": {"c"}, "region": {"d"}, "os": {"e"}}, []click.Filter{
			is(click.ByRegion, "d"), is(click.ByOS, "e"), is(click.BySource, "A"), is(click.ByMedium, "b"), is(click.ByCampaign, "c"),
		}},
	} {
		got, err := click.ParseFilters(c.given)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%v: error %v (-want +got):\n%s", c.given, err, diff)
		}
	}
	for _, c := range []struct {
		given  texts
		fields string
		says   string
	}{
		{texts{"country": {""}}, "country", "is empty"},
		{texts{"country": {"!"}}, "country", "is empty"},
		{texts{"country": {"DE,,FR"}}, "country", "is empty"},
		{texts{"referrer": {","}}, "referrer", `"direct"`},
		{texts{"country": {"Germany"}}, "country", "two-letter"},
		{texts{"country": {"ÄÖ"}}, "country", "two-letter"},
		{texts{"trigger": {"nfc"}}, "trigger", `"link", "qr" or "unknown"`},
		{texts{"device": {"phone"}}, "device", `mobile, tablet, desktop, tv, console, bot or "unknown"`},
		{texts{"language": {"de-AT"}}, "language", "such as de "},
		{texts{"language": {"german"}}, "language", "such as de "},
		{texts{"language": {"d1"}}, "language", "such as de "},
		{texts{"referrer": {"https://news.example/"}}, "referrer", "hosts such as news.example"},
		{texts{"browser": {"(other)"}}, "browser", "no value"},
		{texts{"os": {strings.Repeat("a,", 100) + "a"}}, "os", "at most 100"},
		{texts{"planet": {"earth"}}, "planet", "referrer, country, region, city, device, browser, os, language, utm_source, utm_medium, utm_campaign, trigger"},
		{texts{"trigger": {"x"}, "country": {"x"}}, "country trigger", "two-letter"},
	} {
		_, err := click.ParseFilters(c.given)
		f := fault.Of(err)
		var fields []string
		for _, d := range f.Details {
			fields = append(fields, d.Field)
		}
		if f.Code != fault.ValidationFailed || strings.Join(fields, " ") != c.fields || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v about %q, want %q about %q", c.given, err, fields, c.says, c.fields)
		}
	}
}

// FuzzParseFilters parses any text: what is taken is values that can be told
// apart from each other, and escaping them gives the same ones.
func FuzzParseFilters(f *testing.F) {
	for _, s := range []string{"a", "!a,b", `a\,b`, `\!a`, `a\`, ",", "!", "direct", "(other)"} {
		f.Add(s)
	}
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `!`, `\!`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range click.Dimensions {
			filters, err := click.ParseFilters(texts{string(d): {text}})
			if err != nil {
				if !fault.Is(err, fault.ValidationFailed) {
					t.Errorf("%q: %v", text, err)
				}
				continue
			}
			var again []string
			for _, v := range filters[0].Values {
				if v == "" || v == click.Other {
					t.Errorf("%q has the value %q", text, v)
				}
				again = append(again, escape.Replace(v))
			}
			joined := strings.Join(again, ",")
			if filters[0].Not {
				joined = "!" + joined
			}
			back, err := click.ParseFilters(texts{string(d): {joined}})
			if diff := cmp.Diff(filters, back); err != nil || diff != "" {
				t.Errorf("%q, then %q: error %v (-first +second):\n%s", text, joined, err, diff)
			}
		}
	})
}

// FuzzFilterValues: values that are escaped and joined come back.
func FuzzFilterValues(f *testing.F) {
	f.Add("a", "b")
	f.Add(`a,\`, "!,")
	f.Add("x", `\\`)
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `!`, `\!`)
	f.Fuzz(func(t *testing.T, a, b string) {
		if a == "" || b == "" || a == click.Other || b == click.Other {
			return
		}
		got, err := click.ParseFilters(texts{"browser": {escape.Replace(a) + "," + escape.Replace(b)}})
		want := []click.Filter{{Dimension: click.ByBrowser, Values: []string{a, b}}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q and %q: error %v (-want +got):\n%s", a, b, err, diff)
		}
	})
}
