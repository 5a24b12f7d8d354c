package client_test

import (
	"net/http"
	"strings"
	"testing"

	"kurz/client"
)

func TestQR(t *testing.T) {
	margin := 0
	for _, c := range []struct {
		name string
		qr   client.QR
		on   string
		want string // path and query
	}{
		{"defaults", client.QR{}, "", "/api/v1/urls/abc/qr"},
		{"everything", client.QR{
			Format: "png", Size: 300, Margin: &margin, Level: "H", Foreground: "a33f1c", Background: "transparent", Logo: true,
		}, "go.example", "/api/v1/urls/abc/qr?bg=transparent&domain=go.example&fg=a33f1c&format=png&level=H&logo=true&margin=0&size=300"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{answers: []answer{{status: 200, header: http.Header{"Content-Type": {"image/png"}}, body: "\x89PNG\x00"}}}
			file, err := s.client(t).On(c.on).QR(t.Context(), "abc", c.qr)
			if err != nil || string(file) != "\x89PNG\x00" {
				t.Fatalf("%q, %v", file, err)
			}
			if got := s.asked[0].URL.RequestURI(); !strings.HasSuffix(got, c.want) {
				t.Errorf("asked for %s, want %s", got, c.want)
			}
		})
	}
	s := &script{answers: []answer{refused(410, "URL_REVOKED", "")}}
	if _, err := s.client(t).QR(t.Context(), "abc", client.QR{}); err == nil || !strings.Contains(err.Error(), "URL_REVOKED") {
		t.Errorf("%v", err)
	}
}
