package qr_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"net/url"
	"strings"
	"testing"

	"kurz/internal/fault"
	"kurz/internal/qr"
)

func TestParseLook(t *testing.T) {
	for _, c := range []struct {
		name, query string
		fields      string // what is refused
		part        string // of the message
	}{
		{"nothing", "", "", ""},
		{"everything", "format=png&size=64&margin=0&level=q&fg=%23112233&bg=fff&logo=true", "", ""},
		{"text", "format=txt&margin=1&level=H", "", ""},
		{"text with colours", "format=txt&fg=000&bg=fff&size=100&logo=true", "size fg bg logo", "format=txt"},
		{"format", "format=gif", "format", "svg, png, txt"},
		{"no format", "format=", "format", ""},
		{"small", "size=63", "size", "from 64 to 4096"},
		{"large", "size=4097", "size", ""},
		{"no number", "size=1e3&margin=-1", "size margin", ""},
		{"wide margin", "margin=33", "margin", "from 0 to 32"},
		{"level", "level=X", "level", "L, M, Q, H"},
		{"colours", "fg=red&bg=12345", "fg bg", "or transparent"},
		{"alpha", "fg=00000080", "fg", ""},
		{"sign", "fg=%2B12345", "fg", ""},
		{"transparent dark", "fg=transparent", "fg", ""},
		{"little contrast", "fg=777777", "fg", "a contrast of 4.47:1 to #ffffff, the background; readers need at least 4.5:1"},
		{"just enough", "fg=767676", "", ""},
		{"inverted", "fg=fff&bg=000", "fg", "inverted"},
		{"the same", "fg=000&bg=000", "fg", "1.00:1"},
		{"light on nothing", "fg=fff&bg=transparent", "fg", "1.00:1"},
		{"logo", "logo=yes", "logo", "true, false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := url.ParseQuery(c.query)
			if err != nil {
				t.Fatal(err)
			}
			_, err = qr.ParseLook(q)
			var fields []string
			if f, ok := errors.AsType[*fault.Error](err); ok {
				for _, d := range f.Details {
					fields = append(fields, d.Field)
				}
				if f.Code != fault.ValidationFailed || !strings.Contains(f.Message, c.part) {
					t.Errorf("%v, want %q", err, c.part)
				}
			}
			if got := strings.Join(fields, " "); got != c.fields {
				t.Errorf("refused for %q, want %q: %v", got, c.fields, err)
			}
		})
	}
}

func TestContrast(t *testing.T) {
	black, white := qr.Colour{}, qr.Colour{255, 255, 255}
	for _, c := range []struct {
		a, b qr.Colour
		want float64
	}{{black, white, 21}, {white, black, 21}, {black, black, 1}, {qr.Colour{0x76, 0x76, 0x76}, white, 4.54}} {
		if got := qr.Contrast(c.a, c.b); math.Abs(got-c.want) > 0.01 {
			t.Errorf("%v to %v: %.3f, want %.2f", c.a, c.b, got, c.want)
		}
	}
}

// FuzzDraw: whatever is asked for, it is refused by VALIDATION_FAILED or drawn
// well-formed and within bounds.
func FuzzDraw(f *testing.F) {
	for _, query := range []string{"", "format=png&size=64&level=H", "format=txt&margin=32", "fg=%23abc&bg=transparent&logo=true", "format=png&size=100&margin=32", "fg=\"/><script>&size=99999999999"} {
		f.Add("https://go.example/abc?qr=1", query)
	}
	f.Fuzz(func(t *testing.T, text, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		l, err := qr.ParseLook(q)
		var b []byte
		if err == nil {
			b, err = qr.Draw(text, l, nil)
		}
		if err != nil {
			if !fault.Is(err, fault.ValidationFailed) {
				t.Errorf("%q %q: %v", text, query, err)
			}
			return
		}
		switch l.Format {
		case qr.PNG:
			if img, err := png.Decode(bytes.NewReader(b)); err != nil || img.Bounds().Dx() != l.Size || img.Bounds().Dy() != l.Size {
				t.Errorf("%q: %v", query, err)
			}
		case qr.SVG:
			names := map[string]bool{"svg": true, "title": true, "path": true, "g": true, "rect": true}
			for d := xml.NewDecoder(bytes.NewReader(b)); ; {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%q %q: %v in %s", text, query, err, b)
				}
				if e, ok := token.(xml.StartElement); ok && !names[e.Name.Local] {
					t.Errorf("%q %q has <%s>", text, query, e.Name.Local)
				}
			}
		}
	})
}
