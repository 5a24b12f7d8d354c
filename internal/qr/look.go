package qr

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"kurz/internal/fault"
)

// Format is the form of a picture.
type Format string

// The formats. Text draws two modules a character, for terminals.
const (
	SVG  Format = "svg"
	PNG  Format = "png"
	Text Format = "txt"
)

// Type gives the format's media type.
func (f Format) Type() string {
	switch f {
	case PNG:
		return "image/png"
	case Text:
		return "text/plain; charset=utf-8"
	default:
		return "image/svg+xml"
	}
}

// Bounds of a look, in pixels and in modules. Sides of a PNG are at most
// MaxSize, which takes some tens of milliseconds.
const (
	MinSize     = 64
	MaxSize     = 4096
	DefaultSize = 512
	MaxMargin   = 32
	// QuietZone is the margin that ISO/IEC 18004, 6.3.8, asks for.
	QuietZone = 4
)

// MinContrast is the least contrast between dark and light, by WCAG 2's
// formula. Readers manage with less in good light; prints fade.
const MinContrast = 4.5

// Look says what a picture is like.
type Look struct {
	Format      Format
	Size        int // pixels a side, margin included; nothing to Text
	Margin      int // modules on each side
	Level       Level
	Dark, Light Colour
	Transparent bool // nothing is drawn where it is light; Light is what is then taken to be behind
	Logo        bool // in the middle; the level is H then
}

// Names are the names of what ParseLook reads.
func Names() []string {
	return []string{"format", "size", "margin", "level", "fg", "bg", "logo"}
}

// ParseLook reads a look, each value at most once, what is missing by its
// default. All that is wrong is told at once, as fault.ValidationFailed.
func ParseLook(q url.Values) (Look, error) {
	l := Look{Format: SVG, Size: DefaultSize, Margin: QuietZone, Level: M, Light: white}
	var wrong []fault.Detail
	read := func(name string, parse func(string) error) {
		if values := q[name]; len(values) > 0 {
			if err := parse(values[0]); err != nil {
				wrong = append(wrong, fault.Detail{Field: name, Reason: err.Error()})
			}
		}
	}
	read("format", func(s string) error {
		l.Format = Format(s)
		return oneOf(s, string(SVG), string(PNG), string(Text))
	})
	read("size", func(s string) error { return number(&l.Size, s, MinSize, MaxSize) })
	read("margin", func(s string) error { return number(&l.Margin, s, 0, MaxMargin) })
	read("level", func(s string) error {
		s = strings.ToUpper(s)
		err := oneOf(s, "L", "M", "Q", "H")
		if err == nil {
			l.Level = Level(s[0])
		}
		return err
	})
	read("fg", func(s string) error { return l.Dark.parse(s, "") })
	read("bg", func(s string) error {
		if l.Transparent = s == transparent; l.Transparent {
			return nil
		}
		return l.Light.parse(s, ", or "+transparent)
	})
	read("logo", func(s string) error {
		l.Logo = s == "true"
		return oneOf(s, "true", "false")
	})
	if l.Format == Text {
		for _, name := range []string{"size", "fg", "bg", "logo"} {
			read(name, func(string) error { return fmt.Errorf("can't be chosen with format=%s", Text) })
		}
	}
	if len(wrong) == 0 {
		if problem := contrastProblem(l.Dark, l.Light); problem != "" {
			wrong = append(wrong, fault.Detail{Field: "fg", Reason: problem})
		}
	}
	return l, refuse(wrong)
}

func refuse(wrong []fault.Detail) error {
	if len(wrong) == 0 {
		return nil
	}
	texts := make([]string, len(wrong))
	for i, d := range wrong {
		texts[i] = d.Field + ": " + d.Reason
	}
	return &fault.Error{Code: fault.ValidationFailed, Message: strings.Join(texts, "; "), Details: wrong}
}

func oneOf(s string, values ...string) error {
	for _, v := range values {
		if s == v {
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(values, ", "))
}

func number(to *int, s string, least, most int) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		return fmt.Errorf("must be a whole number from %d to %d", least, most)
	}
	*to = n
	return nil
}

// Colour is red, green and blue, in sRGB.
type Colour [3]uint8

var white = Colour{255, 255, 255}

const transparent = "transparent"

// parse reads RGB or RRGGBB, in hexadecimal, with or without '#' before it.
func (c *Colour) parse(s, or string) error {
	digits := strings.TrimPrefix(s, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) != 6 {
		return fmt.Errorf("must be a colour in hexadecimal, such as 1d1c1a or b52%s", or)
	}
	*c = Colour{uint8(n >> 16), uint8(n >> 8), uint8(n)}
	return nil
}

// String gives the colour as SVG reads it.
func (c Colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// luminance is WCAG 2's relative luminance, 0 for black to 1 for white.
func (c Colour) luminance() float64 {
	linear := func(v uint8) float64 {
		f := float64(v) / 255
		if f <= 0.04045 {
			return f / 12.92
		}
		return math.Pow((f+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// Contrast is WCAG 2's contrast ratio of two colours, 1 to 21.
func Contrast(a, b Colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// contrastProblem says why readers could not tell dark from light, "" if they
// can.
func contrastProblem(dark, light Colour) string {
	ratio := Contrast(dark, light)
	// Rounded down, so that what is refused never looks like what is allowed.
	shown := math.Floor(ratio*100) / 100
	switch {
	case ratio < MinContrast:
		return fmt.Sprintf("%s has a contrast of %.2f:1 to %s, the background; readers need at least %.1f:1", dark, shown, light, MinContrast)
	case dark.luminance() > light.luminance():
		return fmt.Sprintf("%s is lighter than %s, the background (%.2f:1): many readers do not know inverted codes; exchange the two (at least %.1f:1)", dark, light, shown, MinContrast)
	}
	return ""
}
