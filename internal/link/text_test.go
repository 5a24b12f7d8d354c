package link_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/link"
)

func TestFold(t *testing.T) {
	for text, want := range map[string]string{
		"":                "",
		"plain":           "plain",
		"PLAIN-1":         "plain-1",
		"Über":            "uber",
		"u\u0308ber":      "uber",
		"STRASSE Straße":  "strasse strasse",
		"ẞ":               "ss",
		"İstanbul":        "istanbul",
		"ﬁne ｗｉｄｅ":        "fine wide",
		"ΣΊΣΥΦΟΣ σίσυφος": "σισυφοσ σισυφοσ",
		"北京 🦊":            "北京 🦊",
		"a\xffb":          "a\ufffdb",
		"a\x00b":          "a\x00b",
	} {
		if got := link.Fold(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"Straße", "İ", "ﬁ", "e\u0301", "\xff", "ϓ", "K"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		folded := link.Fold(a)
		if !utf8.ValidString(folded) {
			t.Fatalf("%q: %q is no UTF-8", a, folded)
		}
		if twice := link.Fold(folded); twice != folded {
			t.Fatalf("%q: %q, folded again %q", a, folded, twice)
		}
		key := link.TitleKey(a)
		if len(key) > 128 || !utf8.ValidString(key) || a != "" && !strings.HasPrefix(folded, key) {
			t.Fatalf("%q: key %q", a, key)
		}
		for _, word := range link.Words(a + " " + b) {
			if word == "" || strings.ContainsAny(word, " \t\n") {
				t.Fatalf("word %q", word)
			}
		}
	})
}

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, " \t ": nil, "a": {"a"}, "B  b\u00a0Ä a": {"b", "a"}, `"x y" OR -z*`: {`"x`, `y"`, "or", "-z*"},
	} {
		if diff := cmp.Diff(want, link.Words(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
