package search_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/link"
	"kurz/internal/search"
)

// kept is a search.Source of one segment in memory.
type kept struct {
	blocks [][]byte
	links  map[link.ID]link.Link
}

func (k *kept) Directory(int64) (*search.Directory, error) {
	b, err := k.Block(1, 0)
	if err != nil {
		return nil, err
	}
	return search.ParseDirectory(b)
}

func (k *kept) Block(_ int64, place int) ([]byte, error) {
	if place < 0 || place >= len(k.blocks) {
		return nil, search.ErrDamaged
	}
	return k.blocks[place], nil
}

func (k *kept) Link(id link.ID) (link.Link, error) {
	l, ok := k.links[id]
	if !ok {
		return l, search.ErrDamaged
	}
	return l, nil
}

// keep builds a segment of links with few different words.
func keep(n int) (*kept, []link.Link) {
	links := make([]link.Link, n)
	k := &kept{links: map[link.ID]link.Link{}}
	for i := range links {
		links[i] = link.Link{
			Key: link.Key{Code: link.Code(fmt.Sprintf("c%dx%d", i*7%n, i))}, ID: link.ID(10 + 3*i), Owner: account.ID(i % 3),
			Destination: link.Href(fmt.Sprintf("https://example.com/%d", i%11)),
			Title:       []string{"", "a", "bä", "abc", "Straße nach Süd"}[i%5], UpdatedAt: time.UnixMilli(int64(i * 31 % 17)),
			CreatedAt: time.UnixMilli(int64(i)), Version: 1,
		}
		if i%4 == 0 {
			links[i].Tags = []string{"tag", fmt.Sprint("n", i%6)}
			links[i].ExpiresAt = time.UnixMilli(int64(1e12 + i%9*1000))
		}
		k.links[links[i].ID] = links[i]
	}
	k.blocks = search.Build(links, nil).Blocks
	return k, links
}

// TestPage compares what a segment gives with looking at all of its links, with
// some of them dead and some loose.
func TestPage(t *testing.T) {
	for _, n := range []int{1, 2, 13, 63, 64, 65, 700, 2500} {
		k, links := keep(n)
		seg := search.Segment{ID: 1, First: links[0].ID, Last: links[n-1].ID, Dead: search.NewSet(n)}
		loose := map[link.ID]bool{}
		live := map[link.ID]bool{}
		for i := range links {
			switch i % 10 {
			case 3:
				seg.Dead.Add(i)
			case 7:
				loose[links[i].ID] = true
			default:
				live[links[i].ID] = true
			}
		}
		domain := link.Domain("")
		for _, q := range []link.Query{
			{},
			{Text: "a"},
			{Text: "ab"},
			{Text: "ä"},
			{Text: "strasse sud"},
			{Text: "/10"},
			{Text: "x1"},
			{Text: "nach 7"},
			{Text: "tag"},
			{Tag: "tag"},
			{Text: "zz"},
			{Owner: 1, Text: "https"},
			{Domain: &domain, Status: link.Expired, Now: time.UnixMilli(1e12 + 4000)},
			{Text: "example.com/1", Owner: 2},
		} {
			for _, sort := range link.Sorts() {
				q.Sort, q.Limit, q.After = sort, 7, link.Cursor{}
				selects := q.Filter()
				want := 0
				for i := range links {
					if live[links[i].ID] && selects(&links[i]) {
						want++
					}
				}
				got := 0
				var before link.Cursor
				for {
					page, next, err := search.Page(q, []search.Segment{seg}, loose, nil, k)
					if err != nil {
						t.Fatal(err)
					}
					for i := range page {
						at := link.CursorAt(sort, &page[i])
						if !live[page[i].ID] || !selects(&page[i]) || got > 0 && before.Compare(&at) >= 0 {
							t.Fatalf("%d links, %+v: link %d does not belong here", n, q, page[i].ID)
						}
						before = at
						got++
					}
					if q.After = next; next.IsZero() {
						break
					}
				}
				if got != want {
					t.Errorf("%d links, text %q by %s: %d, want %d", n, q.Text, sort, got, want)
				}
			}
		}
	}
}

// FuzzDamage changes a byte of a block: a search then fails, or gives links that
// belong into its answer.
func FuzzDamage(f *testing.F) {
	k, links := keep(300)
	for place := range k.blocks {
		f.Add(place, place*13, byte(0xff))
		f.Add(place, len(k.blocks[place])-1, byte(1))
	}
	f.Fuzz(func(t *testing.T, place, at int, change byte) {
		damaged := &kept{links: k.links, blocks: append([][]byte(nil), k.blocks...)}
		place = int(uint(place) % uint(len(damaged.blocks)))
		block := append([]byte(nil), damaged.blocks[place]...)
		block[int(uint(at)%uint(len(block)))] ^= change
		damaged.blocks[place] = block
		seg := search.Segment{ID: 1, First: links[0].ID, Last: links[len(links)-1].ID}
		for _, sort := range link.Sorts() {
			q := link.Query{Text: "a ex", Sort: sort, Limit: 40, After: link.CursorAt(sort, &links[150])}
			page, _, err := search.Page(q, []search.Segment{seg}, nil, nil, damaged)
			if err != nil && !errors.Is(err, search.ErrDamaged) {
				t.Fatal(err)
			}
			selects := q.Filter()
			for i := range page {
				if !selects(&page[i]) {
					t.Fatalf("link %d does not belong here", page[i].ID)
				}
			}
		}
	})
}
