package backend_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kurz/internal/backend"
	"kurz/internal/link"
)

// TestCodeKey: made once, its owner's alone, and as good in the settings as in
// the file.
func TestCodeKey(t *testing.T) {
	const sequence = "KURZ_CODE_STRATEGY=sequence"
	dir := t.TempDir()
	s := load(t, dir, sequence)
	b, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "code.key")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[link.Code]bool{}
	draw := func(codes link.Codes) {
		t.Helper()
		code, err := codes.Next(t.Context(), link.Draw{Length: 7})
		if err != nil || seen[code] {
			t.Errorf("%q, %v", code, err)
		}
		seen[code] = true
	}
	draw(b.Parts.Codes)
	// A command beside it.
	d, err := backend.OpenData(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		codes, err := d.Codes(t.Context(), s, time.Now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		draw(codes)
		draw(codes)
		draw(b.Parts.Codes)
	}
	mark, err := backend.CodeKeyMark(s)
	if err != nil {
		t.Fatal(err)
	}
	given := load(t, dir, sequence, "KURZ_CODE_KEY="+strings.TrimSpace(string(text)))
	if again, err := backend.CodeKeyMark(given); err != nil || again != mark || mark == "" {
		t.Errorf("the key of the file in the settings: %q, want %q, %v", again, mark, err)
	}
	given = load(t, dir, sequence, "KURZ_CODE_KEY=quite another key")
	if other, err := backend.CodeKeyMark(given); err != nil || other == mark {
		t.Errorf("another key: %q, %v", other, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), s); err == nil || !strings.Contains(err.Error(), "code.key is damaged") {
		t.Errorf("a damaged key: %v", err)
	}
	// The others need none.
	if b, err := open(t.Context(), load(t, dir)); err != nil {
		t.Error(err)
	} else if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// TestStrategiesOfAServer opens each as a server does.
func TestStrategiesOfAServer(t *testing.T) {
	dir := t.TempDir()
	for _, strategy := range link.Strategies() {
		s := load(t, dir, "KURZ_CODE_STRATEGY="+string(strategy), "KURZ_NODE=7")
		text, err := backend.InspectCodes(s, backend.Serving{})
		if err != nil || !strings.HasPrefix(text, string(strategy)) {
			t.Errorf("%s: %q, %v", strategy, text, err)
		}
		b, err := open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if code, err := b.Parts.Codes.Next(t.Context(), link.Draw{Length: 7}); err != nil {
			t.Errorf("%s: %q, %v", strategy, code, err)
		}
		measured := 0
		for _, m := range b.Parts.Measures {
			if strings.HasPrefix(m.Name, "kurz_code_pool_") {
				measured++
			}
		}
		if pooled := strategy == link.Pooled; (measured == 4) != pooled || (len(b.Parts.Work) == 1) != pooled {
			t.Errorf("%s: %d measures, %d kinds of work", strategy, measured, len(b.Parts.Work))
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
