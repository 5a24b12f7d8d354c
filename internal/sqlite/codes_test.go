package sqlite_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	zs "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/contracttest"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

func TestCodes(t *testing.T) {
	contracttest.Codes(t, func(t *testing.T) (contracttest.CodeStore, link.Store) {
		db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
		return sqlite.NewCodes(db), sqlite.NewLinks(db)
	})
}

// TestCodesAmongProcesses has a second connection to the file, as a command
// beside the server has.
func TestCodesAmongProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	a := sqlite.NewCodes(open(t, path, sqlite.Options{}))
	b := sqlite.NewCodes(open(t, path, sqlite.Options{Existing: true}))
	for i, s := range []*sqlite.Codes{a, b, a} {
		if first, err := s.Reserve(t.Context(), "x", 10); err != nil || first != int64(10*i) {
			t.Errorf("reservation %d: %d, %v", i, first, err)
		}
	}
	if _, err := a.Add(t.Context(), 4, []link.Code{"aaaa", "bbbb"}); err != nil {
		t.Fatal(err)
	}
	first, err := b.Take(t.Context(), 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.Take(t.Context(), 4, 5)
	if err != nil || len(first) != 1 || len(second) != 1 || first[0] == second[0] {
		t.Errorf("took %v and %v, %v", first, second, err)
	}
	now := time.Now()
	one, err := a.Lease(t.Context(), "one", now, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if two, err := b.Lease(t.Context(), "two", now, now.Add(time.Minute)); err != nil || one == two {
		t.Errorf("leased %d and %d, %v", one, two, err)
	}
}

// TestPoolDoesNotGrow makes links of all codes that are taken: the pool forgets
// these, since the links know them.
func TestPoolDoesNotGrow(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
	codes, links := sqlite.NewCodes(db), sqlite.NewLinks(db)
	n := 0
	for range 30 {
		batch := make([]link.Code, 200)
		for i := range batch {
			n++
			batch[i] = link.Code(fmt.Sprintf("c%06d", n))
		}
		if added, err := codes.Add(t.Context(), 7, batch); err != nil || added != len(batch) {
			t.Fatal(added, err)
		}
		taken, err := codes.Take(t.Context(), 7, 200)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i, code := range taken {
			all.Go(func() {
				l := someLink(n + i)
				l.Code = code
				if _, _, err := links.Insert(t.Context(), link.New{Link: l}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	rows := int64(0)
	err := sqlite.Read(db, t.Context(), func(c *zs.Conn) (err error) {
		rows, err = sqlitex.ResultInt64(c.Prep("SELECT count(*) FROM code_pool"))
		return err
	})
	if err != nil || rows > 1200 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
