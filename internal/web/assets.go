package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"image/png"
	"net/http"
	"strconv"

	"kurz/internal/edge"
	"kurz/internal/qr"
)

//go:embed *.html style.css
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
	style, _ := sources.ReadFile("style.css") // embedded: it is there
	a.style = a.add(style, "style", ".css", "text/css; charset=utf-8")
	a.icon = a.add([]byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">`+qr.MarkPath+"</svg>"), "icon", ".svg", "image/svg+xml")
	return a
}

func (a *assets) add(body []byte, name, ext, kind string) string {
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
// ICO container.
func ico() []byte {
	const size = 32
	var picture bytes.Buffer
	_ = png.Encode(&picture, qr.MarkPicture(size)) // into memory
	b := []byte{0, 0, 1, 0, 1, 0, size, size, 0, 0, 1, 0, 32, 0}
	b = binary.LittleEndian.AppendUint32(b, uint32(picture.Len()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)+4))
	return append(b, picture.Bytes()...)
}
