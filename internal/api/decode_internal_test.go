package api

import "testing"

func BenchmarkParseCreate(b *testing.B) {
	body := []byte(`{"long_url":"https://example.com/articles/2026/12345/a-title-of-ordinary-length?utm_source=news"}`)
	b.ReportAllocs()
	for b.Loop() {
		var dst createBody
		if err := decode(body, &dst, nil); err != nil {
			b.Fatal(err)
		}
	}
}
