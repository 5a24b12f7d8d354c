package qr

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"sync"
)

// Logo is a picture for the middle of codes. It is an operator's or kurz's
// own, never a stranger's.
type Logo struct {
	picture *image.NRGBA // square, at most logoSide pixels
	vector  string       // its SVG, in a square of 32, where it has one
}

// Bounds of a logo's file. They are checked before its pixels are unpacked.
const (
	MaxLogoFile = 256 << 10 // bytes
	maxLogoSide = 2048      // pixels
	logoSide    = 512       // pixels that are kept
)

// NewLogo reads a PNG file and scales it down to what a code needs. What is
// kept is drawn anew from its pixels: nothing else of the file gets into a
// picture. A file that is no square is put into the middle of one.
func NewLogo(file []byte) (*Logo, error) {
	if len(file) > MaxLogoFile {
		return nil, fmt.Errorf("a logo may have at most %d KiB", MaxLogoFile>>10)
	}
	c, err := png.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, errors.New("a logo must be a PNG file")
	}
	if c.Width > maxLogoSide || c.Height > maxLogoSide || c.Width < 1 || c.Height < 1 {
		return nil, fmt.Errorf("a logo may have at most %d × %d pixels, this has %d × %d", maxLogoSide, maxLogoSide, c.Width, c.Height)
	}
	from, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("the logo is damaged: %w", err)
	}
	side := max(c.Width, c.Height)
	square := image.NewNRGBA(image.Rect(0, 0, side, side))
	left, top, b := (side-c.Width)/2, (side-c.Height)/2, from.Bounds()
	for y := range c.Height {
		for x := range c.Width {
			square.Set(left+x, top+y, from.At(b.Min.X+x, b.Min.Y+y))
		}
	}
	l := &Logo{picture: square}
	if side > logoSide {
		l.picture = &image.NRGBA{Pix: l.scaled(logoSide), Stride: 4 * logoSide, Rect: image.Rect(0, 0, logoSide, logoSide)}
	}
	return l, nil
}

// scaled gives the picture's pixels with another side, not premultiplied, each
// the mean of samples in the square that it stands for.
func (l *Logo) scaled(side int) []byte {
	from, out := l.picture.Rect.Dx(), make([]byte, side*side*4)
	step := float64(from) / float64(side)
	samples := min(max(int(math.Ceil(step)), 1), 8)
	for y := range side {
		for x := range side {
			var sum [4]float64
			for i := range samples * samples {
				sx := (float64(x)+(float64(i%samples)+0.5)/float64(samples))*step - 0.5
				sy := (float64(y)+(float64(i/samples)+0.5)/float64(samples))*step - 0.5
				l.sample(&sum, sx, sy)
			}
			to := out[(y*side+x)*4:]
			if sum[3] > 0 {
				for j := range 3 {
					to[j] = uint8(math.Round(sum[j] / sum[3]))
				}
				to[3] = uint8(math.Round(sum[3] / float64(samples*samples)))
			}
		}
	}
	return out
}

// sample adds what is between four pixels: red, green and blue by alpha, and
// alpha.
func (l *Logo) sample(sum *[4]float64, x, y float64) {
	most := l.picture.Rect.Dx() - 1
	x, y = min(max(x, 0), float64(most)), min(max(y, 0), float64(most))
	left, top := int(x), int(y)
	fx, fy := x-float64(left), y-float64(top)
	for i, weight := range [4]float64{(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy} {
		if weight == 0 {
			continue
		}
		p := l.picture.Pix[min(top+i/2, most)*l.picture.Stride+4*min(left+i%2, most):]
		weight *= float64(p[3])
		for j := range 3 {
			sum[j] += weight * float64(p[j])
		}
		sum[3] += weight
	}
}

// Mark is the logo of kurz: a k on a rounded square.
var Mark = sync.OnceValue(func() *Logo { return &Logo{picture: MarkPicture(logoSide), vector: MarkPath} })

// MarkPath is the mark as SVG, in a square of 32 units.
const MarkPath = `<rect width="32" height="32" rx="7" fill="#b4451f"/><path d="M11 7.5v17M21.5 12.5l-10 6.5M14.5 17.2l7 7.3" fill="none" stroke="#fff" stroke-width="3.8" stroke-linecap="round"/>`

// strokes are those of the letter k, in a square of 32.
var strokes = [][4]float64{{11, 7.5, 11, 24.5}, {21.5, 12.5, 11.5, 19}, {14.5, 17.2, 21.5, 24.5}}

// MarkPicture draws the mark with smooth edges: the same picture as MarkPath.
func MarkPicture(size int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	scale := 32 / float64(size)
	for y := range size {
		for x := range size {
			px, py := (float64(x)+0.5)*scale, (float64(y)+0.5)*scale
			// How far outside of the square's rounded corners, and of the strokes.
			dx, dy := math.Max(math.Abs(px-16)-9, 0), math.Max(math.Abs(py-16)-9, 0)
			square := cover(math.Hypot(dx, dy)-7, scale)
			letter := 0.0
			for _, s := range strokes {
				letter = math.Max(letter, cover(toSegment(px, py, s)-1.9, scale))
			}
			mix := func(back, front uint8) uint8 {
				return uint8(math.Round(float64(back) + (float64(front)-float64(back))*letter))
			}
			img.SetNRGBA(x, y, color.NRGBA{mix(0xb4, 0xff), mix(0x45, 0xff), mix(0x1f, 0xff), uint8(math.Round(255 * square))})
		}
	}
	return img
}

// cover turns a distance from an edge into how much of a pixel lies inside.
func cover(distance, pixel float64) float64 {
	return math.Min(math.Max(0.5-distance/pixel, 0), 1)
}

func toSegment(x, y float64, s [4]float64) float64 {
	vx, vy := s[2]-s[0], s[3]-s[1]
	t := ((x-s[0])*vx + (y-s[1])*vy) / (vx*vx + vy*vy)
	t = math.Min(math.Max(t, 0), 1)
	return math.Hypot(x-s[0]-t*vx, y-s[1]-t*vy)
}
