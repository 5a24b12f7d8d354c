package sqlite_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/contracttest"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

func openClicks(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Schema: sqlite.ForClicks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestClicks(t *testing.T) {
	contracttest.Clicks(t, func(t *testing.T) (click.Sink, click.Reports) {
		c := sqlite.NewClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")))
		return c, c
	})
}

// tidy is a sink that brings everything in order after every batch.
type tidy struct{ *sqlite.Clicks }

func (s tidy) Add(ctx context.Context, b click.Batch) error {
	if err := s.Clicks.Add(ctx, b); err != nil {
		return err
	}
	return s.Tidy(ctx)
}

func TestClicksKeptUp(t *testing.T) {
	contracttest.Clicks(t, func(t *testing.T) (click.Sink, click.Reports) {
		c := sqlite.SmallClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")))
		return tidy{c}, c
	})
}

func visit(n int, campaign string) click.Event {
	at := day.Add(time.Duration(n) * time.Second)
	return click.Event{
		ID: click.NewID(at, uint64(n)), Sequence: uint64(n), Time: at, Link: 1, Kind: click.Human, Trigger: click.ByLink,
		Details: click.Details{UTMCampaign: campaign},
	}
}

func campaigns(t *testing.T, c *sqlite.Clicks) []click.Count {
	t.Helper()
	r, err := c.Report(t.Context(), click.Query{From: day, To: day.Add(24 * time.Hour), Interval: click.Daily})
	if err != nil {
		t.Fatal(err)
	}
	return r.Top[click.ByCampaign]
}

func TestClicksSurviveAClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clicks.db")
	log := click.LogID{1}
	for n := 1; n <= 3; n++ {
		db, err := sqlite.Open(t.Context(), path, sqlite.Options{Schema: sqlite.ForClicks})
		if err != nil {
			t.Fatal(err)
		}
		c := sqlite.NewClicks(db)
		for range 2 {
			b := click.Batch{Log: log, Through: uint64(n), Events: []click.Event{visit(1, "a"), visit(2, "a"), visit(3, "b")}[:n]}
			if err := c.Add(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c := sqlite.NewClicks(openClicks(t, path))
	if diff := cmp.Diff([]click.Count{{Value: "a", Clicks: 2}, {Value: "b", Clicks: 1}}, campaigns(t, c)); diff != "" {
		t.Errorf("campaigns (-want +got):\n%s", diff)
	}
	totals, err := c.Totals(t.Context(), []link.ID{1})
	if err != nil || totals[1] != 3 {
		t.Errorf("totals %v, error %v", totals, err)
	}
}

// A text of a batch that fails has an ID that the next text gets: nobody may
// have remembered it.
func TestTextsOfAFailedBatchAreForgotten(t *testing.T) {
	db := openClicks(t, filepath.Join(t.TempDir(), "clicks.db"))
	c := sqlite.NewClicks(db)
	if err := sqlite.Write(db, t.Context(), run("CREATE TRIGGER full BEFORE INSERT ON positions BEGIN SELECT raise(ABORT, 'full'); END")); err != nil {
		t.Fatal(err)
	}
	lost := click.Batch{Log: click.LogID{1}, Through: 2, Events: []click.Event{visit(1, "lost"), visit(2, "kept")}}
	if err := c.Add(t.Context(), lost); err == nil {
		t.Fatal("no error")
	}
	if n := count(t, db, "SELECT (SELECT count(*) FROM parts) + (SELECT count(*) FROM chunks) + (SELECT count(*) FROM texts) + (SELECT count(*) FROM totals)"); n != 0 {
		t.Errorf("%d rows of a failed batch kept", n)
	}
	if err := sqlite.Write(db, t.Context(), run("DROP TRIGGER full")); err != nil {
		t.Fatal(err)
	}
	if err := c.Add(t.Context(), click.Batch{Log: click.LogID{1}, Through: 2, Events: []click.Event{visit(1, "other"), visit(2, "kept")}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]click.Count{{Value: "kept", Clicks: 1}, {Value: "other", Clicks: 1}}, campaigns(t, c)); diff != "" {
		t.Errorf("campaigns (-want +got):\n%s", diff)
	}
}

// More different texts than are remembered, long ones, and bytes that are no
// text at all.
func TestTextsOfAllSorts(t *testing.T) {
	c := sqlite.SmallClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")))
	long := strings.Repeat("x", 10_000)
	texts := []string{long, long + "y", "\x00", "a\x00b", "a\x00c", "\xff\xfe", "ä", "a\u0308", "A", "a ", "a"}
	want := map[string]int64{}
	sequence := 0
	for round := range 5 {
		var events []click.Event
		add := func(text string) {
			sequence++
			events = append(events, visit(sequence%150, text))
			events[len(events)-1].Sequence = uint64(sequence)
			want[text]++
		}
		for _, text := range texts {
			add(text)
		}
		for n := range 100 {
			add(fmt.Sprint("text ", n+round*50))
		}
		if err := c.Add(t.Context(), click.Batch{Log: click.LogID{1}, Through: uint64(sequence), Events: events}); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int64{}
	for _, n := range campaigns(t, c) {
		got[n.Value] = n.Clicks
	}
	if len(got) != len(want) {
		t.Errorf("%d texts, want %d", len(got), len(want))
	}
	for text, n := range want {
		if got[text] != n {
			t.Fatalf("%.20q: %d clicks, want %d", text, got[text], n)
		}
	}
}

func TestReportsOverAllTime(t *testing.T) {
	c := sqlite.NewClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")))
	if err := c.Add(t.Context(), click.Batch{Log: click.LogID{1}, Through: 1, Events: []click.Event{visit(1, "")}}); err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]click.Query{
		"from the year 1 to 9999": {From: time.Time{}.Add(1), To: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Interval: click.Monthly},
		"before 1970":             {From: day.AddDate(-200, 0, 0), To: day.AddDate(0, 0, 1), Interval: click.Monthly},
	} {
		if r, err := c.Report(t.Context(), q); err != nil || r.TotalClicks != 1 {
			t.Errorf("%s: %d clicks, error %v", name, r.TotalClicks, err)
		}
		if events, _, err := c.Events(t.Context(), q, 0, 10); err != nil || len(events) != 1 {
			t.Errorf("%s: %d events, error %v", name, len(events), err)
		}
	}
}

// zipf draws links by Zipf's law with exponent 1: the n-th most popular one is
// clicked 1/n times as often as the first.
func zipf(r *rand.Rand, n int) func() link.ID {
	sums := make([]float64, n)
	sum := 0.0
	for i := range sums {
		sum += 1 / float64(i+1)
		sums[i] = sum
	}
	return func() link.ID {
		rank := sort.SearchFloat64s(sums, r.Float64()*sum)
		return zipfLink(rank)
	}
}

// zipfLink gives a link by its rank; popularity has nothing to do with age.
func zipfLink(rank int) link.ID { return link.ID(1<<40 + uint64(rank)*0x9E3779B97F4A7C15>>24) }

// traffic draws batches of clicks such as come in a day.
type traffic struct {
	r        *rand.Rand
	link     func() link.ID
	sequence uint64
	at       time.Time
}

func newTraffic(links int) *traffic {
	r := rand.New(rand.NewPCG(3, 4))
	return &traffic{r: r, link: zipf(r, links), at: day}
}

func (tr *traffic) batch(n int) click.Batch {
	r := tr.r
	one := func(prefix string, n int) string {
		// Small numbers are likelier.
		return fmt.Sprint(prefix, int(math.Pow(r.Float64(), 3)*float64(n)))
	}
	b := click.Batch{Log: click.LogID{1}, Events: make([]click.Event, n)}
	for i := range b.Events {
		tr.sequence++
		tr.at = tr.at.Add(time.Duration(r.IntN(40)) * time.Microsecond)
		e := &b.Events[i]
		*e = click.Event{
			ID: click.NewID(tr.at, tr.sequence), Sequence: tr.sequence, Time: tr.at, Link: tr.link(), Owner: account.ID(1 + r.IntN(1000)),
			Kind: click.Human, Trigger: click.ByLink, Visitor: r.Uint64(),
			Details: click.Details{
				Country: one("C", 120), Browser: one("Browser ", 12), OS: one("OS ", 8), Device: one("device ", 3), Language: one("l", 40),
			},
		}
		if r.IntN(10) == 0 {
			e.Kind = click.Bot
		}
		if r.IntN(2) == 0 {
			e.ReferrerHost = one("host.example", 2000)
			e.Referrer = "https://" + e.ReferrerHost + "/"
		}
		if r.IntN(5) == 0 {
			e.UTMSource, e.UTMMedium, e.UTMCampaign = one("source", 20), one("medium", 5), one("campaign", 500)
		}
	}
	b.Through = tr.sequence
	return b
}

// BenchmarkClicks drains clicks of a million links, in batches, and brings them
// in order.
func BenchmarkClicks(b *testing.B) {
	for _, size := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "clicks.db")
			c := sqlite.NewClicks(openClicks(b, path))
			traffic := newTraffic(1_000_000)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				batch := traffic.batch(size)
				b.StartTimer()
				if err := c.Add(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				if err := c.Tidy(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "clicks/s")
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size())/float64(b.N*size), "B/click")
		})
	}
}

// BenchmarkReport tells of the clicks of one link, and of all.
func BenchmarkReport(b *testing.B) {
	c := sqlite.NewClicks(openClicks(b, filepath.Join(b.TempDir(), "clicks.db")))
	traffic := newTraffic(100_000)
	const clicks = 200_000
	for range clicks / 10_000 {
		if err := c.Add(b.Context(), traffic.batch(10_000)); err != nil {
			b.Fatal(err)
		}
	}
	popular := newTraffic(1).link()
	for name, subject := range map[string]click.Subject{"of=link": {Link: popular}, "of=owner": {Owner: 500}, "of=all": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			total := int64(0)
			for b.Loop() {
				r, err := c.Report(b.Context(), click.Query{
					Subject: subject, From: day, To: day.AddDate(0, 1, 0), Interval: click.Daily, Zone: time.UTC, Kinds: click.AllKind, Top: 10,
				})
				if err != nil {
					b.Fatal(err)
				}
				total += r.TotalClicks
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/click")
		})
	}
}

// Parts overlap where clicks come late: a journal that waited, or a clock that
// went back.
func TestClicksOfOverlappingParts(t *testing.T) {
	db := openClicks(t, filepath.Join(t.TempDir(), "clicks.db"))
	c := sqlite.SmallClicks(db)
	const batches, size = 7, 300
	var events []click.Event
	for b := range batches {
		batch := click.Batch{Log: click.LogID{byte(b)}, Through: size}
		for i := range size {
			// Batches begin every 20 minutes and last 2 hours each; the third is older than all.
			at := day.Add(time.Duration(b)*20*time.Minute + time.Duration(i)*24*time.Second)
			if b == 2 {
				at = at.Add(-48 * time.Hour)
			}
			batch.Events = append(batch.Events, click.Event{
				ID: click.NewID(at, uint64(b*size+i)), Sequence: uint64(i + 1), Time: at, Kind: click.Human, Trigger: click.ByLink,
				Link: link.ID(1 + i*i%7), Owner: account.ID(i * i % 7 % 3), Visitor: uint64(i),
			})
		}
		if err := c.Add(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if b%2 == 0 && b < batches-2 {
			if err := c.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		events = append(events, batch.Events...)
	}
	if n := count(t, db, "SELECT count(DISTINCT rolled) FROM parts"); n != 2 {
		t.Fatal("want rolled parts and fresh ones")
	}
	sort.Slice(events, func(i, j int) bool { return events[i].ID > events[j].ID })
	for _, of := range []click.Subject{{Link: 2}, {Owner: 1}, {Link: 2, Owner: 1}, {Link: 2, Owner: 2}, {}} {
		q := click.Query{Subject: of, From: day.Add(-47 * time.Hour), To: day.Add(3 * time.Hour), Interval: click.Hourly, Kinds: click.AllKind}
		tally := click.NewTally(q)
		var want, got []click.ID
		for i := range events {
			tally.Add(&events[i])
			if q.Selects(&events[i]) {
				want = append(want, events[i].ID)
			}
		}
		report, err := c.Report(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tally.Report().Series, report.Series); diff != "" {
			t.Errorf("series of %+v (-want +got):\n%s", of, diff)
		}
		for before := click.ID(0); ; {
			page, next, err := c.Events(t.Context(), q, before, 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			if before = next; next == 0 {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events of %+v (-want +got):\n%s", of, diff)
		}
	}
}

func TestUpkeep(t *testing.T) {
	for name, open := range map[string]func(*sqlite.DB) *sqlite.Clicks{"usual": sqlite.NewClicks, "small": sqlite.SmallClicks} {
		t.Run(name, func(t *testing.T) {
			contracttest.Upkeep(t, func(t *testing.T) (click.Upkeep, click.Sink, click.Reports) {
				c := open(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")))
				return c, c, c
			})
		})
	}
}

// TestClicksBreathe makes sure that what takes long over clicks lets others work
// all along: while they are stored, and while they are rolled up.
func TestClicksBreathe(t *testing.T) {
	c := sqlite.NewClicks(openClicks(t, filepath.Join(t.TempDir(), "clicks.db")))
	breaths, before, longest := 0, time.Now(), time.Duration(0)
	c.Breathe = func() {
		breaths++
		longest, before = max(longest, time.Since(before)), time.Now()
	}
	told := func(what string, clicks int) {
		t.Logf("%s: breathed %d times, with at most %v in between", what, breaths, longest)
		if least := clicks / 200; breaths < least {
			t.Errorf("%s of %d clicks: breathed %d times, want %d or more", what, clicks, breaths, least)
		}
		breaths, longest = 0, 0
	}
	traffic := newTraffic(100_000)
	const batch, batches = 10_000, 7
	for range batches {
		if err := c.Add(t.Context(), traffic.batch(batch)); err != nil {
			t.Fatal(err)
		}
	}
	told("Add", batches*batch)
	if err := c.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	told("Tidy", batches*batch)
	if n, err := c.Drop(t.Context(), traffic.at.Add(48*time.Hour)); err != nil || n != batches*batch {
		t.Fatal(n, err)
	}
	told("Drop", batches*batch)
}
