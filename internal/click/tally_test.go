package click_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/link"
)

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func instant(t interface{ Fatal(...any) }, s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// starts gives the starts of buckets as the zone's wall clock shows them.
func starts(buckets []click.Bucket) []string {
	out := make([]string, len(buckets))
	for i, b := range buckets {
		out[i] = b.Start.Format(time.RFC3339)
	}
	return out
}

func TestSeries(t *testing.T) {
	tests := []struct {
		name     string
		zone     string
		interval click.Interval
		from, to string
		want     []string
	}{
		{
			"hours in UTC", "UTC", click.Hourly, "2026-11-22T10:59:59Z", "2026-11-22T12:00:01Z",
			[]string{"2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T12:00:00Z"},
		},
		{
			"an empty range", "UTC", click.Daily, "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z",
			[]string{},
		},
		{
			"a turned range", "UTC", click.Hourly, "2026-11-22T10:00:00Z", "2026-11-21T10:00:00Z",
			[]string{},
		},
		{
			"to is not part of it", "UTC", click.Daily, "2026-11-22T00:00:00Z", "2026-11-24T00:00:00Z",
			[]string{"2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"},
		},
		{
			"a day of 23 hours", "Europe/Berlin", click.Daily, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z",
			[]string{"2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		},
		{
			"the hour that is left out", "Europe/Berlin", click.Hourly, "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z",
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		},
		{
			"the hour that comes twice", "Europe/Berlin", click.Hourly, "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z",
			[]string{
				"2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00",
			},
		},
		{
			"hours of a zone of 45 minutes", "Asia/Kathmandu", click.Hourly, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z",
			[]string{"2026-01-01T05:00:00+05:45", "2026-01-01T06:00:00+05:45"},
		},
		{
			"days of a zone of 30 minutes", "Asia/Kolkata", click.Daily, "2026-01-01T18:29:59Z", "2026-01-01T18:30:01Z",
			[]string{"2026-01-01T00:00:00+05:30", "2026-01-02T00:00:00+05:30"},
		},
		{
			"clocks that go half an hour back", "Australia/Lord_Howe", click.Hourly, "2026-04-04T14:00:00Z", "2026-04-04T16:00:00Z",
			[]string{"2026-04-05T01:00:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T02:00:00+10:30"},
		},
		{
			"clocks that go half an hour on", "Australia/Lord_Howe", click.Hourly, "2026-10-03T15:00:00Z", "2026-10-03T16:30:00Z",
			[]string{"2026-10-04T01:00:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00"},
		},
		{
			"a day without midnight", "America/Sao_Paulo", click.Daily, "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z",
			[]string{"2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"},
		},
		{
			"a day with two midnights", "America/Havana", click.Daily, "2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z",
			[]string{"2026-10-31T00:00:00-04:00", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"},
		},
		{
			"a date that was skipped", "Pacific/Apia", click.Daily, "2011-12-29T12:00:00Z", "2012-01-01T00:00:00Z",
			[]string{"2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"},
		},
		{
			"weeks begin on Monday", "Europe/Berlin", click.Weekly, "2026-10-25T12:00:00Z", "2026-11-02T12:00:00Z",
			[]string{"2026-10-19T00:00:00+02:00", "2026-10-26T00:00:00+01:00", "2026-11-02T00:00:00+01:00"},
		},
		{
			"months, one of them short", "Europe/Berlin", click.Monthly, "2027-12-31T23:30:00Z", "2028-03-31T12:00:00Z",
			[]string{
				"2028-01-01T00:00:00+01:00", "2028-02-01T00:00:00+01:00", "2028-03-01T00:00:00+01:00",
			},
		},
		{
			"before 1970", "UTC", click.Weekly, "1969-12-28T12:00:00Z", "1970-01-06T00:00:00Z",
			[]string{"1969-12-22T00:00:00Z", "1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := click.NewTally(click.Query{
				From: instant(t, tt.from), To: instant(t, tt.to), Interval: tt.interval, Zone: zone(t, tt.zone),
			}).Report()
			if diff := cmp.Diff(tt.want, starts(r.Series)); diff != "" {
				t.Errorf("starts (-want +got):\n%s", diff)
			}
		})
	}
}

// In Newfoundland clocks went back at one past midnight: an hour of the day
// before came again after its morrow had begun.
func TestAnHourOfYesterdayAfterMidnight(t *testing.T) {
	q := click.Query{
		From: instant(t, "2010-11-07T02:30:30Z"), To: instant(t, "2010-11-08T00:00:00Z"),
		Interval: click.Daily, Zone: zone(t, "America/St_Johns"),
	}
	tally := click.NewTally(q)
	for _, at := range []string{"2010-11-07T02:30:45Z", "2010-11-07T02:45:00Z", "2010-11-07T12:00:00Z"} {
		tally.Add(&click.Event{Time: instant(t, at), Kind: click.Human})
	}
	want := []click.Bucket{
		{Start: instant(t, "2010-11-06T00:00:00-02:30"), Clicks: 1},
		{Start: instant(t, "2010-11-07T00:00:00-02:30"), Clicks: 2},
	}
	r := tally.Report()
	for name, got := range map[string][]click.Bucket{"series": r.Series, "days": r.ByDay} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestKinds(t *testing.T) {
	from := instant(t, "2026-11-22T00:00:00Z")
	kinds := []click.Kind{
		click.Human, click.Human, click.Human, click.Bot, click.Preview, click.Prefetch, click.Head,
	}
	tests := []struct {
		kinds           click.KindSet
		total, visitors int64
		last            time.Time
	}{
		{click.Humans, 3, 2, from.Add(2 * time.Hour)},
		{click.Bots, 4, 4, from.Add(6 * time.Hour)},
		{click.AllKind, 7, 6, from.Add(6 * time.Hour)},
	}
	for _, tt := range tests {
		t.Run(string(tt.kinds), func(t *testing.T) {
			tally := click.NewTally(click.Query{From: from, To: from.Add(24 * time.Hour), Kinds: tt.kinds, Interval: click.Daily})
			for i, k := range kinds {
				// The first is not to be tracked: a click, no visitor.
				tally.Add(&click.Event{
					Kind: k, Visitor: uint64(i), Trigger: click.ByQR, Time: from.Add(time.Duration(i) * time.Hour),
				})
			}
			r := tally.Report()
			got := [...]int64{r.TotalClicks, r.UniqueVisitors, r.BotClicks, r.QRScans}
			if want := [...]int64{tt.total, tt.visitors, 4, tt.total}; got != want {
				t.Errorf("total, visitors, bots, scans: %v, want %v", got, want)
			}
			if !r.LastClickedAt.Equal(tt.last) {
				t.Errorf("last clicked %v, want %v", r.LastClickedAt, tt.last)
			}
		})
	}
}

func TestTopIsSortedAndCut(t *testing.T) {
	from := instant(t, "2026-11-22T00:00:00Z")
	q := click.Query{From: from, To: from.Add(time.Hour), Top: 3}
	tally := click.NewTally(q)
	for _, country := range []string{"FR", "DE", "", "IT", "IT", "AT"} {
		tally.Add(&click.Event{Kind: click.Human, Time: from, Details: click.Details{Country: country}})
	}
	r := tally.Report()
	want := []click.Count{{Value: "IT", Clicks: 2}, {Value: "AT", Clicks: 1}, {Value: "DE", Clicks: 1}, {Value: click.Other, Clicks: 2}}
	if diff := cmp.Diff(want, r.Top[click.ByCountry]); diff != "" {
		t.Errorf("countries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]click.Count{{Value: click.Direct, Clicks: 6}}, r.Top[click.ByReferrer]); diff != "" {
		t.Errorf("referrers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]click.Count{{Value: click.Unknown, Clicks: 6}}, r.Top[click.ByTrigger]); diff != "" {
		t.Errorf("triggers (-want +got):\n%s", diff)
	}
}

var (
	zones = []string{
		"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
		"America/Sao_Paulo", "America/St_Johns", "America/Havana", "Asia/Beirut", "Africa/Cairo", "Pacific/Chatham",
		"Pacific/Apia", "Africa/Casablanca", "Europe/Dublin", "Antarctica/Troll", "Asia/Tehran", "Pacific/Kwajalein",
	}
	intervals = []click.Interval{click.Hourly, click.Daily, click.Weekly, click.Monthly}
)

// event draws clicks from few values, so that they meet.
func event(from, to time.Time) *rapid.Generator[click.Event] {
	return rapid.Custom(func(t *rapid.T) click.Event {
		text := func(name string, values ...string) string { return rapid.SampledFrom(values).Draw(t, name) }
		span := to.Sub(from).Milliseconds()
		at := from.Add(time.Duration(rapid.Int64Range(-span/8, span+span/8).Draw(t, "time")) * time.Millisecond)
		return click.Event{
			Time: at, Link: link.ID(rapid.IntRange(1, 2).Draw(t, "link")), Owner: account.ID(rapid.IntRange(0, 2).Draw(t, "owner")),
			Kind:    click.Kind(rapid.IntRange(1, 5).Draw(t, "kind")),
			Trigger: click.Trigger(rapid.IntRange(0, 2).Draw(t, "trigger")),
			Visitor: rapid.Uint64Range(0, 9).Draw(t, "visitor"),
			Details: click.Details{
				Country: text("country", "", "DE", "FR"), Region: text("region", "", "BE"), City: text("city", "", "Köln"),
				ReferrerHost: text("referrer", "", "news.example", "t.example"), Browser: text("browser", "Firefox", ""),
				OS: text("os", "Linux", ""), Device: text("device", "mobile", "desktop", ""), Language: text("language", "", "de"),
				UTMSource: text("source", "", "mail"), UTMMedium: text("medium", "", "cpc"), UTMCampaign: text("campaign", "", "sale"),
			},
		}
	})
}

func query(t *rapid.T) click.Query {
	from := time.UnixMilli(rapid.Int64Range(1_200_000_000_000, 1_800_000_000_000).Draw(t, "from"))
	q := click.Query{
		From: from, To: from.Add(time.Duration(rapid.Int64Range(0, 40*24*3_600_000).Draw(t, "width")) * time.Millisecond),
		Subject:  click.Subject{Link: link.ID(rapid.IntRange(0, 2).Draw(t, "of link")), Owner: account.ID(rapid.IntRange(0, 2).Draw(t, "of owner"))},
		Interval: rapid.SampledFrom(intervals).Draw(t, "interval"),
		Zone:     zone(t, rapid.SampledFrom(zones).Draw(t, "zone")),
		Kinds:    rapid.SampledFrom([]click.KindSet{click.Humans, click.Bots, click.AllKind}).Draw(t, "kinds"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "filters") {
		q.Filters = append(q.Filters, click.Filter{
			Dimension: rapid.SampledFrom(click.Dimensions[:]).Draw(t, "dimension"),
			Values:    rapid.SliceOfN(rapid.SampledFrom([]string{"direct", "unknown", "DE", "mobile", "news.example", "qr"}), 1, 3).Draw(t, "values"),
			Not:       rapid.Bool().Draw(t, "not"),
		})
	}
	return q
}

// value is what an event counts as, told apart from Event.Value on purpose.
func value(e click.Event, d click.Dimension) string {
	s := map[click.Dimension]string{
		click.ByReferrer: e.ReferrerHost, click.ByCountry: e.Country, click.ByRegion: e.Region, click.ByCity: e.City,
		click.ByDevice: e.Device, click.ByBrowser: e.Browser, click.ByOS: e.OS, click.ByLanguage: e.Language,
		click.BySource: e.UTMSource, click.ByMedium: e.UTMMedium, click.ByCampaign: e.UTMCampaign,
		click.ByTrigger: []string{"", "link", "qr"}[e.Trigger],
	}[d]
	switch {
	case s == "" && d == click.ByReferrer:
		return "direct"
	case s == "":
		return "unknown"
	}
	return s
}

// recount is a report by the plainest means: a label for each click.
type recount struct {
	Total, Visitors, Bots, Scans int64
	Last                         time.Time
	Series, Uniques, Days, Hours map[string]int64
	Top                          map[click.Dimension]map[string]int64
}

func newRecount() recount {
	r := recount{
		Series: map[string]int64{}, Uniques: map[string]int64{}, Days: map[string]int64{}, Hours: map[string]int64{},
		Top: map[click.Dimension]map[string]int64{},
	}
	for _, d := range click.Dimensions {
		r.Top[d] = map[string]int64{}
	}
	return r
}

const (
	dayLabel  = "2006-01-02"
	hourLabel = "2006-01-02T15-07:00:00"
)

// label names the bucket of an instant by the wall clock.
func label(at time.Time, i click.Interval) string {
	switch i {
	case click.Hourly:
		return at.Format(hourLabel)
	case click.Weekly:
		year, week := at.ISOWeek()
		return fmt.Sprintf("%d-W%d", year, week)
	case click.Monthly:
		return at.Format("2006-01")
	}
	return at.Format(dayLabel)
}

func naive(q click.Query, events []click.Event) recount {
	r := newRecount()
	seen := map[string]bool{}
	unique := func(where string, e click.Event) int64 {
		key := fmt.Sprint(where, "/", e.Visitor)
		if e.Visitor == 0 || seen[key] {
			return 0
		}
		seen[key] = true
		return 1
	}
	for _, e := range events {
		if q.Link != 0 && q.Link != e.Link || q.Owner != 0 && q.Owner != e.Owner ||
			e.Time.Compare(q.From) < 0 || e.Time.Compare(q.To) >= 0 ||
			slices.ContainsFunc(q.Filters, func(f click.Filter) bool {
				return f.Not == slices.Contains(f.Values, value(e, f.Dimension))
			}) {
			continue
		}
		if e.Kind != click.Human {
			r.Bots++
		}
		if q.Kinds == click.Humans && e.Kind != click.Human || q.Kinds == click.Bots && e.Kind == click.Human {
			continue
		}
		at := e.Time.In(q.Zone)
		r.Total++
		r.Visitors += unique("", e)
		if e.Trigger == click.ByQR {
			r.Scans++
		}
		if at.After(r.Last) {
			r.Last = at
		}
		r.Series[label(at, q.Interval)]++
		r.Uniques[label(at, q.Interval)] += unique(label(at, q.Interval), e)
		r.Days[at.Format(dayLabel)]++
		r.Hours[at.Format(hourLabel)]++
		for _, d := range click.Dimensions {
			r.Top[d][value(e, d)]++
		}
	}
	return r
}

// asRecount turns a report into what can be compared, without empty buckets.
func asRecount(r click.Report) recount {
	c := newRecount()
	c.Total, c.Visitors, c.Bots, c.Scans, c.Last = r.TotalClicks, r.UniqueVisitors, r.BotClicks, r.QRScans, r.LastClickedAt
	for _, b := range r.Series {
		if b.Clicks != 0 {
			c.Series[label(b.Start, r.Interval)] += b.Clicks
			c.Uniques[label(b.Start, r.Interval)] += b.UniqueVisitors
		}
	}
	for _, b := range r.ByDay {
		c.Days[b.Start.Format(dayLabel)] += b.Clicks
	}
	for _, b := range r.ByHour {
		c.Hours[b.Start.Format(hourLabel)] += b.Clicks
	}
	for d, counts := range r.Top {
		for _, n := range counts {
			c.Top[d][n.Value] += n.Clicks
		}
	}
	return c
}

func sum(buckets map[string]int64) (n int64) {
	for v := range maps.Values(buckets) {
		n += v
	}
	return n
}

func TestReportsAddUpAndEqualARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := query(t)
		events := rapid.SliceOfN(event(q.From, q.To), 0, 60).Draw(t, "events")
		tally := click.NewTally(q)
		for i := range events {
			tally.Add(&events[i])
			if got, want := q.Selects(&events[i]), naive(q, events[i:i+1]).Total == 1; got != want {
				t.Fatalf("selects %+v: %v", events[i], got)
			}
		}
		report := tally.Report()
		got := asRecount(report)
		if diff := cmp.Diff(naive(q, events), got); diff != "" {
			t.Fatalf("report differs from a recount (-want +got):\n%s", diff)
		}
		sums := map[string]int64{"series": sum(got.Series), "day": sum(got.Days), "hour": sum(got.Hours)}
		for d, values := range got.Top {
			sums[string(d)] = sum(values)
		}
		for by, n := range sums {
			if n != report.TotalClicks {
				t.Errorf("the sum by %s is %d, the total %d", by, n, report.TotalClicks)
			}
		}
		unbroken(t, q, report.Series)
	})
}

// unbroken checks that the series has each bucket between From and To once:
// every hour of the range lies in one whose label it has, and none is empty of
// time.
func unbroken(t *rapid.T, q click.Query, series []click.Bucket) {
	have, want := map[string]bool{}, map[string]bool{}
	for i, b := range series {
		if i > 0 && !series[i-1].Start.Before(b.Start) {
			t.Fatalf("bucket %v does not come after %v", b.Start, series[i-1].Start)
		}
		have[label(b.Start, q.Interval)] = true
	}
	// No zone has a bucket that no quarter of an hour of UTC begins in.
	for at := q.From; at.Before(q.To); at = at.Truncate(15 * time.Minute).Add(15 * time.Minute) {
		want[label(at.In(q.Zone), q.Interval)] = true
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Fatalf("buckets of the series (-want +got):\n%s", diff)
	}
}

func BenchmarkTally(b *testing.B) {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	events := make([]click.Event, 1<<16)
	for i := range events {
		events[i] = click.Event{
			Time: from.Add(time.Duration(i) * 20 * time.Second), Kind: click.Human, Trigger: click.ByLink,
			Visitor: uint64(i)*0x9E3779B97F4A7C15 | 1,
			Details: click.Details{Country: []string{"DE", "FR", "US"}[i%3], Browser: "Firefox", OS: "Linux", Device: "desktop"},
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		tally := click.NewTally(click.Query{From: from, To: from.AddDate(0, 1, 0), Interval: click.Daily, Zone: time.UTC})
		for i := range events {
			tally.Add(&events[i])
		}
		tally.Report()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}
