package qr

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"io"

	"kurz/internal/fault"
)

// The least number of pixels a module: with one, a picture that is scaled by
// half a pixel can't be read any more; a logo makes reading harder.
const (
	leastScale     = 2
	leastLogoScale = 4
)

// png draws the symbol with whole pixels a module, in the middle of a picture
// of exactly the size asked for: what does not divide goes to the margin. A
// code of two colours has one bit a pixel. It is written row by row, so that a
// large picture takes no memory but that of the file.
func (s *symbol) png(look Look, logo *Logo) ([]byte, error) {
	modules := s.size + 2*look.Margin
	scale, least := look.Size/modules, leastScale
	if logo != nil {
		least = leastLogoScale
	}
	if scale < least {
		return nil, fault.Invalid("size", "is too small: this code has %d modules with its margin, and needs at least %d pixels", modules, modules*least)
	}
	c := canvas{symbol: s, look: look, scale: scale, start: (look.Size - s.size*scale) / 2}
	depth, kind := byte(1), byte(pngPalette)
	if logo != nil {
		s.clear()
		c.place(logo)
		if depth, kind = 8, pngRGB; look.Transparent {
			kind = pngRGBA
		}
	}
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	header := binary.BigEndian.AppendUint32(nil, uint32(look.Size))
	header = binary.BigEndian.AppendUint32(header, uint32(look.Size))
	chunk(&b, "IHDR", append(header, depth, kind, 0, 0, 0))
	if kind == pngPalette {
		chunk(&b, "PLTE", append(look.Light[:], look.Dark[:]...))
		if look.Transparent {
			chunk(&b, "tRNS", []byte{0})
		}
	}
	var rows bytes.Buffer
	z, err := zlib.NewWriterLevel(&rows, zlib.BestSpeed)
	if err == nil {
		err = c.write(z, kind)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, err
	}
	chunk(&b, "IDAT", rows.Bytes())
	chunk(&b, "IEND", nil)
	return b.Bytes(), nil
}

// The colour types of PNG (ISO/IEC 15948, 11.2.2) that are used.
const (
	pngRGB     = 2
	pngPalette = 3
	pngRGBA    = 6
)

func chunk(b *bytes.Buffer, name string, data []byte) {
	body := append([]byte(name), data...)
	b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(data))))
	b.Write(body)
	b.Write(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
}

// canvas is where a symbol stands in a picture.
type canvas struct {
	*symbol
	look         Look
	scale, start int // pixels a module; the pixel at which the first begins
	logo         []byte
	logoStart    int
	logoSide     int
}

// place scales the logo to its square.
func (c *canvas) place(logo *Logo) {
	start, side := c.window()
	gap := int(logoGap * float64(c.scale))
	c.logoStart, c.logoSide = c.start+start*c.scale+gap, side*c.scale-2*gap
	c.logo = logo.scaled(c.logoSide)
}

// write writes the rows, each with the filter that its neighbour suggests:
// rows that repeat the one above are all zeros (filter Up) and cost nothing.
func (c *canvas) write(w io.Writer, kind byte) error {
	width := (c.look.Size + 7) / 8
	switch kind {
	case pngRGB:
		width = c.look.Size * 3
	case pngRGBA:
		width = c.look.Size * 4
	}
	row, same := make([]byte, 1+width), make([]byte, 1+width)
	same[0] = 2 // Up
	last := -2  // what the row above shows
	for y := range c.look.Size {
		module := -1
		if y >= c.start && y < c.start+c.size*c.scale {
			module = (y - c.start) / c.scale
		}
		pictured := c.logo != nil && y >= c.logoStart && y < c.logoStart+c.logoSide
		if module == last && !pictured {
			if _, err := w.Write(same); err != nil {
				return err
			}
			continue
		}
		clear(row)
		if kind == pngPalette {
			c.bits(row[1:], module)
		} else {
			c.colours(row[1:], module, y, width/c.look.Size)
		}
		if last = module; pictured {
			last = -2
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	return nil
}

// bits fills a row of one bit a pixel; module is the row of modules, -1 for
// the margin.
func (c *canvas) bits(row []byte, module int) {
	for x := range c.size {
		if !c.at(x, module) {
			continue
		}
		for p := c.start + x*c.scale; p < c.start+(x+1)*c.scale; p++ {
			row[p/8] |= 0x80 >> (p % 8)
		}
	}
}

// colours fills a row of three or four bytes a pixel.
func (c *canvas) colours(row []byte, module, y, bytes int) {
	light := []byte{c.look.Light[0], c.look.Light[1], c.look.Light[2], 0}
	dark := []byte{c.look.Dark[0], c.look.Dark[1], c.look.Dark[2], 255}
	for x := range c.look.Size {
		at, colour := x-c.start, light
		if at >= 0 && c.at(at/c.scale, module) {
			colour = dark
		}
		copy(row[x*bytes:(x+1)*bytes], colour)
	}
	if y < c.logoStart || y >= c.logoStart+c.logoSide {
		return
	}
	line := c.logo[(y-c.logoStart)*c.logoSide*4:][:c.logoSide*4]
	for x := range c.logoSide {
		p, to := line[x*4:x*4+4], row[(c.logoStart+x)*bytes:]
		if bytes == 4 {
			copy(to, p)
			continue
		}
		for i := range 3 {
			to[i] = uint8((int(p[i])*int(p[3]) + int(to[i])*(255-int(p[3])) + 127) / 255)
		}
	}
}
