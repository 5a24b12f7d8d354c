package web_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"kurz/internal/qr"
)

// TestContrast holds the colours of all pages against WCAG 2's level AA, 4.5:1,
// in the light and in the dark.
func TestContrast(t *testing.T) {
	pairs := map[string][][2]string{
		"style.css": {
			{"fg", "bg"},
			{"fg", "card"},
			{"fg", "code"},
			{"soft", "card"},
			{"soft", "code"},
			{"mark", "card"},
			{"mark", "code"},
			{"on-mark", "mark"},
			{"good", "card"},
			{"bad", "card"},
		},
		"../edge/error.css": {{"fg", "card"}, {"soft", "card"}, {"mark", "card"}},
	}
	for file, pairs := range pairs {
		css, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		themes := regexp.MustCompile(`:root\{(?:color-scheme:light dark;)?(--bg:[^}]*--mark:[^}]*)\}`).FindAllSubmatch(css, -1)
		if len(themes) != 2 {
			t.Fatalf("%s has %d themes", file, len(themes))
		}
		for i, theme := range themes {
			colours := map[string]qr.Colour{}
			for _, m := range regexp.MustCompile(`--([a-z-]+):#([0-9a-f]+)`).FindAllStringSubmatch(string(theme[1]), -1) {
				colours[m[1]] = colour(t, m[2])
			}
			for _, p := range pairs {
				if ratio := qr.Contrast(colours[p[0]], colours[p[1]]); ratio < 4.5 {
					t.Errorf("%s, theme %d: %s on %s has %.2f:1", file, i, p[0], p[1], ratio)
				}
			}
		}
	}
}

func colour(t *testing.T, hex string) qr.Colour {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	return qr.Colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}
}
