package qr

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"image/png"
)

// svg draws the symbol in units of modules, all the dark ones as one path. It
// has no style and no script, so that it can be shown under any policy.
func (s *symbol) svg(text string, look Look, logo *Logo) []byte {
	if logo != nil {
		s.clear()
	}
	side := s.size + 2*look.Margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img"><title>QR code of `,
		look.Size, look.Size, side, side)
	_ = xml.EscapeText(&b, []byte(text)) // into memory
	b.WriteString("</title>")
	if !look.Transparent {
		fmt.Fprintf(&b, `<path fill="%s" d="M0 0h%dv%dH0z"/>`, look.Light, side, side)
	}
	fmt.Fprintf(&b, `<path shape-rendering="crispEdges" fill="%s" d="`, look.Dark)
	for y := range s.size {
		for x := 0; x < s.size; x++ {
			if !s.at(x, y) {
				continue
			}
			run := 1
			for s.at(x+run, y) {
				run++
			}
			fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+look.Margin, y+look.Margin, run, run)
			x += run
		}
	}
	b.WriteString(`"/>`)
	if logo != nil {
		start, side := s.window()
		logo.svg(&b, float64(start+look.Margin)+logoGap, float64(side)-2*logoGap)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// logoGap is the room between the logo and the modules around it, in modules.
const logoGap = 0.5

// svg draws the logo into a square of the symbol's units.
func (l *Logo) svg(b *bytes.Buffer, start, side float64) {
	if l.vector != "" {
		fmt.Fprintf(b, `<g transform="translate(%g %g) scale(%g)">%s</g>`, start, start, side/32, l.vector)
		return
	}
	fmt.Fprintf(b, `<image x="%g" y="%g" width="%g" height="%g" href="data:image/png;base64,`, start, start, side, side)
	to := base64.NewEncoder(base64.StdEncoding, b)
	_ = png.Encode(to, l.picture) // into memory, as is the next
	_ = to.Close()
	b.WriteString(`"/>`)
}
