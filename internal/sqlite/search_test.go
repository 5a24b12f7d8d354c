package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

func pageOf(t *testing.T, s *sqlite.Links, q link.Query) []link.Link {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 500
	}
	list, _, err := s.Page(t.Context(), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return list
}

// allOf gives the IDs of a whole listing.
func allOf(t *testing.T, s *sqlite.Links, q link.Query) (ids []link.ID) {
	t.Helper()
	for q.Limit = 100; ; {
		list, next, err := s.Page(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			ids = append(ids, list[i].ID)
		}
		if q.After = next; next.IsZero() {
			return ids
		}
	}
}

// TestSearchWhileLinksChange has links made in any order and changed by several
// at once, one of them another process, while they are indexed. What was
// acknowledged is found by the next search.
func TestSearchWhileLinksChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	server := sqlite.NewLinks(open(t, path, sqlite.Options{}))
	sqlite.IndexEarly(server, 5, 64)
	beside := sqlite.NewLinksBeside(open(t, path, sqlite.Options{Existing: true}))
	const writers, each = 6, 120
	ids := rand.New(rand.NewPCG(1, 2)).Perm(writers * each)
	ctx, cancel := context.WithCancel(t.Context())
	var tidying, writing sync.WaitGroup
	tidying.Go(func() {
		for ctx.Err() == nil {
			if err := server.Tidy(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
				return
			}
		}
	})
	find := func(word string, want link.ID) {
		// A query of another order is answered by the index.
		for _, sort := range []link.Sort{link.NewestFirst, link.LatestChange, link.ByTitleDown} {
			list, _, err := server.Page(t.Context(), link.Query{Text: word, Sort: sort, Limit: 3})
			if err != nil || len(list) != 1 || list[0].ID != want {
				t.Errorf("%s: %d links, %v, want %d", word, len(list), err, want)
				return
			}
		}
	}
	for w := range writers {
		store := server
		if w == 0 {
			store = beside
		}
		writing.Go(func() {
			for n := range each {
				l := someLink(ids[w*each+n])
				l.Title = fmt.Sprintf("made%dx", l.ID)
				l, _, err := store.Insert(t.Context(), link.New{Link: l})
				if err != nil {
					t.Error(err)
					return
				}
				find(l.Title, l.ID)
				if n%3 > 0 {
					continue
				}
				l.Title = fmt.Sprintf("changed%dx", l.ID)
				if _, err := store.Update(t.Context(), l); err != nil {
					t.Error(err)
					return
				}
				find(l.Title, l.ID)
				if list, _, err := server.Page(t.Context(), link.Query{Text: fmt.Sprintf("made%dx", l.ID), Limit: 3}); err != nil || len(list) > 0 {
					t.Errorf("what link %d was is still found: %v", l.ID, err)
				}
			}
		})
	}
	writing.Wait()
	cancel()
	tidying.Wait()
	for _, sort := range link.Sorts() {
		got := allOf(t, server, link.Query{Sort: sort, Text: "x"})
		slices.Sort(got)
		if len(got) != writers*each || len(slices.Compact(got)) != writers*each {
			t.Errorf("by %s: %d links of %d", sort, len(got), writers*each)
		}
	}
}

// TestIndexAfterInterruptions ends indexing again and again in the middle.
func TestIndexAfterInterruptions(t *testing.T) {
	const links = 300
	path := filepath.Join(t.TempDir(), "kurz.db")
	want := make([]link.ID, links)
	for i := range want {
		want[i] = link.ID(i + 1)
	}
	for round := range 12 {
		db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := sqlite.NewLinks(db)
		sqlite.IndexEarly(s, 3, 40)
		for n := range links {
			l := someLink(n)
			if round == 0 {
				_, _, err = s.Insert(t.Context(), link.New{Link: l})
			} else if n%12 == round {
				if l, err = s.Get(t.Context(), l.Key); err == nil {
					l.Title = fmt.Sprintf("round%dx", round)
					_, err = s.Update(t.Context(), l)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		breaths := 0
		s.Breathe = func() {
			if breaths++; breaths == 5+7*round {
				cancel()
			}
		}
		if err := s.Tidy(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancel()
		if got := allOf(t, s, link.Query{Sort: link.OldestFirst}); !slices.Equal(got, want) {
			t.Fatalf("round %d: %d links", round, len(got))
		}
		if round > 0 {
			if got := allOf(t, s, link.Query{Text: fmt.Sprintf("round%dx", round), Sort: link.ByCode}); len(got) != links/12 {
				t.Fatalf("round %d: %d links found", round, len(got))
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, path, sqlite.Options{})
	s := sqlite.NewLinks(db)
	sqlite.IndexEarly(s, 1, 40)
	if err := s.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, `SELECT count(*) FROM search_blocks WHERE id / 65536 NOT IN (SELECT id FROM search_segments)`); n > 0 {
		t.Errorf("%d blocks are no segment's", n)
	}
	if n := count(t, db, `SELECT sum(live) FROM search_segments`); n != links {
		t.Errorf("%d links are indexed", n)
	}
	if n := count(t, db, `SELECT count(*) FROM search_loose`); n > 0 {
		t.Errorf("%d links are loose", n)
	}
}

// TestDamagedIndex shows that answers stay right, and that the index is made
// anew.
func TestDamagedIndex(t *testing.T) {
	const links = 200
	for name, damage := range map[string]string{
		"blocks gone":   `DELETE FROM search_blocks`,
		"blocks empty":  `UPDATE search_blocks SET data = x''`,
		"blocks cut":    `UPDATE search_blocks SET data = substr(data, 1, length(data) / 2)`,
		"blocks random": `UPDATE search_blocks SET data = randomblob(length(data)) WHERE id % 65536 = 0`,
		"random sets":   `UPDATE search_blocks SET data = randomblob(length(data)) WHERE id % 65536 = 1`,
		"a strange set": `UPDATE search_segments SET dead = x'00'`,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
			s := sqlite.NewLinks(db)
			sqlite.IndexEarly(s, 1, 64)
			for n := range links {
				l := someLink(n)
				l.Title = fmt.Sprintf("title%dx", n)
				if _, _, err := s.Insert(t.Context(), link.New{Link: l}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := sqlite.Write(db, t.Context(), run(damage)); err != nil {
				t.Fatal(err)
			}
			q := link.Query{Text: "title7x", Sort: link.ByTitle}
			for range 2 {
				// As a process that has read nothing of it yet.
				s = sqlite.NewLinks(db)
				sqlite.IndexEarly(s, 1, 64)
				if got := pageOf(t, s, q); len(got) != 1 || got[0].ID != 8 {
					t.Fatalf("found %d links", len(got))
				}
				if err := s.Tidy(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n := count(t, db, `SELECT sum(live) FROM search_segments`); n != links {
				t.Errorf("%d links are indexed", n)
			}
		})
	}
}

// TestOneLinkOfTwoProcesses has two processes race for links that stand in for
// one another.
func TestOneLinkOfTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	stores := []*sqlite.Links{
		sqlite.NewLinks(open(t, path, sqlite.Options{})),
		sqlite.NewLinksBeside(open(t, path, sqlite.Options{Existing: true})),
	}
	for round, match := range []link.Match{link.MatchContent, link.MatchDestination} {
		const racers = 200
		var made, found atomic.Int64
		ids := make([]link.ID, racers)
		var all sync.WaitGroup
		for i := range racers {
			all.Go(func() {
				n := link.New{Link: someLink(round*racers + i), Match: match}
				n.Link.Owner, n.Link.Destination = account.ID(round+7), "https://example.com/one"
				if n.At = n.Link.CreatedAt; match == link.MatchContent {
					n.Link.ContentID = "article"
				}
				l, outcome, err := stores[i%2].Insert(t.Context(), n)
				switch {
				case fault.Is(err, fault.Unavailable):
					// The other had the file for too long: nothing was made.
					ids[i] = -1
				case err != nil:
					t.Error(err)
				case outcome == link.Inserted:
					made.Add(1)
					ids[i] = l.ID
				default:
					found.Add(1)
					ids[i] = l.ID
				}
			})
		}
		all.Wait()
		ids = slices.DeleteFunc(ids, func(id link.ID) bool { return id < 0 })
		slices.Sort(ids)
		if made.Load() != 1 || len(slices.Compact(ids)) != 1 || found.Load() < racers/2 {
			t.Errorf("match %d: %d made, %d found, IDs %v", match, made.Load(), found.Load(), slices.Compact(ids))
		}
	}
}
