package sqlite_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/contracttest"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

func TestLinks(t *testing.T) {
	contracttest.Links(t, func(t *testing.T) link.Store {
		return sqlite.NewLinks(open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{}))
	})
}

func TestAccounts(t *testing.T) {
	contracttest.Accounts(t, func(t *testing.T) account.Store {
		return sqlite.NewAccounts(open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{}))
	})
}

func someLink(n int) link.Link {
	created := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Millisecond)
	return link.Link{
		Key: link.Key{Code: link.Code(fmt.Sprintf("%07x", uint32(n)*2654435761>>4))}, ID: link.ID(n + 1),
		Destination:    link.Href(fmt.Sprintf("https://example.com/articles/2026/11/some-title-of-it-%d", n)),
		RedirectStatus: 302, CreatedAt: created, UpdatedAt: created, Version: 1,
	}
}

// BenchmarkLinksInsert measures durable creates by 64 clients.
func BenchmarkLinksInsert(b *testing.B) {
	for name, change := range map[string]func(n *link.New){
		"anonymous": func(*link.New) {},
		"owned":     func(n *link.New) { n.Link.Owner = account.ID(n.Link.ID%100 + 1) },
		"operation": func(n *link.New) {
			n.Link.Owner = account.ID(n.Link.ID%100 + 1)
			n.Link.Operation = link.Operation{1, byte(n.Link.ID), byte(n.Link.ID >> 8), byte(n.Link.ID >> 16), byte(n.Link.ID >> 24)}
		},
		"content": func(n *link.New) {
			n.Link.Owner = account.ID(n.Link.ID%100 + 1)
			n.Link.ContentID, n.Match, n.At = fmt.Sprint(n.Link.ID), link.MatchContent, n.Link.CreatedAt
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := sqlite.NewLinks(openBench(b))
			var next atomic.Int64
			b.SetParallelism(32) // on each of two processors
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := link.New{Link: someLink(int(next.Add(1)))}
					change(&n)
					if _, outcome, err := s.Insert(b.Context(), n); err != nil || outcome != link.Inserted {
						b.Errorf("outcome %d, error %v", outcome, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
		})
	}
}

func openBench(b *testing.B) *sqlite.DB {
	b.Helper()
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "kurz.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// BenchmarkLinksRoute measures what a redirect pays that is not in the cache,
// with 1,000,000 links.
func BenchmarkLinksRoute(b *testing.B) {
	const links = 1_000_000
	s := sqlite.NewLinks(openBench(b))
	fill(b, s, links)
	for name, first := range map[string]int{"found": 0, "not there": links} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := someLink(first + i*7919%links).Key
				if _, err := s.Route(b.Context(), k); (err == nil) != (first == 0) {
					b.Fatal(err)
				}
			}
		})
	}
}

func fill(b *testing.B, s *sqlite.Links, links int) {
	b.Helper()
	const writers = 512
	done := make(chan error)
	for w := range writers {
		go func() {
			var err error
			for n := w; n < links && err == nil; n += writers {
				_, _, err = s.Insert(b.Context(), link.New{Link: someLink(n)})
			}
			done <- err
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
