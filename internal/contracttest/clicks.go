package contracttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kurz/internal/click"
	"kurz/internal/link"
)

// Clicks tests a click.Sink together with the click.Reports that tell what it
// counted. Open gives a new, empty pair.
func Clicks(t *testing.T, open func(t *testing.T) (click.Sink, click.Reports)) {
	for name, test := range map[string]func(*testing.T, clicks){
		"Add/position":                      clickPosition,
		"Add/the same batch again":          clickAgain,
		"Add/overlapping batches":           clickOverlap,
		"Add/an event beyond Through":       clickBeyond,
		"Add/logs are apart":                clickLogs,
		"Add/one ID twice":                  clickSameID,
		"Add/many of one ID":                clickManySameID,
		"Add/logs at once":                  clickLogsAtOnce,
		"refused, not done":                 func(t *testing.T, c clicks) { clickFailures(t, c, false) },
		"refused, but done":                 func(t *testing.T, c clicks) { clickFailures(t, c, true) },
		"Events/round trip":                 clickRoundTrip,
		"Events/pages":                      clickPages,
		"Events/stable under new clicks":    clickStable,
		"Totals/people only":                clickTotals,
		"Report/empty":                      clickNone,
		"Report/bounds":                     clickBounds,
		"Report/random queries":             clickReports,
		"Report/is fresh":                   clickFresh,
		"cancelled context does nothing":    clickCancelled,
		"what is given may be changed then": clickOwn,
	} {
		t.Run(name, func(t *testing.T) {
			sink, reports := open(t)
			test(t, clicks{sink, reports})
		})
	}
}

type clicks struct {
	click.Sink
	click.Reports
}

var (
	clickStart = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	clickLog   = click.LogID{1, 15: 1}

	// clickAlike compares events as they are kept and reports of one zone.
	clickAlike = cmp.Options{
		cmpopts.IgnoreFields(click.Event{}, "Sequence"),
		cmpopts.IgnoreFields(click.Report{}, "Since"), // which a Tally can't know
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
	}
)

// everything asks for all clicks of those days.
func everything() click.Query {
	return click.Query{
		From: clickStart.AddDate(0, 0, -40), To: clickStart.AddDate(0, 0, 40), Interval: click.Daily, Zone: time.UTC, Kinds: click.AllKind,
	}
}

// person is the n-th click of a log, a second after the one before.
func person(n int) click.Event {
	at := clickStart.Add(time.Duration(n) * time.Second)
	return click.Event{
		ID: click.NewID(at, uint64(n)), Sequence: uint64(n), Time: at, Link: 5, Owner: 7,
		Kind: click.Human, Trigger: click.ByLink, Visitor: uint64(n)<<60 + 1,
		Details: click.Details{Country: "DE", Browser: "Firefox"},
	}
}

// people are the clicks from first to last, as one batch.
func people(first, last int) click.Batch {
	b := click.Batch{Log: clickLog, Through: uint64(last)}
	for n := first; n <= last; n++ {
		b.Events = append(b.Events, person(n))
	}
	return b
}

func (c clicks) add(t *testing.T, b click.Batch) {
	t.Helper()
	if err := c.Add(t.Context(), b); err != nil {
		t.Fatalf("Add through %d: %v", b.Through, err)
	}
}

// all pages through the events of a query, some at a time.
func (c clicks) all(t *testing.T, q click.Query, limit int) []click.Event {
	t.Helper()
	var all []click.Event
	for before := click.ID(0); ; {
		page, next, err := c.Events(t.Context(), q, before, limit)
		if err != nil {
			t.Fatalf("Events before %d: %v", before, err)
		}
		if len(page) > limit || next != 0 && len(page) < limit {
			t.Fatalf("Events before %d: %d of them, next %d; want %d", before, len(page), next, limit)
		}
		all = append(all, page...)
		if next == 0 {
			return all
		}
		before = next
	}
}

// want checks that exactly these clicks were counted, by each way to ask.
func (c clicks) want(t *testing.T, events []click.Event) {
	t.Helper()
	want := slices.Clone(events)
	slices.SortFunc(want, func(a, b click.Event) int { return b.Time.Compare(a.Time) })
	if diff := cmp.Diff(want, c.all(t, everything(), 500), clickAlike, cmpopts.IgnoreFields(click.Event{}, "ID")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	c.wantReport(t, everything(), events)
	totals := map[link.ID]int64{}
	for i := range events {
		if events[i].Kind == click.Human {
			totals[events[i].Link]++
		}
	}
	c.wantTotals(t, totals)
}

func (c clicks) wantReport(t *testing.T, q click.Query, events []click.Event) {
	t.Helper()
	got, err := c.Report(t.Context(), q)
	if err != nil {
		t.Fatalf("Report: %v", err)
	}
	tally := click.NewTally(q)
	for i := range events {
		tally.Add(&events[i])
	}
	if diff := cmp.Diff(tally.Report(), got, clickAlike); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func (c clicks) wantTotals(t *testing.T, want map[link.ID]int64) {
	t.Helper()
	links := []link.ID{999_999}
	for id := range want {
		links = append(links, id)
	}
	got, err := c.Totals(t.Context(), links)
	if err != nil {
		t.Fatalf("Totals: %v", err)
	}
	if n := got[999_999]; n != 0 {
		t.Errorf("a link without clicks has %d", n)
	}
	for id, n := range want {
		if got[id] != n {
			t.Errorf("link %d has %d clicks, want %d", id, got[id], n)
		}
	}
}

func (c clicks) wantPosition(t *testing.T, log click.LogID, want uint64) {
	t.Helper()
	if got, err := c.Position(t.Context(), log); err != nil || got != want {
		t.Errorf("position %d, error %v; want %d", got, err, want)
	}
}

func clickPosition(t *testing.T, c clicks) {
	c.wantPosition(t, clickLog, 0)
	c.add(t, people(1, 3))
	c.wantPosition(t, clickLog, 3)
	// Nothing but damaged records: the position moves all the same.
	c.add(t, click.Batch{Log: clickLog, Through: 1 << 40})
	c.wantPosition(t, clickLog, 1<<40)
	c.want(t, people(1, 3).Events)
}

func clickAgain(t *testing.T, c clicks) {
	for range 3 {
		c.add(t, people(1, 20))
		c.want(t, people(1, 20).Events)
	}
	c.add(t, people(21, 30))
	c.add(t, people(1, 20)) // an older one yet
	c.wantPosition(t, clickLog, 30)
	c.want(t, people(1, 30).Events)
}

func clickOverlap(t *testing.T, c clicks) {
	c.add(t, people(1, 10))
	c.add(t, people(6, 15))
	c.add(t, people(1, 17))
	c.add(t, people(12, 16))
	c.wantPosition(t, clickLog, 17)
	c.want(t, people(1, 17).Events)
}

func clickBeyond(t *testing.T, c clicks) {
	b := people(1, 3)
	b.Through = 2
	if err := c.Add(t.Context(), b); err == nil {
		t.Error("Add of an event beyond Through: no error")
	}
	c.wantPosition(t, clickLog, 0)
	c.want(t, nil)
}

func clickLogs(t *testing.T, c clicks) {
	other := people(101, 105)
	other.Log[0]++
	for i := range other.Events {
		other.Events[i].Sequence -= 100
	}
	other.Through -= 100
	c.add(t, people(1, 9))
	c.add(t, other)
	c.wantPosition(t, clickLog, 9)
	c.wantPosition(t, other.Log, 5)
	c.want(t, append(people(1, 9).Events, other.Events...))
}

func clickSameID(t *testing.T, c clicks) {
	first, second := people(1, 3), people(1, 3)
	second.Log[0]++
	for i := range second.Events {
		second.Events[i].Country = "FR"
	}
	c.add(t, first)
	for range 2 {
		c.add(t, second)
	}
	c.wantSameTimes(t, 2, slices.Concat(first.Events, second.Events))
}

func clickManySameID(t *testing.T, c clicks) {
	at := clickStart.Add(time.Second)
	last := uint64(1)<<21 - 1 // of its millisecond: the next free one comes round
	var events []click.Event
	for log := range byte(4) {
		b := click.Batch{Log: click.LogID{log}, Through: last + 1}
		for range 5 {
			e := person(1)
			e.Time, e.ID, e.Sequence = at, click.NewID(at, last), last+1
			e.Visitor = uint64(len(events) + 1)
			events = append(events, e)
			b.Events = append(b.Events, e)
		}
		c.add(t, b)
	}
	c.wantSameTimes(t, 3, events)
}

// wantSameTimes is want for events that share times: their order is open.
func (c clicks) wantSameTimes(t *testing.T, limit int, want []click.Event) {
	t.Helper()
	got := c.all(t, everything(), limit)
	seen := map[click.ID]bool{}
	for _, e := range got {
		if seen[e.ID] || !e.ID.Time().Equal(e.Time) {
			t.Errorf("ID %d of %v is of %v, seen before: %v", e.ID, e.Time, e.ID.Time(), seen[e.ID])
		}
		seen[e.ID] = true
	}
	sorted := cmpopts.SortSlices(func(a, b click.Event) bool {
		return fmt.Sprint(a.Time, a.Visitor, a.Country) < fmt.Sprint(b.Time, b.Visitor, b.Country)
	})
	if diff := cmp.Diff(want, got, clickAlike, sorted, cmpopts.IgnoreFields(click.Event{}, "ID")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	c.wantReport(t, everything(), want)
	c.wantTotals(t, map[link.ID]int64{5: int64(len(want))})
}

func clickLogsAtOnce(t *testing.T, c clicks) {
	const logs, batches = 4, 5
	var wg sync.WaitGroup
	for l := range logs {
		wg.Go(func() {
			for i := range batches {
				b := people(10*i+1, 10*i+10)
				b.Log[0] = byte(l)
				if err := c.Add(t.Context(), b); err != nil {
					t.Errorf("Add: %v", err)
				}
			}
		})
	}
	wg.Wait()
	var want []click.Event
	for range logs {
		want = append(want, people(1, 10*batches).Events...)
	}
	c.wantSameTimes(t, 500, want)
}

// flaky refuses every other Add, before or after it is done.
type flaky struct {
	click.Sink
	done  bool
	calls int
}

var errRefused = errors.New("refused")

func (f *flaky) Add(ctx context.Context, b click.Batch) error {
	f.calls++
	if f.calls%2 == 0 {
		return f.Sink.Add(ctx, b)
	}
	if f.done {
		if err := f.Sink.Add(ctx, b); err != nil {
			return err
		}
	}
	return errRefused
}

// clickFailures brings clicks into a sink as a pump does that dies at each
// refusal and begins anew where the position says, or tries again with more.
func clickFailures(t *testing.T, c clicks, done bool) {
	sink := &flaky{Sink: c, done: done}
	const last = 100
	for first, size := 1, 7; first <= last; size++ {
		b := people(first, min(first+size-1, last))
		err := sink.Add(t.Context(), b)
		if err != nil && !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		if err == nil || size%3 == 0 {
			position, err := sink.Position(t.Context(), clickLog)
			if err != nil {
				t.Fatal(err)
			}
			first = int(position) + 1
		}
	}
	c.wantPosition(t, clickLog, last)
	c.want(t, people(1, last).Events)
}

func clickRoundTrip(t *testing.T, c clicks) {
	full := click.Event{
		Link: 1<<62 + 1, Owner: 1<<62 + 2, Kind: click.Prefetch, Trigger: click.ByQR, Visitor: 1<<64 - 1,
		Details: click.Details{
			Country: "DE", Region: "Nordrhein-Westfalen", City: "Köln", Referrer: "https://news.example/ü?", ReferrerHost: "news.example",
			Browser: "Firefox", OS: "Linux", Device: "desktop", Language: "de", UTMSource: "mail", UTMMedium: "m",
			UTMCampaign: "it's a \"sale\" 🎉", UTMTerm: strings.Repeat("ü", 4096), UTMContent: "-- %s",
		},
	}
	bare := click.Event{Link: 1, Kind: click.Human, Trigger: click.ByLink}
	var want []click.Event
	for i, e := range []click.Event{full, bare, full} {
		e.Sequence = uint64(i + 1)
		e.Time = clickStart.Add(time.Duration(i)*time.Second + 7*time.Millisecond)
		e.ID = click.NewID(e.Time, e.Sequence)
		want = append(want, e)
	}
	given := slices.Clone(want)
	for i := range given {
		// To the millisecond, and in UTC.
		given[i].Time = given[i].Time.Add(999_999).In(time.FixedZone("there", 3600))
	}
	c.add(t, click.Batch{Log: clickLog, Through: 3, Events: given})
	slices.Reverse(want)
	got := c.all(t, everything(), 10)
	if diff := cmp.Diff(want, got, clickAlike); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, e := range got {
		if e.Time.Location() != time.UTC {
			t.Errorf("%v is not in UTC", e.Time)
		}
	}
	c.wantTotals(t, map[link.ID]int64{1: 1, 1<<62 + 1: 0})
}

func clickCancelled(t *testing.T, c clicks) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Add(ctx, people(1, 3)); err == nil {
		t.Error("Add with a context that ended: no error")
	}
	if _, err := c.Report(ctx, everything()); err == nil {
		t.Error("Report with a context that ended: no error")
	}
	if _, _, err := c.Events(ctx, everything(), 0, 10); err == nil {
		t.Error("Events with a context that ended: no error")
	}
	c.wantPosition(t, clickLog, 0)
	c.want(t, nil)
}

func clickOwn(t *testing.T, c clicks) {
	b := people(1, 3)
	c.add(t, b)
	clear(b.Events)
	c.want(t, people(1, 3).Events)
	clear(c.all(t, everything(), 10))
	c.want(t, people(1, 3).Events)
}
