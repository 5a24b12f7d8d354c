// Package qr draws QR codes: a text becomes modules (ISO/IEC 18004), and those
// an SVG, a PNG or a text for terminals.
//
// It guarantees that what it draws can be read: the quiet zone is the
// standard's unless someone asks for another, colours without enough contrast
// are refused, and a logo covers so little that the error correction, raised
// for it, makes up for all of it. The work is bounded by MaxSize, whatever is
// asked for. Start reading at Draw, then ParseLook.
package qr

import (
	"github.com/piglig/go-qr"

	"kurz/internal/fault"
)

// Level is how much of a code may be lost (ISO/IEC 18004, 7.5): about 7, 15,
// 25 and 30 % of it.
type Level byte

// The levels.
const (
	L Level = 'L'
	M Level = 'M'
	Q Level = 'Q'
	H Level = 'H'
)

// Draw makes a code of a text in the form and look that were asked for. The
// level is the one asked for or, where the code does not grow by it, a better
// one. Logo is what stands in the middle if the look has one; nil is Mark.
//
// A text that no code can hold, and a picture too small for its code, are
// fault.ValidationFailed.
func Draw(text string, look Look, logo *Logo) ([]byte, error) {
	if look.Logo {
		look.Level = H
		if logo == nil {
			logo = Mark()
		}
	} else {
		logo = nil
	}
	s, err := encode(text, look.Level)
	if err != nil {
		return nil, err
	}
	switch look.Format {
	case PNG:
		return s.png(look, logo)
	case Text:
		return s.text(look.Margin), nil
	default:
		return s.svg(text, look, logo), nil
	}
}

// symbol is a code without a look: a square of modules, dark or light.
type symbol struct {
	size int // modules a side, without margin
	dark []bool
}

func encode(text string, level Level) (*symbol, error) {
	ecc := map[Level]go_qr.Ecc{L: go_qr.Low, M: go_qr.Medium, Q: go_qr.Quartile, H: go_qr.High}[level]
	code, err := go_qr.EncodeText(text, ecc)
	if err != nil {
		return nil, fault.Wrap(fault.ValidationFailed, err, "This address is too long for a QR code of level %c", level)
	}
	s := &symbol{size: code.Size(), dark: make([]bool, code.Size()*code.Size())}
	for i := range s.dark {
		s.dark[i] = code.Module(i%s.size, i/s.size)
	}
	return s, nil
}

// at reports whether a module is dark; all of the margin is light.
func (s *symbol) at(x, y int) bool {
	return x >= 0 && y >= 0 && x < s.size && y < s.size && s.dark[y*s.size+x]
}

// window is the square of modules in the middle that a logo takes: at most
// 22 % of the side, so under 5 % of the area, where level H makes up for 30 %.
// Beyond nine modules zbar begins to take what is in it for a part of the code.
func (s *symbol) window() (start, side int) {
	side = min(s.size*22/100, 9)
	side -= 1 - side%2 // as odd as the symbol, so that it stands in the middle
	return (s.size - side) / 2, side
}

// clear takes the modules behind a logo away.
func (s *symbol) clear() {
	start, side := s.window()
	for y := start; y < start+side; y++ {
		for x := start; x < start+side; x++ {
			s.dark[y*s.size+x] = false
		}
	}
}
