package sqlite_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

// many gives how many clicks a test is to draw: few by default, as KURZ_CLICKS
// says for a proof.
func many(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("KURZ_CLICKS")
	switch {
	case text == "" && testing.Short():
		return few / 3
	case text == "":
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// history draws clicks of fourteen months that come in order of time but for
// one in twenty, which is up to forty days late.
func history(n int) []click.Event {
	r := rand.New(rand.NewPCG(5, 6))
	one := func(prefix string, n int) string {
		if i := r.IntN(n + 1); i > 0 {
			return fmt.Sprint(prefix, i)
		}
		return ""
	}
	first := time.Date(2025, 9, 20, 0, 0, 0, 0, time.UTC)
	step := time.Duration(14*30*24) * time.Hour / time.Duration(n)
	links := zipf(r, 1000)
	events := make([]click.Event, n)
	for i := range events {
		at := first.Add(time.Duration(i)*step + time.Duration(r.Int64N(int64(step)+1)))
		if r.IntN(20) == 0 {
			at = at.Add(-time.Duration(r.Int64N(int64(40 * 24 * time.Hour))))
		}
		at = at.Truncate(time.Millisecond)
		e := &events[i]
		*e = click.Event{
			ID: click.NewID(at, uint64(i+1)), Sequence: uint64(i + 1), Time: at,
			Link: links(), Kind: click.Human, Trigger: click.ByLink,
			// Someone new each day, and a few that come again and again.
			Visitor: uint64(at.Unix()/86400)<<20 + uint64(r.IntN(n/100)) + 1,
			Details: click.Details{
				Country: one("C", 200), Region: one("Region ", 20), City: one("City ", 300), ReferrerHost: one("host", 500),
				Browser: one("Browser ", 12), OS: one("OS ", 8), Device: one("device ", 3), Language: one("l", 40),
				UTMSource: one("source ", 20), UTMMedium: one("medium ", 5), UTMCampaign: one("campaign ", 300),
			},
		}
		if r.IntN(8) == 0 {
			e.Kind = click.Kind(2 + r.IntN(4))
		}
		if r.IntN(9) == 0 {
			e.Trigger = click.ByQR
		}
		if r.IntN(50) == 0 {
			e.Visitor = 0
		}
		e.Owner = account.ID(uint64(e.Link) % 7)
	}
	return events
}

// drain stores clicks in batches, and brings each in order.
func drain(t *testing.T, c *sqlite.Clicks, events []click.Event) {
	t.Helper()
	for some := range slices.Chunk(events, 5000) {
		if err := c.Add(t.Context(), click.Batch{Log: click.LogID{1}, Through: some[len(some)-1].Sequence, Events: some}); err != nil {
			t.Fatal(err)
		}
		if err := c.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// sums checks that everything that a report adds up is its total.
func sums(t *testing.T, name string, r *click.Report) {
	t.Helper()
	total := func(list []click.Bucket) (n int64) {
		for _, b := range list {
			n += b.Clicks
		}
		return n
	}
	for what, got := range map[string]int64{"series": total(r.Series), "days": total(r.ByDay), "hours": total(r.ByHour)} {
		if got != r.TotalClicks {
			t.Errorf("%s: %s add up to %d, total is %d", name, what, got, r.TotalClicks)
		}
	}
	for _, d := range click.Dimensions {
		n := int64(0)
		for _, c := range r.Top[d] {
			n += c.Clicks
		}
		if n != r.TotalClicks {
			t.Errorf("%s: %s adds up to %d, total is %d", name, d, n, r.TotalClicks)
		}
	}
}

// alike compares a report with the one that a Tally gives, whose visitors are
// exact.
func alike(t *testing.T, name string, want, got click.Report) {
	t.Helper()
	near := func(a, b int64) bool {
		return a == b || a > 10_000 && max(a-b, b-a)*100 <= 2*a
	}
	if !near(want.UniqueVisitors, got.UniqueVisitors) {
		t.Errorf("%s: %d visitors, want %d", name, got.UniqueVisitors, want.UniqueVisitors)
	}
	want.UniqueVisitors = got.UniqueVisitors
	for i := range min(len(want.Series), len(got.Series)) {
		if near(want.Series[i].UniqueVisitors, got.Series[i].UniqueVisitors) {
			want.Series[i].UniqueVisitors = got.Series[i].UniqueVisitors
		}
	}
	if diff := gocmp.Diff(want, got, gocmp.Comparer(func(a, b *time.Location) bool { return a == b })); diff != "" {
		t.Errorf("%s (-want +got):\n%.2000s", name, diff)
	}
}

// recount checks that a report adds up, and is what the single clicks say.
func recount(t *testing.T, c *sqlite.Clicks, name string, q click.Query, events []click.Event) {
	t.Helper()
	tally := click.NewTally(q)
	for i := range events {
		tally.Add(&events[i])
	}
	got, err := c.Report(t.Context(), q)
	if err != nil {
		t.Fatal(name, err)
	}
	sums(t, name, &got)
	alike(t, name, tally.Report(), got)
}

// TestSums draws many clicks, and asks in six time zones: each report adds up,
// and is what a recount of the single clicks gives.
func TestSums(t *testing.T) {
	events := history(many(t, 20_000))
	c := sqlite.SizedClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")), int64(len(events)/8), int64(len(events)/100))
	drain(t, c, events)
	popular := map[link.ID]int{}
	for i := range events {
		popular[events[i].Link]++
	}
	links := make([]link.ID, 0, len(popular))
	for id := range popular {
		links = append(links, id)
	}
	slices.SortFunc(links, func(a, b link.ID) int { return cmp.Compare(popular[b], popular[a]) })
	subjects := []click.Subject{{}, {Owner: 3}, {Link: links[0]}, {Link: links[9]}, {Link: links[200]}}
	slices.SortFunc(events, func(a, b click.Event) int { return cmp.Compare(a.ID, b.ID) })
	r := rand.New(rand.NewPCG(7, 8))
	from, to := events[0].Time, events[len(events)-1].Time
	for _, zone := range []string{"UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Chatham", "Europe/Berlin"} {
		at, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for n, subject := range subjects {
			q := click.Query{Subject: subject, From: from, To: to.Add(time.Second), Zone: at, Kinds: click.Humans, Interval: click.Daily}
			switch r.IntN(3) {
			case 0: // whole days
				day := from.In(at)
				q.From = time.Date(day.Year(), day.Month(), day.Day()+r.IntN(200), 0, 0, 0, 0, at)
				q.To = q.From.AddDate(0, 0, 1+r.IntN(200))
			case 1:
				q.From = from.Add(time.Duration(r.Int64N(int64(to.Sub(from)))))
				q.To = q.From.Add(time.Duration(r.Int64N(int64(to.Sub(q.From)))))
			}
			q.Interval = []click.Interval{click.Hourly, click.Daily, click.Weekly, click.Monthly}[r.IntN(4)]
			q.Kinds = []click.KindSet{click.Humans, click.Bots, click.AllKind}[r.IntN(3)]
			if n%2 == 0 {
				q.Top = 1 + r.IntN(20)
			}
			name := fmt.Sprintf("%s %+v %s %s from %v to %v", zone, subject, q.Kinds, q.Interval, q.From, q.To)
			recount(t, c, name, q, events)
		}
	}
}
