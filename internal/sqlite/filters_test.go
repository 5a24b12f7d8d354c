package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

// TestFilters asks for a few clicks, for most and for all: each report is what
// a recount of the single clicks gives.
func TestFilters(t *testing.T) {
	draws := 80
	if testing.Short() {
		draws = 12
	}
	events := history(many(t, 40_000))
	c := sqlite.SizedClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")), int64(len(events)/9), 1<<40)
	drain(t, c, events)
	slices.SortFunc(events, func(a, b click.Event) int { return int(a.ID>>21 - b.ID>>21) })
	r := rand.New(rand.NewPCG(21, 22))
	from, to := events[0].Time, events[len(events)-1].Time.Add(time.Second)
	subjects := []click.Subject{{}, {}, {}, {Owner: 3}, {Owner: account.ID(99)}, {Link: events[7].Link}, {Link: events[7].Link, Owner: account.ID(uint64(events[7].Link) % 7)}, {Link: link.ID(1), Owner: 2}}
	zones := []string{"UTC", "Asia/Kolkata", "America/New_York"}
	for range draws {
		at, err := time.LoadLocation(zones[r.IntN(len(zones))])
		if err != nil {
			t.Fatal(err)
		}
		q := click.Query{
			Subject: subjects[r.IntN(len(subjects))], From: from, To: to, Zone: at, Top: r.IntN(9),
			Interval: []click.Interval{click.Hourly, click.Daily, click.Weekly, click.Monthly}[r.IntN(4)],
			Kinds:    []click.KindSet{click.Humans, click.Bots, click.AllKind}[r.IntN(3)],
		}
		if r.IntN(2) == 0 {
			q.From = from.Add(time.Duration(r.Int64N(int64(to.Sub(from)))))
			q.To = q.From.Add(time.Duration(r.Int64N(int64(to.Sub(q.From)))))
		}
		if r.IntN(4) == 0 {
			q.From, q.To = q.From.Truncate(15*time.Minute), q.To.Truncate(15*time.Minute)
		}
		for range 1 + r.IntN(2) {
			f := click.Filter{Dimension: click.Dimensions[r.IntN(len(click.Dimensions))], Not: r.IntN(3) > 0}
			for range 1 + r.IntN(2) {
				f.Values = append(f.Values, events[r.IntN(len(events))].Value(f.Dimension))
			}
			q.Filters = append(q.Filters, f)
		}
		name := fmt.Sprintf("%s %+v %v %s %s from %v to %v", at, q.Subject, q.Filters, q.Kinds, q.Interval, q.From, q.To)
		recount(t, c, name, q, events)
	}
}

// TestAllButOne leaves out one value at a time of many visitors in one month.
func TestAllButOne(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	first := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	events := make([]click.Event, 80_000)
	for i := range events {
		at := first.Add(time.Duration(i) * 20 * time.Second)
		events[i] = click.Event{
			ID: click.NewID(at, uint64(i+1)), Sequence: uint64(i + 1), Time: at, Link: link.ID(1 + r.IntN(100)),
			Kind: click.Kind(1 + r.IntN(10)/9), Trigger: click.ByLink, Visitor: uint64(r.IntN(60_000)),
		}
		// One in three visitors always comes from the same country.
		if events[i].Country = fmt.Sprint("C", r.IntN(3)); events[i].Visitor%3 == 0 {
			events[i].Country = "C1"
		}
	}
	c := sqlite.SizedClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")), 10_000, 1<<40)
	drain(t, c, events)
	for _, country := range []string{"C0", "C1", "C2"} {
		q := click.Query{
			From: first, To: first.AddDate(0, 0, 25), Interval: click.Monthly, Kinds: click.Humans,
			Filters: []click.Filter{{Dimension: click.ByCountry, Values: []string{country}, Not: true}}, Zone: time.UTC,
		}
		recount(t, c, country, q, events)
	}
}

// TestFiltersDivideDays asks by hour, day, week and month, in zones whose days are
// not those of UTC and whose clocks are set back meanwhile, for visitors who are
// there on both sides of midnight.
func TestFiltersDivideDays(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	first := time.Date(2026, 10, 9, 5, 0, 0, 0, time.UTC)
	const clicks = 60_000
	step := 40 * 24 * time.Hour / clicks
	events := make([]click.Event, clicks)
	for i := range events {
		at := first.Add(time.Duration(i) * step).Truncate(time.Millisecond)
		events[i] = click.Event{
			ID: click.NewID(at, uint64(i+1)), Sequence: uint64(i + 1), Time: at, Link: link.ID(1 + r.IntN(100)),
			Kind: click.Kind(1 + r.IntN(10)/9), Trigger: click.ByLink,
			// Someone new every 17 hours, nobody now and then, and some always.
			Visitor: uint64(i/1000)<<32 + uint64(r.IntN(600)),
			Details: click.Details{Country: fmt.Sprint("C", r.IntN(3)), Browser: fmt.Sprint("Browser ", r.IntN(40)/39)},
		}
		switch r.IntN(30) {
		case 0:
			events[i].Visitor = 0
		case 1:
			events[i].Visitor = uint64(1 + r.IntN(50))
		}
	}
	c := sqlite.SizedClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")), 5_000, 1<<40)
	drain(t, c, events)
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Havana"} {
		at, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range []click.Interval{click.Hourly, click.Daily, click.Weekly, click.Monthly} {
			for n, filters := range [][]click.Filter{
				{{Dimension: click.ByCountry, Values: []string{"C1"}}},
				{{Dimension: click.ByCountry, Values: []string{"C1"}, Not: true}},
				{{Dimension: click.ByBrowser, Values: []string{"Browser 1"}}},
				{{Dimension: click.ByBrowser, Values: []string{"Browser 0"}}, {Dimension: click.ByCountry, Values: []string{"C0", "C2"}}},
			} {
				q := click.Query{
					From: first, To: first.AddDate(0, 0, 41), Interval: interval, Zone: at, Top: 5, Filters: filters,
					Kinds: []click.KindSet{click.Humans, click.AllKind}[n%2],
				}
				if n == 3 {
					q.From, q.To = first.AddDate(0, 0, 3).Add(time.Minute), first.AddDate(0, 0, 33).Add(7*time.Hour)
				}
				recount(t, c, fmt.Sprint(zone, " ", interval, " ", filters), q, events)
			}
		}
	}
}
