package contracttest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/link"
)

// crowd draws n clicks of few links, owners and values, in order of time.
func crowd(n int) []click.Event {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(values ...string) string { return values[r.IntN(len(values))] }
	at := clickStart.AddDate(0, 0, -3)
	events := make([]click.Event, n)
	for i := range events {
		at = at.Add(time.Duration(r.IntN(2*6*24*3600*1000/n)) * time.Millisecond)
		events[i] = click.Event{
			ID: click.NewID(at, uint64(i+1)), Sequence: uint64(i + 1), Time: at,
			Link: link.ID(1 + r.IntN(4)), Kind: click.Kind(1 + r.IntN(5)), Trigger: click.Trigger(r.IntN(3)),
			Visitor: uint64(r.IntN(20)),
			Details: click.Details{
				Country: pick("", "DE", "FR"), City: pick("", "Köln"), Referrer: pick("", "https://a.example/x"), ReferrerHost: pick("", "a.example"),
				Browser: pick("", "Firefox", "Chrome"), OS: pick("Linux", "iOS"), Device: pick("mobile", "desktop", ""),
				Language: pick("", "de"), UTMSource: pick("", "mail"), UTMMedium: pick("", "cpc"), UTMCampaign: pick("", "sale", "xmas"),
			},
		}
		events[i].Owner = account.ID(events[i].Link / 2) // 0, 1, 1, 2
	}
	return events
}

// addCrowd adds events in batches of several sizes.
func (c clicks) addCrowd(t *testing.T, events []click.Event) {
	t.Helper()
	for first, size := 0, 1; first < len(events); first, size = first+size, size*3 {
		b := events[first:min(first+size, len(events))]
		c.add(t, click.Batch{Log: clickLog, Through: b[len(b)-1].Sequence, Events: b})
	}
}

// question draws a query of the crowd's clicks.
func question(t *rapid.T) click.Query {
	hour := rapid.IntRange(-100, 100)
	from := clickStart.Add(time.Duration(hour.Draw(t, "from"))*time.Hour + time.Duration(rapid.IntRange(0, 1_000_000).Draw(t, "ns")))
	zones := []*time.Location{time.UTC, time.FixedZone("east", 5*3600+45*60), time.FixedZone("west", -3*3600-30*60)}
	q := click.Query{
		Subject: click.Subject{
			Link: link.ID(rapid.IntRange(0, 5).Draw(t, "link")), Owner: account.ID(rapid.IntRange(0, 3).Draw(t, "owner")),
		},
		From: from, To: from.Add(time.Duration(hour.Draw(t, "width")) * time.Hour),
		Interval: rapid.SampledFrom([]click.Interval{click.Hourly, click.Daily, click.Weekly, click.Monthly}).Draw(t, "interval"),
		Zone:     rapid.SampledFrom(zones).Draw(t, "zone"),
		Kinds:    rapid.SampledFrom([]click.KindSet{click.Humans, click.Bots, click.AllKind}).Draw(t, "kinds"),
		Top:      rapid.IntRange(0, 3).Draw(t, "top"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "filters") {
		q.Filters = append(q.Filters, click.Filter{
			Dimension: rapid.SampledFrom(click.Dimensions[:]).Draw(t, "dimension"),
			Values:    rapid.SliceOfN(rapid.SampledFrom([]string{"direct", "unknown", "DE", "mobile", "a.example", "qr", "sale", "no"}), 1, 3).Draw(t, "values"),
			Not:       rapid.Bool().Draw(t, "not"),
		})
	}
	return q
}

func clickReports(t *testing.T, c clicks) {
	events := crowd(400)
	c.addCrowd(t, events)
	c.want(t, events)
	rapid.Check(t, func(r *rapid.T) {
		q := question(r)
		got, err := c.Report(t.Context(), q)
		if err != nil {
			r.Fatal(err)
		}
		tally := click.NewTally(q)
		for i := range events {
			tally.Add(&events[i])
		}
		if diff := cmp.Diff(tally.Report(), got, clickAlike); diff != "" {
			r.Fatalf("report (-want +got):\n%s", diff)
		}
	})
}

func clickPages(t *testing.T, c clicks) {
	events := crowd(300)
	c.addCrowd(t, events)
	slices.Reverse(events)
	rapid.Check(t, func(r *rapid.T) {
		q := question(r)
		limit := rapid.IntRange(1, 50).Draw(r, "limit")
		var want []click.Event
		for i := range events {
			if q.Selects(&events[i]) {
				want = append(want, events[i])
			}
		}
		if diff := cmp.Diff(want, c.all(t, q, limit), clickAlike); diff != "" {
			r.Fatalf("events, %d a page (-want +got):\n%s", limit, diff)
		}
	})
}

func clickStable(t *testing.T, c clicks) {
	c.add(t, people(1, 10))
	page, next, err := c.Events(t.Context(), everything(), 0, 4)
	if err != nil || len(page) != 4 || next == 0 {
		t.Fatalf("%d events, next %d, error %v", len(page), next, err)
	}
	c.add(t, people(11, 20))
	rest, next, err := c.Events(t.Context(), everything(), next, 6)
	if err != nil || next != 0 {
		t.Fatalf("next %d, error %v", next, err)
	}
	want := people(1, 10).Events
	slices.Reverse(want)
	if diff := cmp.Diff(want, append(page, rest...), clickAlike); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func clickTotals(t *testing.T, c clicks) {
	b := people(1, 10)
	for i := range b.Events {
		e := &b.Events[i]
		e.Kind, e.Link = click.Kind(i%5+1), link.ID(i%3+1)
	}
	// People are 1 and 6: the first event of link 1 and the sixth, of link 3.
	c.add(t, b)
	c.wantTotals(t, map[link.ID]int64{1: 1, 2: 0, 3: 1})
	if got, err := c.Totals(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("Totals of no links: %v, error %v", got, err)
	}
	more := people(11, 700)
	for i := range more.Events {
		more.Events[i].Link = link.ID(more.Events[i].Sequence)
	}
	c.add(t, more)
	want := map[link.ID]int64{1: 1, 3: 1}
	for n := 11; n <= 700; n++ {
		want[link.ID(n)] = 1
	}
	c.wantTotals(t, want)
}

func clickNone(t *testing.T, c clicks) {
	c.want(t, nil)
	q := everything()
	q.Link, q.Filters = 77, []click.Filter{{Dimension: click.ByCity, Values: []string{"unknown"}}}
	c.wantReport(t, q, nil)
}

func clickBounds(t *testing.T, c clicks) {
	events := people(1, 5).Events
	c.add(t, people(1, 5))
	for _, at := range []time.Time{events[1].Time, events[1].Time.Add(1), events[3].Time, events[3].Time.Add(1), events[3].Time.Add(-1)} {
		for _, to := range []bool{false, true} {
			q := everything()
			if to {
				q.To = at
			} else {
				q.From = at
			}
			c.wantReport(t, q, events)
		}
	}
}

func clickFresh(t *testing.T, c clicks) {
	for n := 1; n <= 10; n++ {
		c.add(t, people(n, n))
		c.wantReport(t, everything(), people(1, n).Events)
	}
}
