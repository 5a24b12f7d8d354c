package contracttest

import (
	"slices"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/link"
)

// Upkeep tests a click.Upkeep together with the click.Sink and click.Reports of
// the same clicks. Open gives new, empty ones.
func Upkeep(t *testing.T, open func(t *testing.T) (click.Upkeep, click.Sink, click.Reports)) {
	t.Run("Tidy changes nothing", func(t *testing.T) {
		keeper, sink, reports := open(t)
		c := clicks{sink, reports}
		events := crowd(200)
		for first := 0; first < len(events); first += 20 {
			b := events[first : first+20]
			c.add(t, click.Batch{Log: clickLog, Through: b[len(b)-1].Sequence, Events: b})
			if err := keeper.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c.want(t, events)
	})
	t.Run("Drop keeps what was counted", func(t *testing.T) { dropKeeps(t, open) })
}

func dropKeeps(t *testing.T, open func(t *testing.T) (click.Upkeep, click.Sink, click.Reports)) {
	keeper, sink, reports := open(t)
	c := clicks{sink, reports}
	events := crowd(300)
	c.addCrowd(t, events)
	before := clickStart.Add(-20 * time.Hour) // in the middle of a day
	kept := slices.Clone(events)
	kept = slices.DeleteFunc(kept, func(e click.Event) bool { return e.Time.Before(before.Truncate(24 * time.Hour)) })
	for range 2 {
		if _, err := keeper.Drop(t.Context(), before); err != nil {
			t.Fatal(err)
		}
	}
	zone := time.FixedZone("there", 5*3600+45*60)
	q := everything()
	for _, subject := range []click.Subject{{}, {Owner: 1}, {Link: 1}, {Link: 4}} {
		for _, from := range []time.Time{q.From, clickStart.Add(-50 * time.Hour), clickStart.Add(-30*time.Hour - 15*time.Minute), clickStart} {
			q := q
			q.Subject, q.From, q.Zone, q.Interval = subject, from, zone, click.Hourly
			c.wantReport(t, q, events)
			q.To = from.Add(25*time.Hour + 45*time.Minute)
			c.wantReport(t, q, events)
		}
	}
	// A slot belongs to the time that it begins in.
	q.From = events[0].Time.Add(1)
	slot := events[0].Time.Truncate(15 * time.Minute)
	want := slices.DeleteFunc(slices.Clone(events), func(e click.Event) bool { return e.Time.Before(slot.Add(15 * time.Minute)) })
	c.wantReport(t, q, want)
	// Filters and single clicks see what is left.
	q = everything()
	q.Filters = []click.Filter{{Dimension: click.ByCountry, Values: []string{"DE"}}}
	c.wantReport(t, q, kept)
	for _, from := range []time.Time{q.From, clickStart} {
		q.From = from
		want := time.Time{}
		if gone := before.Truncate(24 * time.Hour); from.Before(gone) {
			want = gone
		}
		if r, err := c.Report(t.Context(), q); err != nil || !r.Since.Equal(want) {
			t.Errorf("from %v with a filter: since %v, error %v; want %v", from, r.Since, err, want)
		}
	}
	if got := c.all(t, everything(), 50); len(got) != len(kept) {
		t.Errorf("%d single clicks, want %d", len(got), len(kept))
	}
	totals := map[link.ID]int64{}
	for i := range events {
		if events[i].Kind == click.Human {
			totals[events[i].Link]++
		}
	}
	c.wantTotals(t, totals)
	// A late one counts all the same.
	late := person(1)
	late.Time = events[0].Time
	late.ID = click.NewID(late.Time, 1)
	other := click.Batch{Log: click.LogID{99}, Through: 1, Events: []click.Event{late}}
	c.add(t, other)
	for range 2 {
		c.wantReport(t, everything(), append(slices.Clone(events), late))
		if _, err := keeper.Drop(t.Context(), before); err != nil {
			t.Fatal(err)
		}
	}
}
