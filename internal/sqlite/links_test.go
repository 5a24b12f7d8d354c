package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kurz/internal/account"
	"kurz/internal/contracttest"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

func TestLinks(t *testing.T) {
	contracttest.Links(t, func(t *testing.T) link.Store {
		return sqlite.NewLinks(open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{}))
	})
}

// TestLinksIndexed is TestLinks with searches that find much in the index,
// something in no segment yet, and something changed since.
func TestLinksIndexed(t *testing.T) {
	for name, docs := range map[string]int{"small segments": 8, "large": 100} {
		t.Run(name, func(t *testing.T) {
			contracttest.Links(t, func(t *testing.T) link.Store {
				s := sqlite.NewLinks(open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{}))
				sqlite.IndexEarly(s, 2, docs)
				return &tidied{Links: s}
			})
		})
	}
}

// tidied brings the index up to date before most pages.
type tidied struct {
	*sqlite.Links
	pages atomic.Int64
}

func (s *tidied) Page(ctx context.Context, q link.Query) ([]link.Link, link.Cursor, error) {
	if s.pages.Add(1)%4 > 0 {
		if err := s.Tidy(ctx); err != nil {
			return nil, link.Cursor{}, err
		}
	}
	return s.Links.Page(ctx, q)
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

// TestLinksOfAnotherProcess has a second connection to the file, as a command
// beside the server has.
func TestLinksOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	server := sqlite.NewLinks(open(t, path, sqlite.Options{}))
	command := sqlite.NewLinksBeside(open(t, path, sqlite.Options{Existing: true}))
	_, mark, err := server.Changes(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	l := someLink(1)
	if _, _, err := command.Insert(t.Context(), link.New{Link: l}); err != nil {
		t.Fatal(err)
	}
	got, err := server.Get(t.Context(), l.Key)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.Insert(t.Context(), link.New{Link: l}); !fault.Is(err, fault.AliasTaken) {
		t.Errorf("Insert of the other's code: %v", err)
	}
	got.RevokedAt = got.CreatedAt
	if _, err := command.Update(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	if r, err := server.Route(t.Context(), l.Key); err != nil || r.Version != 2 {
		t.Errorf("route %+v, error %v", r, err)
	}
	keys, _, err := server.Changes(t.Context(), mark)
	if diff := cmp.Diff([]link.Key{l.Key, l.Key}, keys); diff != "" || err != nil {
		t.Errorf("Changes: error %v, (-want +got):\n%s", err, diff)
	}
}

func TestLinksAndAccountsSurviveAClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, u := someLink(1), account.User{ID: 1, Email: "a@example.com", CreatedAt: someLink(1).CreatedAt, Version: 1}
	if _, _, err := sqlite.NewLinks(db).Insert(t.Context(), link.New{Link: l}); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.NewAccounts(db).AddUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, sqlite.Options{Existing: true})
	if got, err := sqlite.NewLinks(db).Get(t.Context(), l.Key); err != nil || !cmp.Equal(l, got, cmpopts.EquateEmpty()) {
		t.Errorf("link %+v, error %v", got, err)
	}
	if got, err := sqlite.NewAccounts(db).User(t.Context(), 1); err != nil || got != u {
		t.Errorf("user %+v, error %v", got, err)
	}
}

func TestChangesAreTrimmed(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
	s := sqlite.NewLinks(db)
	err := sqlite.Write(db, t.Context(), run(`INSERT INTO link_changes (mark, domain, code)
		VALUES (1, '', 'old'), (51000, '', 'old'), (51001, '', 'kept'), (150998, '', 'kept')`))
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := s.Insert(t.Context(), link.New{Link: someLink(1)})
	for range 2 {
		if err == nil {
			l, err = s.Update(t.Context(), l)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	keys, mark, err := s.Changes(t.Context(), 150997)
	want := []link.Key{{Code: "kept"}, l.Key, l.Key}
	if diff := cmp.Diff(want, keys); diff != "" || mark != 151000 || err != nil {
		t.Errorf("mark %d, error %v, (-want +got):\n%s", mark, err, diff)
	}
	// Those after 51000 are kept; before that, some are gone.
	if keys, _, err := s.Changes(t.Context(), 51000); len(keys) != 1 || err != nil {
		t.Errorf("the oldest kept: %v, error %v", keys, err)
	}
	for name, mark := range map[string]int64{"the oldest dropped": 50999, "the first": 0, "one of another file": 1e9} {
		if keys, mark, err := s.Changes(t.Context(), mark); !errors.Is(err, link.ErrBehind) {
			t.Errorf("%s: keys %v, mark %d, error %v", name, keys, mark, err)
		}
	}
}

// TestMatchKeysStay holds the hashes that files contain.
func TestMatchKeysStay(t *testing.T) {
	l := someLink(1)
	if d, c := sqlite.MatchKeys(&l); d != 0 || c != 0 {
		t.Errorf("of nobody: %d, %d", d, c)
	}
	l.Owner = 7
	destination, content := sqlite.MatchKeys(&l)
	l.ContentID = "article 1"
	_, withContent := sqlite.MatchKeys(&l)
	if destination != -7572273483662123427 || content != 0 || withContent != -9113184300889262937 {
		t.Errorf("hashes %d, %d, %d", destination, content, withContent)
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

// BenchmarkLinksWalk measures what reading all keys costs each.
func BenchmarkLinksWalk(b *testing.B) {
	const page = 500
	s := sqlite.NewLinks(openBench(b))
	fill(b, s, 20_000)
	b.ReportAllocs()
	read, after := 0, link.Key{}
	for b.Loop() {
		keys, err := s.Walk(b.Context(), after, page)
		if err != nil {
			b.Fatal(err)
		}
		read, after = read+len(keys), link.Key{}
		if len(keys) == page {
			after = keys[page-1]
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(read), "ns/key")
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
