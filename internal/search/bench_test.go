package search_test

import (
	"fmt"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/link"
	"kurz/internal/search"
)

// BenchmarkBuild measures what indexing costs a link.
func BenchmarkBuild(b *testing.B) {
	words := []string{"summer", "Straße", "product", "mail", "river", "obsidian", "city", "labyrinth", "Newsletter"}
	links := make([]link.Link, search.MaxDocs)
	for i := range links {
		word := func(n int) string { return words[(i*2654435761>>n)%len(words)] }
		links[i] = link.Link{
			Key: link.Key{Code: link.Code(fmt.Sprintf("%07x", uint32(i)*2654435761>>4))}, ID: link.ID(i + 1), Owner: account.ID(i % 1000),
			Destination: link.Href(fmt.Sprintf("https://www.%s.example/%s/%d/%s-%s?utm_source=news", words[i%4], words[i%7], i, words[i%3], words[i%5])),
			Title:       fmt.Sprintf("%s and %s of %s %d", word(3), word(7), word(11), i%100),
			Tags:        []string{fmt.Sprintf("team-%d", i%50)}, UpdatedAt: time.UnixMilli(int64(i * 7919 % 100000)),
		}
	}
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		size = 0
		for _, block := range search.Build(links, nil).Blocks {
			size += len(block)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(links)), "ns/link")
	b.ReportMetric(float64(size)/float64(len(links)), "B/link")
}
