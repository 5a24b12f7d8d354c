package columns_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"kurz/internal/click"
	"kurz/internal/columns"
	"kurz/internal/link"
)

// TestDividedDays counts the visitors of days that a zone divides, of which
// some come again the next day, some several times and some as programs, too:
// each bucket has as many as a Tally counts.
func TestDividedDays(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	parts := []*columns.Rows{{}, {}}
	var events []click.Event
	const days, quiet = 12, 3
	for day := range days {
		clicks := 10_000
		if day/2 == quiet {
			clicks = 1_000 // too few for a sketch
		}
		for i := range clicks {
			at := start.AddDate(0, 0, day-2).Add(time.Duration(r.IntN(86_400_000)) * time.Millisecond)
			e := click.Event{
				ID: click.NewID(at, uint64(i)), Time: at, Link: 1, Kind: click.Human, Trigger: click.ByLink,
				Visitor: uint64(day+r.IntN(2))<<32 + uint64(r.IntN(9000)),
			}
			if r.IntN(8) == 0 {
				e.Kind = click.Bot
			}
			events = append(events, e)
			parts[r.IntN(2)].Add(&e, [columns.TextCount]columns.Text{})
		}
	}
	kept := shelf{}
	roller := columns.Roller{Keeper: kept}
	for _, rows := range parts {
		if err := roller.Add(rows, rows.Order(), func(link.ID) bool { return false }); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"Europe/Berlin", "Asia/Kathmandu", "America/New_York"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range []click.Interval{click.Hourly, click.Daily, click.Weekly, click.Monthly} {
			for _, kinds := range []click.KindSet{click.Humans, click.AllKind} {
				from := start.Truncate(time.Hour).AddDate(0, 0, -2)
				for _, to := range []time.Time{from.AddDate(0, 0, days), from.Add(30 * time.Hour)} {
					q := click.Query{From: from, To: to, Kinds: kinds, Interval: interval, Zone: zone}
					tally := click.NewTally(q)
					for i := range events {
						tally.Add(&events[i])
					}
					counter := columns.NewCounter(q, nil)
					first, end, _, _ := counter.Aligned()
					if err := counter.AddRollups(kept, true, first, end); err != nil {
						t.Fatal(err)
					}
					got, err := counter.Report(func([]columns.Text) (map[columns.Text]string, error) { return nil, nil })
					if err != nil {
						t.Fatal(err)
					}
					sameVisitors(t, name, interval, tally.Report(), got)
				}
			}
		}
	}
}

// sameVisitors checks that numbers of visitors are exact up to 10,000, and near
// above.
func sameVisitors(t *testing.T, zone string, interval click.Interval, want, got click.Report) {
	t.Helper()
	near := func(want, got int64) bool {
		return want == got || want > columns.ExactVisitors && max(want-got, got-want)*50 <= want
	}
	if !near(want.UniqueVisitors, got.UniqueVisitors) || want.TotalClicks != got.TotalClicks || len(want.Series) != len(got.Series) {
		t.Fatalf("%s, %s: %d visitors of %d clicks in %d buckets, want %d of %d in %d", zone, interval,
			got.UniqueVisitors, got.TotalClicks, len(got.Series), want.UniqueVisitors, want.TotalClicks, len(want.Series))
	}
	for i, b := range want.Series {
		if !near(b.UniqueVisitors, got.Series[i].UniqueVisitors) {
			t.Errorf("%s, %s: %d visitors from %v on, want %d", zone, interval, got.Series[i].UniqueVisitors, b.Start, b.UniqueVisitors)
		}
	}
}
