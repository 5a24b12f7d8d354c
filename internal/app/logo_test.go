package app_test

import (
	"crypto/rand"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kurz/internal/app"
	"kurz/internal/config"
	"kurz/internal/link"
	"kurz/internal/memory"
)

func TestLogo(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.png"), filepath.Join(dir, "bad.png")
	f, err := os.Create(good)
	if err == nil {
		err = png.Encode(f, image.NewGray(image.Rect(0, 0, 9, 9)))
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = os.WriteFile(bad, []byte("<svg/>"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, part string
		logo             bool
	}{
		{"none", "", "", false},
		{"a picture", good, "", true},
		{"no picture", bad, "must be a PNG", false},
		{"nothing there", filepath.Join(dir, "none.png"), "KURZ_QR_LOGO", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := config.Load(config.Sources{Environ: []string{"KURZ_QR_LOGO=" + c.path}})
			if err != nil {
				t.Fatal(err)
			}
			core, err := app.NewCore(&s.Settings, memory.NewLinks(), link.RandomCodes{Rand: rand.Reader}, app.Surroundings{Now: time.Now, Rand: rand.Reader})
			if (err == nil) != (c.part == "") || err != nil && !strings.Contains(err.Error(), c.part) {
				t.Fatalf("%v, want %q", err, c.part)
			}
			if err == nil && (core.Logo != nil) != c.logo {
				t.Errorf("logo: %v", core.Logo)
			}
		})
	}
}
