package qr_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"kurz/internal/qr"
)

// Addresses as codes get them: as short and as long as they come.
var addresses = map[string]string{
	"short":  "https://k.example/abc?qr=1",
	"usual":  "https://go.example/aB3dE7x?qr=1",
	"port":   "http://localhost:8080/std?qr=1",
	"long":   "https://" + strings.Repeat("long-label.", 8) + "example/" + strings.Repeat("x", 64) + "?qr=1",
	"longer": "https://" + strings.Repeat(strings.Repeat("a", 61)+".", 4) + "example/" + strings.Repeat("Y", 64) + "?qr=1",
}

func look(tb testing.TB, query string) qr.Look {
	tb.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := qr.ParseLook(q)
	if err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return l
}

func draw(tb testing.TB, text, query string, logo *qr.Logo) []byte {
	tb.Helper()
	b, err := qr.Draw(text, look(tb, query), logo)
	if err != nil {
		tb.Fatalf("%s %s: %v", text, query, err)
	}
	return b
}

// needs skips a test where a program is missing, or fails it where nothing may
// be.
func needs(tb testing.TB, names ...string) {
	tb.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("REQUIRE_BACKENDS") != "" {
				tb.Fatal(err)
			}
			tb.Skip(err)
		}
	}
}

// read gives what zbar, a reader that has nothing to do with kurz, finds in
// PNG files, by their paths.
func read(tb testing.TB, files []string) map[string][]string {
	tb.Helper()
	found := map[string][]string{}
	out, err := exec.CommandContext(tb.Context(), "zbarimg", append([]string{"--xml", "--quiet"}, files...)...).Output()
	// 4: no code was found in one of them.
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != 4) {
		tb.Fatalf("zbarimg: %v", err)
	}
	var result struct {
		Sources []struct {
			File    string `xml:"href,attr"`
			Symbols []struct {
				Type string `xml:"type,attr"`
				Data string `xml:"data"`
			} `xml:"index>symbol"`
		} `xml:"source"`
	}
	if err := xml.Unmarshal(out, &result); err != nil {
		tb.Fatalf("zbarimg: %v in %s", err, out)
	}
	for _, s := range result.Sources {
		for _, symbol := range s.Symbols {
			found[s.File] = append(found[s.File], symbol.Type+" "+symbol.Data)
		}
	}
	return found
}

// brand is a logo that is no square and in the way: dark, without a gap.
func brand(tb testing.TB) *qr.Logo {
	tb.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 700, 400))
	for y := range 400 {
		for x := range 700 {
			img.Set(x, y, color.NRGBA{20, uint8(x / 4), uint8(y / 2), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	logo, err := qr.NewLogo(b.Bytes())
	if err != nil {
		tb.Fatal(err)
	}
	return logo
}

// TestRead shows that a reader gets back what went in, whatever the picture
// looks like.
func TestRead(t *testing.T) {
	needs(t, "zbarimg", "rsvg-convert")
	queries := []string{"", "bg=transparent", "fg=767676", "fg=a33f1c&bg=fff8f0", "fg=00f", "fg=000&bg=808080", "size=777", "margin=1&size=300", "margin=2", "margin=10", "margin=32&size=1024", "size=4096"}
	for _, level := range []string{"L", "M", "Q", "H"} {
		for _, size := range []int{256, 400} {
			queries = append(queries, fmt.Sprintf("level=%s&size=%d", level, size))
		}
	}
	brand := brand(t)
	dir := t.TempDir()
	want := map[string]string{}
	var files []string
	for name, address := range addresses {
		for _, query := range queries {
			for _, logo := range []string{"", "mark", "brand"} {
				for _, format := range []string{"png", "svg"} {
					if name == "longer" && strings.Contains(query, "size=2") || // too small for it
						strings.Contains(query, "4096") && (name != "usual" || logo == "brand") || // slow to read
						logo != "" && name == "longer" && strings.Contains(query, "size=400") || // likewise
						logo != "" && name == "long" && (strings.Contains(query, "size=2") || strings.Contains(query, "size=300")) ||
						logo != "" && name == "longer" && strings.Contains(query, "size=300") ||
						logo == "brand" && !strings.Contains(query, "size=400") {
						continue
					}
					q := query + "&format=" + format
					chosen := (*qr.Logo)(nil)
					if logo != "" {
						q += "&logo=true"
					}
					if logo == "brand" {
						chosen = brand
					}
					file := filepath.Join(dir, strings.NewReplacer("&", ",", "=", "-").Replace(name+","+logo+","+q)+"."+format)
					if err := os.WriteFile(file, draw(t, address, strings.TrimPrefix(q, "&"), chosen), 0o600); err != nil {
						t.Fatal(err)
					}
					if format == "svg" {
						file = rasterised(t, file)
					}
					want[file] = address
					files = append(files, file)
				}
			}
		}
	}
	for len(files) > 0 {
		some := files[:min(40, len(files))]
		files = files[len(some):]
		got := read(t, some)
		for _, file := range some {
			if text := strings.Join(got[file], "|"); text != "QR-Code "+want[file] {
				t.Errorf("%s: read %q, want %q", filepath.Base(file), text, want[file])
			}
		}
	}
}

// rasterised makes a PNG of an SVG file, on white.
func rasterised(tb testing.TB, file string) string {
	tb.Helper()
	to := strings.TrimSuffix(file, ".svg") + ".drawn.png"
	if out, err := exec.CommandContext(tb.Context(), "rsvg-convert", "--background-color=white", "-o", to, file).CombinedOutput(); err != nil {
		tb.Fatalf("rsvg-convert %s: %v: %s", file, err, out)
	}
	return to
}

// TestReadText reads what terminals show.
func TestReadText(t *testing.T) {
	needs(t, "zbarimg")
	for name, address := range addresses {
		text := string(draw(t, address, "format=txt", nil))
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		width := utf8.RuneCountInString(lines[0])
		if n := len(lines) * 2; n != width && n != width+1 {
			t.Errorf("%s: %d lines of %d characters", name, len(lines), width)
		}
		const scale = 4
		img := image.NewGray(image.Rect(0, 0, width*scale, len(lines)*2*scale))
		for y, line := range lines {
			for x, r := range []rune(line) {
				halves := map[rune][2]uint8{' ': {255, 255}, '▀': {0, 255}, '▄': {255, 0}, '█': {0, 0}}[r]
				for i := range 2 * scale * scale {
					img.SetGray(x*scale+i%scale, y*2*scale+i/scale, color.Gray{halves[i/scale/scale]})
				}
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name+".png")
		if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(read(t, []string{file})[file], "|"); got != "QR-Code "+address {
			t.Errorf("%s: read %q", name, got)
		}
	}
}

// TestPicture looks at what a PNG is made of.
func TestPicture(t *testing.T) {
	for _, c := range []struct {
		name, query string
		depth, kind byte // of IHDR
	}{
		{"plain", "format=png", 1, 3},
		{"transparent", "format=png&bg=transparent", 1, 3},
		{"odd size", "format=png&size=333&margin=0", 1, 3},
		{"logo", "format=png&logo=true&size=500", 8, 2},
		{"logo on nothing", "format=png&logo=true&bg=transparent", 8, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, b := look(t, c.query), draw(t, addresses["usual"], c.query, nil)
			if b[24] != c.depth || b[25] != c.kind {
				t.Errorf("%d bits of type %d", b[24], b[25])
			}
			img, err := png.Decode(bytes.NewReader(b))
			if err != nil || img.Bounds() != image.Rect(0, 0, l.Size, l.Size) {
				t.Fatalf("%v, %v", img.Bounds(), err)
			}
			if _, _, _, alpha := img.At(0, 0).RGBA(); (alpha == 0) != l.Transparent {
				t.Errorf("the margin has alpha %d", alpha)
			}
			for y := range l.Size { // each pixel is dark, light or the logo's
				for x := range l.Size {
					p := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
					dark, light := p == color.NRGBA{A: 255}, p.A == 0 || p == color.NRGBA{255, 255, 255, 255}
					inside := l.Logo && abs(2*x-l.Size) < l.Size/4 && abs(2*y-l.Size) < l.Size/4
					if !dark && !light && !inside {
						t.Fatalf("%v at %d, %d", p, x, y)
					}
				}
			}
		})
	}
}

func abs(n int) int { return max(n, -n) }

// TestLargest bounds what the largest picture takes.
func TestLargest(t *testing.T) {
	for _, query := range []string{"format=png&size=4096", "format=png&size=4096&logo=true", "format=svg&size=4096&logo=true"} {
		if n := len(draw(t, addresses["longer"], query, nil)); n > 512<<10 {
			t.Errorf("%s: %d bytes", query, n)
		}
	}
}

func TestSVG(t *testing.T) {
	got := string(draw(t, `https://go.example/a?b="<&`, "fg=123&bg=abc&size=100&margin=0&level=L", nil))
	for _, want := range []string{`width="100" height="100" viewBox="0 0 25 25"`, `fill="#112233"`, `fill="#aabbcc"`, `<title>QR code of https://go.example/a?b=&#34;&lt;&amp;</title>`, `shape-rendering="crispEdges"`} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %s:\n%s", want, got)
		}
	}
	if strings.Count(got, "<path") != 2 || strings.Contains(got, "style") {
		t.Error(got)
	}
	if got := string(draw(t, "x", "bg=transparent", nil)); strings.Count(got, "<path") != 1 {
		t.Error(got)
	}
}

func TestTooSmall(t *testing.T) {
	_, err := qr.Draw(addresses["longer"], look(t, "format=png&size=64"), nil)
	if err == nil || !strings.Contains(err.Error(), "needs at least ") {
		t.Error(err)
	}
	if _, err := qr.Draw(strings.Repeat("x", 3000), look(t, ""), nil); err == nil {
		t.Error("too long a text")
	}
}

func TestNewLogo(t *testing.T) {
	picture := func(w, h int) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.Black})); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := picture(40, 30)
	for _, c := range []struct {
		name, part string
		file       []byte
	}{
		{"good", "", good},
		{"as large as can be", "", picture(2048, 1)},
		{"no PNG", "must be a PNG", []byte("<svg/>")},
		{"empty", "must be a PNG", nil},
		{"cut off", "damaged", good[:len(good)-20]},
		{"a bomb", "at most 2048", picture(30000, 3000)},
		{"too many bytes", "at most 256 KiB", make([]byte, 256<<10+1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := qr.NewLogo(c.file)
			if (err == nil) != (c.part == "") || err != nil && !strings.Contains(err.Error(), c.part) {
				t.Errorf("%v, want %q", err, c.part)
			}
		})
	}
}

func BenchmarkDraw(b *testing.B) {
	for _, query := range []string{"format=svg", "format=svg&logo=true", "format=png", "format=png&size=4096", "format=png&logo=true", "format=png&size=4096&logo=true"} {
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			l := look(b, query)
			for b.Loop() {
				if _, err := qr.Draw(addresses["usual"], l, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
