package sqlite_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

// kept gives clicks of a history, in a file that is rolled up in a few steps.
func kept(t *testing.T, n int) ([]click.Event, *sqlite.Clicks, *sqlite.DB) {
	t.Helper()
	events := history(n)
	db := openClicks(t, filepath.Join(t.TempDir(), "clicks.db"))
	c := sqlite.SizedClicks(db, int64(n/5), int64(n/50))
	for some := range slices.Chunk(events, n/20) {
		if err := c.Add(t.Context(), click.Batch{Log: click.LogID{1}, Through: some[len(some)-1].Sequence, Events: some}); err != nil {
			t.Fatal(err)
		}
		if err := c.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return events, c, db
}

func rebuilt(t *testing.T, c *sqlite.Clicks, check bool, changed bool) sqlite.Rebuilt {
	t.Helper()
	last := int64(0)
	found, err := c.Rebuild(t.Context(), check, func(done, all int64) {
		if done <= last || done > all {
			t.Errorf("progress from %d to %d of %d", last, done, all)
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	if found.Clicks != last || found.Rollups == 0 || found.Changed > 0 != changed {
		t.Fatalf("check %v: %+v, want changes: %v", check, found, changed)
	}
	return found
}

// Single clicks go; totals and reports without filters stay as they were, late
// clicks are still counted in their own hour, and a recount agrees.
func TestDrop(t *testing.T) {
	events, c, db := kept(t, 5_000)
	late := events[len(events)-300:]
	subjects := []click.Subject{{}, {Owner: 3}, {Link: events[0].Link}}
	for i := range events { // a popular link, and one with a click
		if n := slices.IndexFunc(events[i+1:], func(e click.Event) bool { return e.Link == events[i].Link }); n < 0 {
			subjects = append(subjects, click.Subject{Link: events[i].Link})
			break
		}
	}
	same := func(when string) {
		t.Helper()
		for _, zone := range []string{"UTC", "Asia/Kathmandu"} {
			at, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			for _, subject := range subjects {
				for _, kinds := range []click.KindSet{click.Humans, click.AllKind} {
					q := click.Query{
						Subject: subject, From: time.Date(2025, 10, 3, 5, 15, 0, 0, at), To: time.Date(2026, 10, 30, 7, 30, 0, 0, at),
						Zone: at, Kinds: kinds, Interval: click.Monthly, Top: 5,
					}
					recount(t, c, when+" "+zone, q, events)
				}
			}
		}
	}
	same("before")
	rebuilt(t, c, true, false)
	horizon := time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	gone := int64(0)
	for i := range events {
		if events[i].Time.Before(horizon.Truncate(24 * time.Hour)) {
			gone++
		}
	}
	if n, err := c.Drop(t.Context(), horizon); err != nil || n != gone {
		t.Fatalf("%d dropped, error %v; want %d", n, err, gone)
	}
	same("after")
	if n := count(t, db, "SELECT sum(clicks) FROM parts"); int64(n) != int64(len(events))-gone {
		t.Errorf("%d clicks left, want %d", n, int64(len(events))-gone)
	}
	if n, err := c.Drop(t.Context(), horizon.Add(-24*time.Hour)); err != nil || n != 0 {
		t.Errorf("again: %d dropped, error %v", n, err)
	}
	rebuilt(t, c, true, false)
	rebuilt(t, c, false, false)
	same("rebuilt")

	// Late ones.
	b := click.Batch{Log: click.LogID{2}, Through: uint64(len(late))}
	for i, e := range late {
		e.Time = e.Time.AddDate(0, -9, 0)
		e.Sequence = uint64(i + 1)
		e.ID = click.NewID(e.Time, e.Sequence)
		b.Events = append(b.Events, e)
	}
	if err := c.Add(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	events = append(events, b.Events...)
	same("late")
	if n, err := c.Drop(t.Context(), horizon); err != nil || n == 0 {
		t.Fatalf("%d late ones dropped, error %v", n, err)
	}
	same("late, dropped")
	rebuilt(t, c, true, false)

	// All of them.
	if _, err := c.Drop(t.Context(), horizon.AddDate(2, 0, 0)); err != nil {
		t.Fatal(err)
	}
	same("all dropped")
	if n := count(t, db, "SELECT (SELECT count(*) FROM parts) + (SELECT count(*) FROM chunks)"); n != 0 {
		t.Errorf("%d parts and chunks left", n)
	}
	totals := map[string]int64{}
	for i := range events {
		if events[i].Kind == click.Human && events[i].Link == subjects[2].Link {
			totals["want"]++
		}
	}
	got, err := c.Totals(t.Context(), []link.ID{subjects[2].Link})
	if err != nil || got[subjects[2].Link] != totals["want"] {
		t.Errorf("total %d, error %v; want %d", got[subjects[2].Link], err, totals["want"])
	}
}

// What nobody names any more goes, and what somebody does stays.
func TestDropTexts(t *testing.T) {
	db := openClicks(t, filepath.Join(t.TempDir(), "clicks.db"))
	c := sqlite.NewClicks(db)
	add := func(sequence int, at time.Time, campaign, referrer string) {
		t.Helper()
		e := visit(sequence, campaign)
		e.Time, e.ID, e.Sequence = at, click.NewID(at, uint64(sequence)), uint64(sequence)
		e.Referrer = referrer
		if err := c.Add(t.Context(), click.Batch{Log: click.LogID{1}, Through: uint64(sequence), Events: []click.Event{e}}); err != nil {
			t.Fatal(err)
		}
	}
	add(1, day.AddDate(0, 0, -5), "old sale", "https://news.example/private")
	add(2, day, "sale", "https://news.example/now")
	if n, err := c.Drop(t.Context(), day.AddDate(0, 0, -1)); err != nil || n != 1 {
		t.Fatalf("%d dropped, error %v", n, err)
	}
	if n := count(t, db, "SELECT count(*) FROM texts WHERE text = 'https://news.example/private'"); n != 0 {
		t.Error("the address of a referrer outlives its click")
	}
	if n := count(t, db, "SELECT count(*) FROM texts"); n != 3 {
		t.Errorf("%d texts, want the two campaigns and the referrer of now", n)
	}
	// The number of a text that went may be given to another.
	add(3, day.Add(time.Second), "winter", "https://news.example/private")
	r, err := c.Report(t.Context(), click.Query{From: day.AddDate(0, 0, -9), To: day.AddDate(0, 0, 1), Interval: click.Daily, Kinds: click.AllKind})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"old sale", "sale", "winter"} {
		if !slices.Contains(r.Top[click.ByCampaign], click.Count{Value: want, Clicks: 1}) {
			t.Errorf("no %q in %v", want, r.Top[click.ByCampaign])
		}
	}
}

// Rollups that are not what the clicks say are found, and mended.
func TestRebuild(t *testing.T) {
	_, c, db := kept(t, 3_000)
	for what, sql := range map[string]string{
		"lost":    "DELETE FROM rollups WHERE rowid = (SELECT min(rowid) FROM rollups WHERE grain = 1)",
		"damaged": "UPDATE rollups SET data = x'00' WHERE rowid = (SELECT max(rowid) FROM rollups)",
		"made up": "INSERT INTO rollups SELECT kind, subject + 12345, grain, period, data FROM rollups LIMIT 1",
	} {
		if err := sqlite.Write(db, t.Context(), run(sql)); err != nil {
			t.Fatal(err)
		}
		if found := rebuilt(t, c, true, true); found.Changed != 1 {
			t.Errorf("%s: %d changes found", what, found.Changed)
		}
		if found := rebuilt(t, c, false, true); found.Changed != 1 {
			t.Errorf("%s: %d changes made", what, found.Changed)
		}
		rebuilt(t, c, true, false)
	}
	if n := count(t, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'rollups_before'"); n != 0 {
		t.Error("the copy is left")
	}
}
