package api_test

import (
	"bytes"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/link"
	"kurz/internal/ratelimit"
)

func TestQR(t *testing.T) {
	w := newWorld(t)
	w.link(t, "ann", `{"long_url":"https://example.org/","custom_alias":"plain"}`)
	w.link(t, "ann", `{"long_url":"https://example.org/","custom_alias":"brand","domain":"go.example"}`)
	for _, c := range []struct{ name, path, kind, file, part string }{
		{"default", "plain/qr", "image/svg+xml", "plain.svg", "<title>QR code of https://kurz.example/plain?qr=1</title>"},
		{"another domain", "brand/qr?domain=go.example", "image/svg+xml", "brand.svg", "https://go.example/brand?qr=1"},
		{"dressed", "plain/qr?size=200&margin=2&level=Q&fg=%23a33f1c&bg=transparent&logo=true", "image/svg+xml", "plain.svg", `width="200"`},
		{"picture", "plain/qr?format=png&size=300", "image/png", "plain.png", "\x89PNG"},
		{"text", "plain/qr?format=txt", "text/plain; charset=utf-8", "plain.txt", "█▀▀▀▀▀█"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := "/api/v1/urls/" + c.path
			got := w.must(t, 200, ask{Method: "GET", Path: path})
			for name, want := range map[string]string{
				"Content-Type": c.kind, "Content-Disposition": `inline; filename="` + c.file + `"`,
				"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff",
				"Content-Security-Policy": "default-src 'none'; img-src data:; sandbox",
			} {
				if got.Header.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
				}
			}
			if !strings.Contains(got.Body, c.part) {
				t.Errorf("lacks %q: %s", c.part, got.Body)
			}
			tag := got.Header.Get("ETag")
			w.must(t, 304, ask{Method: "GET", Path: path, Header: http.Header{"If-None-Match": {tag}}})
			head := w.must(t, 200, ask{Method: "HEAD", Path: path})
			if head.Header.Get("ETag") != tag || head.Header.Get("Content-Length") != got.Header.Get("Content-Length") {
				t.Errorf("HEAD: %v", head.Header)
			}
		})
	}
	got := w.must(t, 200, ask{Method: "GET", Path: "/api/v1/urls/plain/qr?format=png&size=300"})
	if img, err := png.Decode(bytes.NewReader([]byte(got.Body))); err != nil || img.Bounds().Dx() != 300 {
		t.Errorf("picture: %v", err)
	}
}

// TestQRLife: there is a code for what redirects, and before its time for who
// may manage it.
func TestQRLife(t *testing.T) {
	w := newWorld(t)
	w.link(t, "ann", `{"long_url":"https://example.org/","custom_alias":"later","starts_at":"2026-11-22T11:00:00Z"}`)
	w.link(t, "ann", `{"long_url":"https://example.org/","custom_alias":"ended","expires_at":"2026-11-22T10:30:00Z"}`)
	w.link(t, "ann", `{"long_url":"https://example.org/","custom_alias":"moved","expires_at":"2026-11-22T10:30:00Z","expired_url":"https://example.org/new"}`)
	w.link(t, "ann", `{"long_url":"https://example.org/","custom_alias":"gone"}`)
	if err := w.registry.Revoke(t.Context(), account.Operator(), link.Key{Code: "gone"}); err != nil {
		t.Fatal(err)
	}
	w.pass(45 * time.Minute)
	for _, c := range []struct {
		code, who string
		status    int
		fault     string
	}{
		{"later", "", 404, "URL_NOT_FOUND"},
		{"later", "bob", 404, "URL_NOT_FOUND"},
		{"later", "ann", 200, ""},
		{"later", "root", 200, ""},
		{"ended", "ann", 410, "URL_EXPIRED"},
		{"moved", "", 200, ""},
		{"gone", "root", 410, "URL_REVOKED"},
		{"nobody", "root", 404, "URL_NOT_FOUND"},
		{"a.b", "", 404, "URL_NOT_FOUND"},
	} {
		got := w.must(t, c.status, ask{Method: "GET", Path: "/api/v1/urls/" + c.code + "/qr", Who: c.who})
		if c.fault != "" {
			if code := got.fault(t).Code; code != c.fault {
				t.Errorf("%s: %s, want %s", c.code, code, c.fault)
			}
		} else if private := got.Header.Get("Cache-Control") == "private, no-store"; private != (c.code == "later") {
			t.Errorf("%s: Cache-Control %q", c.code, got.Header.Get("Cache-Control"))
		}
	}
	w.must(t, 401, ask{Method: "GET", Path: "/api/v1/urls/moved/qr", Header: http.Header{"X-Api-Key": {"kurz_wrong"}}})
}

func TestQRRefused(t *testing.T) {
	w := newWorld(t)
	w.link(t, "ann", `{"long_url":"https://example.org/","custom_alias":"plain"}`)
	for query, fields := range map[string]string{
		"fg=fff":                           "fg",
		"size=9&margin=x&domain=x.example": "size margin domain",
		"colour=red":                       "colour",
		"size=100&size=200":                "size",
		"format=png&size=64&margin=32":     "size",
		"format=txt&logo=true":             "logo",
	} {
		w.refused(t, "VALIDATION_FAILED", ask{Method: "GET", Path: "/api/v1/urls/plain/qr?" + query}, strings.Fields(fields)...)
	}
}

func TestQRLimit(t *testing.T) {
	w := newWorld(t, func(s *api.Settings, _ *link.Settings) {
		s.Rates.Redirect = ratelimit.Limit{Quota: 20, Window: time.Minute}
	})
	w.link(t, "ann", `{"long_url":"https://example.org/","custom_alias":"plain"}`)
	path := "/api/v1/urls/plain/qr"
	got := w.must(t, 200, ask{Method: "GET", Path: path + "?format=png&size=4096"}) // 17
	if policy := got.Header.Get("RateLimit-Policy"); policy != `"redirect";q=20;w=60` || !strings.Contains(got.Header.Get("RateLimit"), "r=3") {
		t.Errorf("%q, %q", policy, got.Header.Get("RateLimit"))
	}
	w.must(t, 429, ask{Method: "GET", Path: path + "?format=png&size=4096"})
	for range 3 {
		w.must(t, 200, ask{Method: "GET", Path: path})
	}
	w.must(t, 429, ask{Method: "GET", Path: path})
	w.must(t, 200, ask{Method: "GET", Path: path, From: "192.0.2.9:1"})
}
