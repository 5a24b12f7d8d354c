package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"strconv"

	"kurz/internal/edge"
)

//go:embed *.html style.css icon.svg
var sources embed.FS

// assets are files that pages name by what they contain, so that browsers may
// keep them for ever.
type assets struct {
	files       map[string]asset // by path
	style, icon string           // paths
	ico         []byte
}

type asset struct {
	kind string
	body []byte
}

func newAssets() assets {
	a := assets{files: map[string]asset{}, ico: ico()}
	a.style = a.add("style.css", "style", ".css", "text/css; charset=utf-8")
	a.icon = a.add("icon.svg", "icon", ".svg", "image/svg+xml")
	return a
}

func (a *assets) add(file, name, ext, kind string) string {
	body, _ := sources.ReadFile(file) // embedded: it is there
	sum := sha256.Sum256(body)
	path := "/assets/" + name + "." + hex.EncodeToString(sum[:8]) + ext
	a.files[path] = asset{kind, body}
	return path
}

// handler gives the handler of an asset, nil if there is none.
func (a *assets) handler(path string) edge.HandlerFunc {
	f, ok := a.files[path]
	if !ok {
		return nil
	}
	return func(out http.ResponseWriter, _ *http.Request) error {
		return serve(out, f, "public, max-age=31536000, immutable")
	}
}

func (w *Web) favicon(out http.ResponseWriter, _ *http.Request) error {
	return serve(out, asset{"image/x-icon", w.assets.ico}, "public, max-age=604800")
}

func serve(out http.ResponseWriter, f asset, cache string) error {
	h := out.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	h.Set("Cache-Control", cache)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	_, _ = out.Write(f.body)
	return nil
}

// ico draws the icon for browsers that ask for /favicon.ico: one PNG in the
// ICO container. icon.svg is the same picture.
func ico() []byte {
	const size = 32
	var picture bytes.Buffer
	_ = png.Encode(&picture, drawIcon(size)) // into memory
	b := []byte{0, 0, 1, 0, 1, 0, size, size, 0, 0, 1, 0, 32, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(picture.Len()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)+4))
	return append(b, picture.Bytes()...)
}

// strokes are those of the letter k, in a square of 32.
var strokes = [][4]float64{{11, 7.5, 11, 24.5}, {21.5, 12.5, 11.5, 19}, {14.5, 17.2, 21.5, 24.5}}

// drawIcon draws a k on a rounded square, with smooth edges.
func drawIcon(size int) image.Image {
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
