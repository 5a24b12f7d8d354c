package click_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// shown makes the clicks from first to last, each of its own ID.
func shown(first, last int, of link.ID, owner account.ID) []click.Event {
	var list []click.Event
	for n := first; n <= last; n++ {
		list = append(list, click.Event{ID: click.ID(n), Link: of, Owner: owner, Kind: click.Human})
	}
	return list
}

// taken gives the IDs that wait, and how many were missed.
func taken(w *click.Watch) string {
	events, missed := w.Take()
	var ids []click.ID
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return fmt.Sprint(ids, missed)
}

func watch(t *testing.T, l *click.Live, q click.Query, after click.ID) (*click.Watch, bool) {
	t.Helper()
	if q.Kinds == "" {
		q.Kinds = click.AllKind
	}
	w, resumed, err := l.Watch(q, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, resumed
}

func TestLiveShowsWhatIsAskedFor(t *testing.T) {
	l := click.NewLive(time.Now)
	of := func(s click.Subject) *click.Watch { w, _ := watch(t, l, click.Query{Subject: s}, 0); return w }
	all, five, owner := of(click.Subject{}), of(click.Subject{Link: 5}), of(click.Subject{Owner: 7})
	bots, _ := watch(t, l, click.Query{Kinds: click.Bots}, 0)
	german, _ := watch(t, l, click.Query{Filters: []click.Filter{{Dimension: click.ByCountry, Values: []string{"DE"}}}}, 0)
	events := append(shown(1, 1, 5, 7), shown(2, 2, 6, 7)...)
	events = append(events, shown(3, 3, 5, 0)...)
	events = append(events, click.Event{ID: 4, Link: 8, Kind: click.Bot, Details: click.Details{Country: "DE"}})
	l.Show(events)
	clear(events) // nobody keeps them
	for name, c := range map[string]struct {
		w    *click.Watch
		want string
	}{
		"everybody's": {all, "[1 2 3 4] 0"},
		"a link's":    {five, "[1 3] 0"},
		"an owner's":  {owner, "[1 2] 0"},
		"bots":        {bots, "[4] 0"},
		"a country's": {german, "[4] 0"},
	} {
		<-c.w.Ready()
		if got := taken(c.w); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if got := taken(c.w); got != "[] 0" {
			t.Errorf("%s: %s again", name, got)
		}
	}
}

// TestLiveIsInOrderOfIDs: redirects answered at once come into the log in any
// order; who watches gets those of a batch in the order of lists.
func TestLiveIsInOrderOfIDs(t *testing.T) {
	l := click.NewLive(time.Now)
	w, _ := watch(t, l, click.Query{}, 0)
	events := shown(1, 3, 1, 1)
	events[0], events[2] = events[2], events[0]
	l.Show(events)
	if got := taken(w); got != "[1 2 3] 0" {
		t.Error(got)
	}
}

// TestLiveHasRoomForABatch: who reads at once misses nothing, however many
// clicks the pump brings at once.
func TestLiveHasRoomForABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := click.NewLive(time.Now)
		w, _ := watch(t, l, click.Query{}, 0)
		log := newFakeLog()
		note(t, log, 30_000)
		got := 0
		_, stop := running(t, click.PumpSettings{Log: log, Sink: newFakeSink(), Show: func(events []click.Event) {
			l.Show(events)
			shown, missed := w.Take()
			if missed > 0 {
				t.Errorf("%d missed of a batch of %d", missed, len(events))
			}
			got += len(shown)
		}})
		synctest.Wait()
		if err := stop(); err != nil || got != 30_000 {
			t.Errorf("%d clicks shown, error %v", got, err)
		}
	})
}

func TestLiveTellsWhatASlowWatcherMissed(t *testing.T) {
	l := click.NewLive(time.Now)
	slow, _ := watch(t, l, click.Query{}, 0)
	l.Show(shown(1, 20_000, 1, 1))
	l.Show(shown(20_001, 20_010, 1, 1))
	events, missed := slow.Take()
	if len(events) == 0 || int64(len(events))+missed != 20_010 || events[len(events)-1].ID != click.ID(len(events)) {
		t.Errorf("%d events and %d missed", len(events), missed)
	}
	l.Show(shown(20_011, 20_011, 1, 1))
	if got := taken(slow); got != "[20011] 0" {
		t.Error(got)
	}
}

func TestLiveGoesOnWhereSomeoneWas(t *testing.T) {
	now := time.Unix(0, 0)
	l := click.NewLive(func() time.Time { return now })
	back := func(after click.ID, wantResumed bool, want string) {
		t.Helper()
		w, resumed := watch(t, l, click.Query{Subject: click.Subject{Link: 1}}, after)
		if got := taken(w); resumed != wantResumed || got != want {
			t.Errorf("after %d: %v %s, want %v %s", after, resumed, got, wantResumed, want)
		}
		w.Close()
	}
	back(1, false, "[] 0")
	// The one that left last is waited for.
	l.Show(shown(1, 4, 1, 1))
	l.Show(shown(5, 5, 2, 1))
	// Counted late, and not yet seen by those who saw 4.
	l.Show(shown(3, 3, 1, 1)[:0])
	l.Show([]click.Event{{ID: 2_000, Link: 1, Kind: click.Human}, {ID: 1_000, Link: 1, Kind: click.Human}})
	l.Show([]click.Event{{ID: 1_500, Link: 1, Kind: click.Human}})
	back(2, true, "[3 4 1000 2000 1500] 0")
	back(2_000, true, "[1500] 0")
	back(1_500, true, "[] 0")
	back(1_234, false, "[] 0")
	// The oldest are forgotten.
	l.Show(shown(10_000, 30_000, 1, 1))
	back(4, false, "[] 0")
	back(29_998, true, "[29999 30000] 0")
	// And all where nobody comes back.
	now = now.Add(2 * time.Minute)
	l.Show(shown(30_001, 30_001, 1, 1))
	back(30_000, false, "[] 0")
}

func TestLiveEnds(t *testing.T) {
	l := click.NewLive(time.Now)
	w, _ := watch(t, l, click.Query{}, 0)
	l.Close()
	l.Close()
	<-w.Done()
	l.Show(shown(1, 1, 1, 1))
	if _, _, err := l.Watch(click.Query{}, 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a watch of what has ended: %v", err)
	}
	w.Close()
	w.Close()
	if n := l.Watching(); n != 0 {
		t.Errorf("%d watch", n)
	}
}

// TestLiveLosesNothing has watchers come, go and come back while clicks are
// shown: each gets every click once or is told how many it missed.
func TestLiveLosesNothing(t *testing.T) {
	l := click.NewLive(time.Now)
	const last = 8_000 // no more than are kept for those who come back
	var wg sync.WaitGroup
	for range 8 {
		w, _ := watch(t, l, click.Query{}, 0)
		wg.Go(func() {
			got, missed, again := int64(0), int64(0), 0
			seen := map[click.ID]bool{}
			for at := click.ID(0); got+missed < last; {
				<-w.Ready()
				events, n := w.Take()
				missed += n
				for _, e := range events {
					if seen[e.ID] {
						t.Errorf("%d is shown again", e.ID)
					}
					seen[e.ID], at = true, e.ID
					got++
				}
				if again++; again%7 == 0 && at > 0 && missed == 0 {
					w.Close()
					next, resumed, err := l.Watch(click.Query{Kinds: click.AllKind}, at)
					if err != nil || !resumed {
						t.Errorf("back after %d: %v, error %v", at, resumed, err)
						return
					}
					w = next
				}
			}
			w.Close()
			if got+missed != last {
				t.Errorf("%d shown and %d missed, of %d", got, missed, last)
			}
		})
	}
	for n := 1; n <= last; n += 20 {
		l.Show(shown(n, n+19, 1, 1))
	}
	wg.Wait()
}

func TestLiveCostsNothingUnwatched(t *testing.T) {
	l := click.NewLive(time.Now)
	events := shown(1, 10_000, 1, 1)
	if n := testing.AllocsPerRun(100, func() { l.Show(events) }); n != 0 {
		t.Errorf("%v allocations for nobody", n)
	}
}

func BenchmarkLiveUnwatched(b *testing.B) {
	l := click.NewLive(time.Now)
	events := shown(1, 10_000, 1, 1)
	for b.Loop() {
		l.Show(events)
	}
}

func BenchmarkLiveWatched(b *testing.B) {
	l := click.NewLive(time.Now)
	for range 10 {
		w, _, err := l.Watch(click.Query{Kinds: click.AllKind}, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
	}
	events := shown(1, 10_000, 1, 1)
	for b.Loop() {
		l.Show(events)
	}
}

// TestPumpShowsWhatIsStored: what is shown is counted, and once, also where the
// sink had stored a batch and said that it had not.
func TestPumpShowsWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newFakeLog(), newFakeSink()
		sink.before, sink.after = failing(2), failing(2)
		note(t, log, 25)
		var got []uint64
		_, stop := running(t, click.PumpSettings{
			Log: log, Sink: sink, BatchSize: 10,
			Show: func(events []click.Event) {
				for i := range events {
					got = append(got, events[i].Sequence)
				}
			},
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(upTo(25), got); diff != "" {
			t.Errorf("shown (-want +got):\n%s", diff)
		}
	})
}
