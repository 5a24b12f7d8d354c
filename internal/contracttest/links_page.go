package contracttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/link"
)

// pages reads a listing to its end and gives the IDs; between is called after
// each page.
func pages(t *testing.T, s link.Store, q link.Query, between func()) []link.ID {
	t.Helper()
	ids := []link.ID{}
	for range 1000 {
		links, next, err := s.Page(t.Context(), q)
		if err != nil {
			t.Fatalf("Page %+v: %v", q, err)
		}
		if len(links) > q.Limit {
			t.Fatalf("%d links, limit %d", len(links), q.Limit)
		}
		for i := range links {
			ids = append(ids, links[i].ID)
		}
		if next.IsZero() {
			return ids
		}
		if len(links) == 0 {
			t.Fatal("an empty page that is not the last")
		}
		if want := link.CursorAt(q.Sort, &links[len(links)-1]); next != want {
			t.Fatalf("cursor %+v, want that of the last link, %+v", next, want)
		}
		// As a client sends it back.
		if q.After, err = link.ParseCursor(next.String(), q.Sort); err != nil {
			t.Fatal(err)
		}
		if between != nil {
			between()
		}
	}
	t.Fatal("the listing has no end")
	return nil
}

func idsOf(links []link.Link) []link.ID {
	ids := []link.ID{}
	for i := range links {
		ids = append(ids, links[i].ID)
	}
	return ids
}

var allSorts = link.Sorts()

// mixed gives links whose orders by ID, change and code all differ, with ties.
func mixed(n int) []link.Link {
	links := make([]link.Link, n)
	for i := range links {
		l := plain(i)
		l.Code = link.Code(fmt.Sprintf("c%02d%c", i*7%(n/2+1), "aA_-"[i%4]))
		l.Domain = link.Domain(fmt.Sprintf("d%d.example", i))
		l.UpdatedAt = at(i * 5 % 7) // as though changed in another order, with ties
		if i%4 > 0 {
			l.Title = fmt.Sprintf("%c%d", []rune("zÄA")[i%3], i*3%5)
		}
		if i%3 > 0 {
			l.ExpiresAt = at(1e6 + i*7%5)
		}
		links[i] = l
	}
	return links
}

// shuffled gives the links in an order that none of the sorts has.
func shuffled(links []link.Link) []link.Link {
	out := slices.Clone(links)
	slices.SortFunc(out, func(a, b link.Link) int { return int(a.ID*31%17) - int(b.ID*31%17) })
	return out
}

func pageOrders(t *testing.T, s link.Store) {
	if links, next, err := s.Page(t.Context(), link.Query{Limit: 10}); err != nil || len(links) != 0 || !next.IsZero() {
		t.Errorf("of an empty store: %d links, cursor %+v, error %v", len(links), next, err)
	}
	links := mixed(25)
	links[20].Code, links[20].Domain = links[3].Code, "d99.example" // a tie
	for _, l := range shuffled(links) {
		insert(t, s, l)
	}
	for _, sort := range allSorts {
		want := idsOf(sorted(links, sort))
		for _, limit := range []int{1, 2, 7, 24, 25, 26, 500} {
			got := pages(t, s, link.Query{Sort: sort, Limit: limit}, nil)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s by %d (-want +got):\n%s", sort, limit, diff)
			}
		}
		after := sorted(links, sort)[11]
		got := pages(t, s, link.Query{Sort: sort, Limit: 5, After: link.CursorAt(sort, &after)}, nil)
		if diff := cmp.Diff(want[12:], got); diff != "" {
			t.Errorf("%s after the 12th (-want +got):\n%s", sort, diff)
		}
	}
	// NewestFirst is the default.
	if got := pages(t, s, link.Query{Limit: 500}, nil); got[0] != links[24].ID {
		t.Errorf("without a sort the first is %d", got[0])
	}
	// A page gives whole links.
	l := full(99)
	insert(t, s, l)
	got, _, err := s.Page(t.Context(), link.Query{Limit: 1, Archived: link.AlsoArchived})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]link.Link{l}, got, alike); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func pageStable(t *testing.T, s link.Store) {
	const n = 30
	links := mixed(n)
	old := map[link.ID]bool{}
	for i := range links {
		links[i].ID += 1e6 // so that there is room for older ones
		old[links[i].ID] = true
		insert(t, s, links[i])
	}
	next := 0
	for _, sort := range allSorts {
		got := pages(t, s, link.Query{Sort: sort, Limit: 7}, func() {
			// On both sides of any cursor.
			for _, id := range []link.ID{1000, 2e6} {
				next++
				l := plain(next)
				l.ID = id + link.ID(next)
				l.Code = link.Code(fmt.Sprintf("c%02dz", next*11%n))
				l.Domain = "later.example"
				l.Code += link.Code(fmt.Sprint(next))
				l.UpdatedAt = at(next % 9)
				l.Title, l.ExpiresAt = fmt.Sprint("a", next%7), at(1e6+next%9)
				insert(t, s, l)
			}
		})
		seen := map[link.ID]int{}
		found := 0
		for _, id := range got {
			if seen[id]++; seen[id] > 1 {
				t.Errorf("%s: link %d came twice", sort, id)
			}
			if old[id] {
				found++
			}
		}
		if found != n {
			t.Errorf("%s: %d of the %d links that were there came", sort, found, n)
		}
	}
}

func pageFilters(t *testing.T, s link.Store) {
	domain := func(d link.Domain) *link.Domain { return &d }
	mine, tagged, titled, elsewhere := plain(1), plain(2), plain(3), plain(4)
	mine.Owner = 7
	tagged.Owner, tagged.Tags = 7, []string{"100%", "Rot", "grün", "spring sale"}
	titled.Owner, titled.Title, titled.Tags = 8, "Summer SALE ÄÖ", []string{"rot", "x\"y"}
	elsewhere.Domain, elsewhere.Destination = "go.example", "https://shop.example/Sale?a=1"
	elsewhere.Tags = []string{"spring"}
	for _, l := range []link.Link{mine, tagged, titled, elsewhere} {
		insert(t, s, l)
	}
	for name, c := range map[string]struct {
		q    link.Query
		want []link.Link
	}{
		"none":                    {link.Query{}, []link.Link{mine, tagged, titled, elsewhere}},
		"owner":                   {link.Query{Owner: 7}, []link.Link{mine, tagged}},
		"owner without links":     {link.Query{Owner: 9}, nil},
		"the default domain":      {link.Query{Domain: domain("")}, []link.Link{mine, tagged, titled}},
		"domain":                  {link.Query{Domain: domain("go.example")}, []link.Link{elsewhere}},
		"unknown domain":          {link.Query{Domain: domain("go.exampl")}, nil},
		"tag":                     {link.Query{Tag: "grün"}, []link.Link{tagged}},
		"tag in its exact case":   {link.Query{Tag: "rot"}, []link.Link{titled}},
		"tag whole":               {link.Query{Tag: "spring"}, []link.Link{elsewhere}},
		"tag with a quote":        {link.Query{Tag: `x"y`}, []link.Link{titled}},
		"tag no pattern":          {link.Query{Tag: "%"}, nil},
		"text in any of them":     {link.Query{Text: "sAlE"}, []link.Link{tagged, titled, elsewhere}},
		"text in code":            {link.Query{Text: "ODE0002"}, []link.Link{tagged}},
		"text in destination":     {link.Query{Text: "EXAMPLE.COM/3"}, []link.Link{titled}},
		"text in tag":             {link.Query{Text: "grün"}, []link.Link{tagged}},
		"text in another case":    {link.Query{Text: "GRÜN"}, []link.Link{tagged}},
		"without its diacritics":  {link.Query{Text: "grun"}, []link.Link{tagged}},
		"with others":             {link.Query{Text: "ròt"}, []link.Link{tagged, titled}},
		"words anywhere":          {link.Query{Text: " 3 ÄÖ\tsummer code "}, []link.Link{titled}},
		"not all of the words":    {link.Query{Text: "summer spring"}, nil},
		"nothing but spaces":      {link.Query{Text: " \t"}, []link.Link{mine, tagged, titled, elsewhere}},
		"text not in domain":      {link.Query{Text: "go.example"}, nil},
		"text beyond ASCII":       {link.Query{Text: "sale ÄÖ"}, []link.Link{titled}},
		"text not across fields":  {link.Query{Text: "code0001https"}, nil},
		"all at once":             {link.Query{Owner: 8, Domain: domain(""), Tag: "rot", Text: "summer", Status: link.Active, Now: at(9)}, []link.Link{titled}},
		"all but one":             {link.Query{Owner: 7, Domain: domain(""), Tag: "rot", Text: "summer"}, nil},
		"status without its time": {link.Query{Status: link.Active}, []link.Link{mine, tagged, titled, elsewhere}},
	} {
		for _, sort := range allSorts {
			c.q.Sort, c.q.Limit = sort, 2
			want := idsOf(sorted(c.want, sort))
			if diff := cmp.Diff(want, pages(t, s, c.q, nil)); diff != "" {
				t.Errorf("%s by %s (-want +got):\n%s", name, sort, diff)
			}
		}
	}
}

func pageStatus(t *testing.T, s link.Store) {
	timed := func(n int, starts, expires, revoked int) link.Link {
		l := plain(n)
		for to, seconds := range map[*time.Time]int{&l.StartsAt: starts, &l.ExpiresAt: expires, &l.RevokedAt: revoked} {
			if seconds != 0 {
				*to = at(seconds)
			}
		}
		return l
	}
	links := []link.Link{
		timed(1, 0, 0, 0), timed(2, 10, 0, 0), timed(3, 0, 20, 0), timed(4, 0, 0, 30),
		timed(5, 10, 20, 30), timed(6, 10, 20, 5), timed(7, 30, 20, 10), timed(8, 20, 10, 0), timed(9, 0, 10, 10),
	}
	for _, l := range links {
		insert(t, s, l)
	}
	statuses := []link.Status{link.Scheduled, link.Active, link.Expired, link.Revoked}
	for _, seconds := range []int{0, 5, 10, 15, 20, 30, 99} {
		for _, nudge := range []time.Duration{-time.Nanosecond, 0, time.Nanosecond} {
			now := at(seconds).Add(nudge)
			for _, status := range statuses {
				want := []link.ID{}
				for i := range links {
					if links[i].Status(now) == status {
						want = append(want, links[i].ID)
					}
				}
				got := pages(t, s, link.Query{Status: status, Now: now, Sort: link.OldestFirst, Limit: 3}, nil)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s at %v (-want +got):\n%s", status, now, diff)
				}
			}
		}
	}
}

func pageText(t *testing.T, s link.Store) {
	titles := []string{
		"100% off", "100 off", `back\slash`, "under_score", "underXscore", "a*b", "[x]", "quote'd",
		"tail\\", "ab", "é", "É", strings.Repeat("long ", 100) + "end", "Straße", "İstanbul", "ﬁne", "北京", "e\u0301t",
	}
	for i, title := range titles {
		l := plain(i)
		l.Title = title
		insert(t, s, l)
	}
	for _, text := range []string{
		"0% ", "%", "_s", "k\\s", "\\", "*", "[x]", "'", "''", "?", "A", "É", "é", "LONG end", "\x00", "no such text",
		"STRASSE", "straß", "istan", "fi", "北", "京", "et", "\u0301", "AND", "OR ab", "NEAR(", "title:ab", "ab*", "\"ab\"", "-ab", "^a", "\xff", "b b b",
	} {
		want := []link.ID{}
		for i, title := range titles {
			l := plain(i)
			l.Title = title
			if hasText(&l, text) {
				want = append(want, l.ID)
			}
		}
		got := pages(t, s, link.Query{Text: text, Sort: link.OldestFirst, Limit: 500}, nil)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("text %q (-want +got):\n%s", text, diff)
		}
	}
}
