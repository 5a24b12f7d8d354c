package contracttest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// model is link.Store said as simply as can be: what the suites measure every
// adapter by. It does everything by looking at everything.
type model struct {
	links   []link.Link
	changes []link.Key
}

func (m *model) find(is func(l *link.Link) bool) *link.Link {
	for i := range m.links {
		if is(&m.links[i]) {
			return &m.links[i]
		}
	}
	return nil
}

func (m *model) insert(n link.New) (link.Link, link.Outcome, error) {
	l := n.Link
	if l.Operation != (link.Operation{}) {
		if found := m.find(func(o *link.Link) bool { return o.Operation == l.Operation }); found != nil {
			return *found, link.Repeated, nil
		}
	}
	if n.Match != link.MatchNone && l.Owner != 0 {
		found := m.find(func(o *link.Link) bool {
			status := o.Status(n.At)
			return o.Owner == l.Owner && o.Destination == l.Destination && status != link.Revoked &&
				(n.Match == link.MatchDestination && status != link.Expired || n.Match == link.MatchContent && o.ContentID == l.ContentID)
		})
		if found != nil {
			return *found, link.Found, nil
		}
	}
	if m.find(func(o *link.Link) bool { return o.Key == l.Key }) != nil {
		return link.Link{}, 0, fault.New(fault.AliasTaken, "taken")
	}
	if m.find(func(o *link.Link) bool { return o.ID == l.ID }) != nil {
		return link.Link{}, 0, link.ErrIDTaken
	}
	m.links = append(m.links, l)
	slices.SortFunc(m.links, func(a, b link.Link) int { return cmp.Compare(a.ID, b.ID) })
	return l, link.Inserted, nil
}

func (m *model) update(l link.Link) (link.Link, error) {
	old := m.find(func(o *link.Link) bool { return o.Key == l.Key })
	switch {
	case old == nil:
		return link.Link{}, fault.New(fault.URLNotFound, "not there")
	case old.Version != l.Version:
		return link.Link{}, fault.New(fault.PreconditionFailed, "changed")
	}
	l.ID, l.Owner, l.ContentID, l.Alias = old.ID, old.Owner, old.ContentID, old.Alias
	l.CreatedAt, l.Operation = old.CreatedAt, old.Operation
	l.Version++
	if l.Owner != 0 && l.ContentID != "" && l.Status(l.UpdatedAt) != link.Revoked {
		twin := m.find(func(o *link.Link) bool {
			return o.ID != l.ID && o.Owner == l.Owner && o.ContentID == l.ContentID &&
				o.Destination == l.Destination && o.Status(l.UpdatedAt) != link.Revoked
		})
		if twin != nil {
			return link.Link{}, fault.New(fault.AlreadyExists, "twin")
		}
	}
	*old = l
	m.changes = append(m.changes, l.Key)
	return l, nil
}

// page gives everything that q selects after its cursor, without its limit.
func (m *model) page(q link.Query) []link.Link {
	var out []link.Link
	for _, l := range m.links {
		if (q.Owner == 0 || l.Owner == q.Owner) && (q.Domain == nil || l.Domain == *q.Domain) &&
			(q.Tag == "" || slices.Contains(l.Tags, q.Tag)) && hasText(&l, q.Text) &&
			(q.Status == "" || l.Status(q.Now) == q.Status) &&
			(q.Archived == link.AlsoArchived || l.ArchivedAt.IsZero() == (q.Archived == link.LeaveArchived)) {
			out = append(out, l)
		}
	}
	return sorted(out, q.Sort)
}

// hasText reports whether each of the words is in one of the texts.
func hasText(l *link.Link, words string) bool {
	texts := append([]string{string(l.Code), l.Title, string(l.Destination)}, l.Tags...)
	for _, word := range strings.Fields(plainText(words)) {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(plainText(text), word) }) {
			return false
		}
	}
	return true
}

// plainText spells out what folding does to the letters of the suite.
func plainText(s string) string {
	return strings.NewReplacer(
		"é", "e", "\u0301", "", "ä", "a", "ö", "o", "ü", "u", "ß", "ss", "ﬁ", "fi", "ò", "o",
		"\xff", "\ufffd",
	).Replace(strings.ToLower(strings.ReplaceAll(s, "İ", "i")))
}

// sorted gives a copy of the links in the order of sort.
func sorted(links []link.Link, sort link.Sort) []link.Link {
	out := slices.Clone(links)
	slices.SortFunc(out, func(a, b link.Link) int {
		order := 0
		switch sort {
		case link.LatestChange, link.FirstChange:
			order = a.UpdatedAt.Compare(b.UpdatedAt)
		case link.ByCode, link.ByCodeDown:
			order = cmp.Compare(a.Code, b.Code)
		case link.ByTitle, link.ByTitleDown:
			// Those without one are the last.
			order = cmp.Or(bothOrNone(a.Title == "", b.Title == ""), cmp.Compare(plainText(a.Title), plainText(b.Title)))
		case link.FirstEnd, link.LastEnd:
			order = cmp.Or(bothOrNone(a.ExpiresAt.IsZero(), b.ExpiresAt.IsZero()), a.ExpiresAt.Compare(b.ExpiresAt))
		}
		order = cmp.Or(order, cmp.Compare(a.ID, b.ID))
		if sort == "" || sort[0] == '-' {
			return -order
		}
		return order
	})
	return out
}

// bothOrNone puts what is behind what is not.
func bothOrNone(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// linksModel makes random calls with few different values, so that they meet.
// Each run of them has a domain of its own in the one store; codes may be in
// another run's domain, IDs, owners, and operations may not.
func linksModel(t *testing.T, s link.Store) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		r := &linksRun{s: s, run: run, domain: link.Domain(fmt.Sprintf("run%d.example", run))}
		_, mark, err := s.Changes(t.Context(), -1)
		if err != nil {
			rt.Fatal(err)
		}
		r.mark = mark
		rt.Repeat(map[string]func(*rapid.T){
			"insert": r.insert,
			"many":   r.insertMany,
			"update": r.update,
			"page":   r.page,
			"":       r.check,
		})
	})
}

type linksRun struct {
	s      link.Store
	run    int
	domain link.Domain
	model  model
	mark   int64
	seen   int // changes of the model that the feed gave
	now    int
	drawn  []link.Key // for the last call
}

func (r *linksRun) draw(t *rapid.T) link.Link {
	pick := func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
	l := plain(0)
	l.Key = link.Key{Domain: r.domain, Code: link.Code(fmt.Sprintf("code%d", pick("code", 12)))}
	r.drawn = append(r.drawn, l.Key)
	l.ID = link.ID(r.run*100 + pick("id", 15) + 1)
	if pick("owned", 4) > 0 {
		l.Owner = account.ID(r.run*10 + pick("owner", 2) + 1)
	}
	l.Destination = link.Href(fmt.Sprintf("https://example.com/%d", pick("destination", 2)))
	l.ContentID = []string{"", "a", "b"}[pick("content", 3)]
	if pick("operation", 3) == 0 {
		l.Operation = link.Operation{byte(r.run), byte(r.run >> 8), byte(pick("which", 4) + 1)}
	}
	l.Title = rapid.StringOfN(rapid.RuneFrom([]rune("abAB%_é")), 0, 3, -1).Draw(t, "title")
	l.Tags = [][]string{nil, {"a"}, {"a", "b"}}[pick("tags", 3)]
	if pick("revoked", 3) == 0 {
		l.RevokedAt = at(r.now + pick("after", 9) - 4)
	}
	if pick("expires", 4) == 0 {
		l.ExpiresAt = at(r.now + pick("until", 9) - 4)
	}
	if pick("archived", 4) == 0 {
		l.ArchivedAt = at(r.now)
	}
	if pick("starts", 4) == 0 {
		l.StartsAt = at(r.now + pick("from", 9) - 4)
	}
	r.now++
	l.CreatedAt = at(r.now)
	l.UpdatedAt = at(r.now)
	return l
}

func (r *linksRun) insert(t *rapid.T) {
	n := link.New{Link: r.draw(t), At: at(r.now)}
	n.Match = link.Match(rapid.IntRange(0, 2).Draw(t, "match"))
	want, wantOutcome, wantErr := r.model.insert(n)
	got, outcome, err := r.s.Insert(t.Context(), n)
	r.compare(t, want, wantErr, got, err)
	if err == nil && outcome != wantOutcome {
		t.Fatalf("outcome %d, want %d", outcome, wantOutcome)
	}
}

func (r *linksRun) insertMany(t *rapid.T) {
	list := make([]link.New, rapid.IntRange(0, 4).Draw(t, "many"))
	for i := range list {
		list[i] = link.New{Link: r.draw(t), At: at(r.now), Match: link.Match(rapid.IntRange(0, 2).Draw(t, "match"))}
	}
	made, err := r.s.InsertMany(t.Context(), list)
	if err != nil || len(made) != len(list) {
		t.Fatalf("%d of %d, error %v", len(made), len(list), err)
	}
	for i, n := range list {
		want, outcome, wantErr := r.model.insert(n)
		r.compare(t, want, wantErr, made[i].Link, made[i].Err)
		if wantErr == nil && made[i].Outcome != outcome {
			t.Fatalf("outcome of %d: %d, want %d", i, made[i].Outcome, outcome)
		}
	}
}

func (r *linksRun) update(t *rapid.T) {
	l := r.draw(t)
	l.Version = 1
	if old := r.model.find(func(o *link.Link) bool { return o.Key == l.Key }); old != nil {
		l.Version = old.Version - int64(rapid.IntRange(0, 9).Draw(t, "stale")/9)
	}
	want, wantErr := r.model.update(l)
	got, err := r.s.Update(t.Context(), l)
	r.compare(t, want, wantErr, got, err)
}

func (r *linksRun) compare(t *rapid.T, want link.Link, wantErr error, got link.Link, err error) {
	if wantErr != nil {
		if fault.CodeOf(err) != fault.CodeOf(wantErr) || errors.Is(err, link.ErrIDTaken) != errors.Is(wantErr, link.ErrIDTaken) {
			t.Fatalf("error %v, want %v", err, wantErr)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got, alike); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func (r *linksRun) page(t *rapid.T) {
	q := link.Query{
		Domain:   &r.domain,
		Text:     rapid.SampledFrom([]string{"", "a", "B", "%", "é", "code1", "/0"}).Draw(t, "text"),
		Tag:      rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(t, "tag"),
		Status:   rapid.SampledFrom([]link.Status{"", link.Scheduled, link.Active, link.Expired, link.Revoked}).Draw(t, "status"),
		Now:      at(r.now),
		Archived: rapid.SampledFrom([]link.Archived{link.LeaveArchived, link.LeaveArchived, link.OnlyArchived, link.AlsoArchived}).Draw(t, "archived"),
		Sort:     rapid.SampledFrom(allSorts).Draw(t, "sort"),
		Limit:    rapid.IntRange(1, 5).Draw(t, "limit"),
	}
	if rapid.Bool().Draw(t, "mine") {
		q.Owner = account.ID(r.run*10 + 1)
	}
	var got []link.Link
	want := r.model.page(q)
	for range len(want)/q.Limit + 2 {
		links, next, err := r.s.Page(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, links...)
		if q.After = next; next.IsZero() {
			break
		}
	}
	if diff := gocmp.Diff(want, got, alike); diff != "" {
		t.Fatalf("%+v (-want +got):\n%s", q, diff)
	}
}

func (r *linksRun) check(t *rapid.T) {
	for _, key := range r.drawn {
		want := r.model.find(func(l *link.Link) bool { return l.Key == key })
		if want == nil {
			continue
		}
		route, err := r.s.Route(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want.Route(), route, unloaded); diff != "" {
			t.Fatalf("Route (-want +got):\n%s", diff)
		}
	}
	keys, mark, err := r.s.Changes(t.Context(), r.mark)
	if err != nil {
		t.Fatal(err)
	}
	r.mark = mark
	want := r.model.changes[r.seen:]
	if len(want) == 0 { // creations may be in it
		keys = slices.DeleteFunc(keys, func(k link.Key) bool { return slices.Contains(r.drawn, k) })
	}
	r.drawn = nil
	if diff := gocmp.Diff(want, keys, alike); diff != "" {
		t.Fatalf("Changes (-want +got):\n%s", diff)
	}
	r.seen = len(r.model.changes)
}
