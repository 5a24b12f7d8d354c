package api_test

import (
	"strings"
	"testing"
	"time"

	"kurz/internal/click"
)

// TestLiveComesBackToTheBeginning: a stream says where it begins, and who is
// cut off before the first click gets what is counted from then on.
func TestLiveComesBackToTheBeginning(t *testing.T) {
	l := listen(t, quick)
	l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	w := l.watch(t, "ann", "/api/v1/live")
	var id string
	for id == "" && w.lines.Scan() {
		id, _ = strings.CutPrefix(w.lines.Text(), "id: ")
		if id == w.lines.Text() {
			id = ""
		}
	}
	w.end()
	before, after := l.of(t, "autumn", "", click.Human), l.of(t, "autumn", "", click.Human)
	before.Time, after.Time = l.now.Add(-time.Second), l.now.Add(time.Second)
	l.click(t, before, after)
	w = l.watch(t, "ann", "/api/v1/live", "Last-Event-ID", id)
	if e, ok := w.next(); !ok || !strings.Contains(e.data, `"clicked_at":"`+after.Time.Format("2006-01-02T15:04:05")) {
		t.Errorf("%+v", e)
	}
}

// TestLiveComesBack: who comes back gets what was counted meanwhile, once,
// whether the server still knows it or has to look it up.
func TestLiveComesBack(t *testing.T) {
	l := listen(t, quick)
	l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	at := start
	many := func(n int) (events []click.Event) {
		for range n {
			at = at.Add(time.Second)
			e := l.of(t, "autumn", "", click.Human)
			e.Time = at
			events = append(events, e)
		}
		return events
	}
	w := l.watch(t, "ann", "/api/v1/live")
	l.click(t, many(10)...)
	var seen []string
	read := func(n int) {
		t.Helper()
		for range n {
			e, ok := w.next()
			if !ok {
				t.Fatal("the stream ended")
			}
			seen = append(seen, e.id)
		}
	}
	back := func() {
		w.end()
		w = l.watch(t, "ann", "/api/v1/live", "Last-Event-ID", seen[len(seen)-1])
	}
	read(6)
	back()
	read(4)
	w.end()
	l.click(t, many(5)...)
	back()
	read(5)
	// More than are kept in memory.
	w.end()
	l.click(t, many(1200)...)
	l.live.Show(make([]click.Event, 20_000))
	back()
	read(1200)
	l.click(t, many(3)...)
	read(3)
	once := map[string]bool{}
	for _, id := range seen {
		if once[id] {
			t.Errorf("%s twice", id)
		}
		once[id] = true
	}
	var page struct{ Items []struct{ ID string } }
	l.must(t, 200, ask{Method: "GET", Who: "ann", Path: "/api/v1/clicks?limit=500&to=2030-01-01T00:00:00Z"}).decode(t, &page)
	if len(page.Items) != 500 {
		t.Fatalf("%d in the list", len(page.Items))
	}
	for i, item := range page.Items {
		if id := seen[len(seen)-1-i]; id != item.ID {
			t.Fatalf("event %d from the end is %s, in the list it is %s", i, id, item.ID)
		}
	}
	// More than are sent again.
	old := seen[0]
	l.click(t, many(10_000)...)
	w = l.watch(t, "ann", "/api/v1/live", "Last-Event-ID", old)
	if e, ok := w.next(); !ok || e.name != "missed" || e.data != `{"clicks":null}` {
		t.Errorf("%+v", e)
	}
	w.clicks(t, 10_000)
}
