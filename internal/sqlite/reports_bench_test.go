package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/sqlite"
)

// months is how long the clicks of BenchmarkReports took to come.
const months = 14

// fillClicks adds n clicks of a million links and a thousand owners, in order of time.
func fillClicks(b *testing.B, c *sqlite.Clicks, n int) (end time.Time) {
	b.Helper()
	tr := newTraffic(1_000_000)
	step := months * 30 * 24 * time.Hour / time.Duration(n)
	for left := n; left > 0; left -= 10_000 {
		batch := tr.batch(min(left, 10_000))
		for i := range batch.Events {
			e := &batch.Events[i]
			e.Time = day.Add(time.Duration(e.Sequence) * step).Truncate(time.Millisecond)
			e.ID = click.NewID(e.Time, e.Sequence)
			e.Owner = account.ID(1 + uint64(e.Link)%1000)
			// One visitor makes two clicks a day.
			e.Visitor = uint64(e.Time.Unix()/86400)<<32 + uint64(tr.r.IntN(max(1, n/months/60))) + 1
			end = e.Time
		}
		if err := c.Add(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		if err := c.Tidy(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	return end
}

// BenchmarkReports asks for reports over KURZ_CLICKS clicks (200,000 where that
// is not set) of a million links: each query 40 times, of another link, owner or
// value each time. It tells how long they took.
func BenchmarkReports(b *testing.B) {
	n := 200_000
	if text := os.Getenv("KURZ_CLICKS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	path := filepath.Join(b.TempDir(), "clicks.db")
	db, err := sqlite.Open(b.Context(), path, sqlite.Options{Schema: sqlite.ForClicks})
	if err != nil {
		b.Fatal(err)
	}
	c := sqlite.NewClicks(db)
	began := time.Now()
	end := fillClicks(b, c, n)
	took := time.Since(began)
	if err := db.Close(); err != nil { // so that the file is whole
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("filled: %d clicks, %.0f/s with drawing them, %.1f bytes a click on disk\n", n, float64(n)/took.Seconds(), float64(info.Size())/float64(n))
	c = sqlite.NewClicks(openClicks(b, path))

	r := rand.New(rand.NewPCG(11, 12))
	ranked := zipfLink
	link := func(low, high int) click.Subject { return click.Subject{Link: ranked(low + r.IntN(high-low))} }
	owner := func() click.Subject { return click.Subject{Owner: account.ID(1 + r.IntN(1000))} }
	filter := func(d click.Dimension, not bool, values ...string) []click.Filter {
		return []click.Filter{{Dimension: d, Values: values, Not: not}}
	}
	country := func() string { return fmt.Sprint("C", r.IntN(40)) }
	all := func() click.Subject { return click.Subject{} }
	queries := []struct {
		name     string
		of       func() click.Subject
		days     int // the last; 0: all
		interval click.Interval
		zone     string
		kinds    click.KindSet
		filters  func() []click.Filter
	}{
		{"one of the 10 busiest links, all time, by day", func() click.Subject { return link(0, 10) }, 0, click.Daily, "UTC", click.Humans, nil},
		{"one of the 10 busiest links, 30 days, by day, Berlin", func() click.Subject { return link(0, 10) }, 30, click.Daily, "Europe/Berlin", click.Humans, nil},
		{"one of the 10 busiest links, 2 days, by hour", func() click.Subject { return link(0, 10) }, 2, click.Hourly, "UTC", click.Humans, nil},
		{"a link of rank 100 to 1,000, all time, by week", func() click.Subject { return link(100, 1000) }, 0, click.Weekly, "America/New_York", click.Humans, nil},
		{"a link of rank 1,000 to 1,000,000, all time, by day", func() click.Subject { return link(1000, 1_000_000) }, 0, click.Daily, "UTC", click.AllKind, nil},
		{"an owner, 90 days, by day, New York", owner, 90, click.Daily, "America/New_York", click.Humans, nil},
		{"an owner, all time, by month", owner, 0, click.Monthly, "UTC", click.AllKind, nil},
		{"everybody, 7 days, by hour", all, 7, click.Hourly, "UTC", click.Humans, nil},
		{"everybody, 30 days, by day, Berlin", all, 30, click.Daily, "Europe/Berlin", click.Humans, nil},
		{"everybody, all time, by day", all, 0, click.Daily, "UTC", click.Humans, nil},
		{"everybody, all time, by month", all, 0, click.Monthly, "UTC", click.AllKind, nil},
		{"everybody, all time, by week, Kolkata", all, 0, click.Weekly, "Asia/Kolkata", click.Humans, nil},
		{"one of the 10 busiest links, 30 days, one country", func() click.Subject { return link(0, 10) }, 30, click.Daily, "UTC", click.Humans, func() []click.Filter { return filter(click.ByCountry, false, country()) }},
		{"one of the 10 busiest links, all time, all but two browsers", func() click.Subject { return link(0, 10) }, 0, click.Monthly, "UTC", click.Humans, func() []click.Filter { return filter(click.ByBrowser, true, "Browser 1", "Browser 2") }},
		{"an owner, 90 days, one device", owner, 90, click.Daily, "UTC", click.Humans, func() []click.Filter { return filter(click.ByDevice, false, "device 1") }},
		{"everybody, 7 days, one country", all, 7, click.Hourly, "UTC", click.Humans, func() []click.Filter { return filter(click.ByCountry, false, country()) }},
		{"everybody, 30 days, one campaign", all, 30, click.Daily, "UTC", click.Humans, func() []click.Filter {
			return filter(click.ByCampaign, false, fmt.Sprint("campaign", r.IntN(100)))
		}},
		{"everybody, all time, one campaign", all, 0, click.Monthly, "UTC", click.Humans, func() []click.Filter {
			return filter(click.ByCampaign, false, fmt.Sprint("campaign", r.IntN(100)))
		}},
		{"everybody, all time, by day, one device", all, 0, click.Daily, "UTC", click.Humans, func() []click.Filter {
			return filter(click.ByDevice, false, fmt.Sprint("device ", r.IntN(3)))
		}},
		{"everybody, all time, by day, Berlin, one country", all, 0, click.Daily, "Europe/Berlin", click.Humans, func() []click.Filter { return filter(click.ByCountry, false, country()) }},
		{"everybody, 90 days, by day, one browser and two countries", all, 90, click.Daily, "UTC", click.Humans, func() []click.Filter {
			return append(filter(click.ByBrowser, false, "Browser 0"), filter(click.ByCountry, false, country(), country())...)
		}},
		{"everybody, all time, all but one country", all, 0, click.Monthly, "UTC", click.Humans, func() []click.Filter { return filter(click.ByCountry, true, country()) }},
	}
	const times = 40
	var every []time.Duration
	for _, q := range queries {
		zone, err := time.LoadLocation(q.zone)
		if err != nil {
			b.Fatal(err)
		}
		var took []time.Duration
		clicks := int64(0)
		for range times {
			query := click.Query{Subject: q.of(), From: day, To: end.Add(time.Second), Zone: zone, Interval: q.interval, Kinds: q.kinds, Top: 10}
			if q.days > 0 {
				query.From = query.To.AddDate(0, 0, -q.days)
			}
			if q.filters != nil {
				query.Filters = q.filters()
			}
			began := time.Now()
			report, err := c.Report(b.Context(), query)
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
			clicks += report.TotalClicks
		}
		every = append(every, took...)
		fmt.Printf("report: %s: %s, %d clicks each\n", q.name, spread(took), clicks/times)
	}
	fmt.Printf("reports: %s over %d kinds of queries\n", spread(every), len(queries))
	b.ReportMetric(0, "ns/op")
}

// spread tells of durations.
func spread(list []time.Duration) string {
	list = slices.Clone(list)
	slices.Sort(list)
	at := func(share float64) float64 {
		return float64(list[min(len(list)-1, int(share*float64(len(list))))].Microseconds()) / 1000
	}
	return fmt.Sprintf("p50 %.1f ms, p95 %.1f ms, most %.1f ms", at(0.5), at(0.95), at(1))
}
