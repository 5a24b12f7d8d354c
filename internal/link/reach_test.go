package link_test

import (
	"net/url"
	"testing"

	"kurz/internal/link"
)

func TestScanURL(t *testing.T) {
	base, err := url.Parse("https://kurz.example")
	if err != nil {
		t.Fatal(err)
	}
	d, err := link.NewDomains(base, []string{"go.example"})
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]link.Key{
		"https://kurz.example/abc?qr=1": {Code: "abc"},
		"https://go.example/abc?qr=1":   {Domain: "go.example", Code: "abc"},
	} {
		if got := d.ScanURL(key); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
