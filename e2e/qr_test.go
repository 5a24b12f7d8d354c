package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestQR scans a link's QR code as a phone would, and finds the scan counted
// as one, apart from the other click.
func TestQR(t *testing.T) {
	t.Parallel()
	needs(t, "zbarimg")
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	s.must(t, 201, ask{method: "POST", path: "/api/v1/urls", key: key, body: `{"long_url":"https://go.dev/","custom_alias":"poster","forward_query":true}`})
	file := filepath.Join(t.TempDir(), "poster.png")
	if err := os.WriteFile(file, s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/poster/qr?format=png&logo=true"}).body, 0o600); err != nil {
		t.Fatal(err)
	}
	scanned, err := exec.CommandContext(t.Context(), "zbarimg", "--quiet", "--raw", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	path, ours := strings.CutPrefix(strings.TrimSpace(string(scanned)), s.URL)
	if !ours || path != "/poster?qr=1" {
		t.Fatalf("the code leads to %q", scanned)
	}
	agent := map[string]string{"User-Agent": "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"}
	for _, path := range []string{path, "/poster"} {
		if to := s.must(t, 302, ask{method: "GET", path: path, header: agent}).header.Get("Location"); to != "https://go.dev/" {
			t.Errorf("%s leads to %q", path, to)
		}
	}
	s.must(t, 200, ask{method: "GET", path: "/poster+", header: agent}) // no click
	eventually(t, 2*time.Second, func() string {
		body := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/poster/stats", key: key}).body
		var report struct {
			Total int `json:"total_clicks"`
			Scans int `json:"qr_scans"`
		}
		if err := json.Unmarshal(body, &report); err != nil {
			t.Fatal(err)
		}
		if report.Total != 2 || report.Scans != 1 {
			return string(body)
		}
		return ""
	})
}
