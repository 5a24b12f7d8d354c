package click_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/click"
)

// fakeSink counts as a Sink must, and fails where it is told to: before it has
// stored ("refused, not done") or after it ("refused, but done"). It spoils
// what it was given, as nobody may rely on keeping it.
type fakeSink struct {
	mu       sync.Mutex
	position uint64
	events   []click.Event
	batches  int
	before   func() error
	after    func() error
	where    func() error
}

func newFakeSink() *fakeSink {
	none := func() error { return nil }
	return &fakeSink{before: none, after: none, where: none}
}

func (s *fakeSink) Add(ctx context.Context, b click.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(ctx.Err(), s.before()); err != nil {
		return err
	}
	s.batches++
	for _, e := range b.Events {
		if e.Sequence > s.position {
			s.events = append(s.events, e)
		}
	}
	s.position = max(s.position, b.Through)
	return s.after()
}

func (s *fakeSink) Position(ctx context.Context, _ click.LogID) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position, errors.Join(ctx.Err(), s.where())
}

func (s *fakeSink) added() (events, batches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events), s.batches
}

func (s *fakeSink) sequences() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []uint64
	for _, e := range s.events {
		list = append(list, e.Sequence)
	}
	return list
}

// failing gives an error the first n times.
func failing(n int) func() error {
	return func() error {
		if n--; n >= 0 {
			return fmt.Errorf("out of order, %d times more", n)
		}
		return nil
	}
}

func upTo(n int) []uint64 {
	var list []uint64
	for i := range n {
		list = append(list, uint64(i+1))
	}
	return list
}

// running starts a pump in a synctest bubble, and gives how to stop it.
func running(t *testing.T, s click.PumpSettings) (p *click.Pump, stop func() error) {
	t.Helper()
	s.Enricher = fakeEnricher{}
	p = click.NewPump(s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return p, func() error { cancel(); return <-done }
}

func note(t *testing.T, l click.Log, n int) {
	t.Helper()
	r := newRecorder(l)
	for range n {
		if err := r.Record(visit()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newFakeLog(), newFakeSink()
		note(t, log, 25) // before it runs
		var stored, breaths int
		p, stop := running(t, click.PumpSettings{
			Log: log, Sink: sink, BatchSize: 10, Breathe: func() { breaths++ },
			Stored: func(n int, oldest time.Time) {
				stored += n
				if !oldest.Equal(at) {
					t.Errorf("oldest %v", oldest)
				}
			},
		})
		synctest.Wait()
		if _, batches := sink.added(); !slices.Equal(sink.sequences(), upTo(25)) || batches != 3 || breaths < batches {
			t.Errorf("at the start: %v in %d batches, breathed %d times", sink.sequences(), batches, breaths)
		}
		for range 5 { // gathered
			note(t, log, 1)
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if events, _ := sink.added(); events != 25 {
			t.Error("nothing is gathered")
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if _, batches := sink.added(); !slices.Equal(sink.sequences(), upTo(30)) || batches != 4 {
			t.Errorf("%v in %d batches", sink.sequences(), batches)
		}
		note(t, log, 3)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(sink.sequences(), upTo(33)) || log.len() != 0 || stored != 33 {
			t.Errorf("after the end: %v, %d told, %d in the log", sink.sequences(), stored, log.len())
		}
		st := p.Stats()
		if st.Stored != 33 || st.Position != 33 || st.Retries != 0 || !st.LastStored.Equal(time.Now()) {
			t.Errorf("%+v", st)
		}
		want := click.Event{
			ID: click.NewID(at, 1), Sequence: 1, Time: at, Link: 42, Owner: 7, Kind: click.Human, Trigger: click.ByQR,
			Visitor: 11 + uint64(at.Unix()), Details: click.Details{Country: "DE", Browser: "Mozilla/5.0"},
		}
		if d := cmp.Diff(want, sink.events[0]); d != "" {
			t.Error(d)
		}
	})
}

func TestPumpFailures(t *testing.T) {
	tests := []struct {
		name string
		fail func(l *fakeLog, s *fakeSink)
	}{
		{"refused, not done", func(_ *fakeLog, s *fakeSink) { s.before = failing(4) }},
		{"refused, but done", func(_ *fakeLog, s *fakeSink) { s.after = failing(4) }},
		{"both", func(_ *fakeLog, s *fakeSink) { s.before, s.after = failing(2), failing(2) }},
		{"no position", func(_ *fakeLog, s *fakeSink) { s.where = failing(4) }},
		{"log can't be read", func(l *fakeLog, _ *fakeSink) {
			fail := failing(4)
			l.fail = func(method string) error {
				if method == "read" {
					return fail()
				}
				return nil
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, sink := newFakeLog(), newFakeSink()
				note(t, log, 25)
				tt.fail(log, sink)
				var reported []error
				p, stop := running(t, click.PumpSettings{
					Log: log, Sink: sink, BatchSize: 10, Error: func(err error) { reported = append(reported, err) },
				})
				time.Sleep(time.Millisecond)
				synctest.Wait()
				if st := p.Stats(); st.Failing.IsZero() || st.Retries == 0 || log.len() != 25 {
					t.Errorf("while it fails: %+v, %d in the log", st, log.len())
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if !slices.Equal(sink.sequences(), upTo(25)) || log.len() != 0 {
					t.Errorf("%v, %d in the log", sink.sequences(), log.len())
				}
				if st := p.Stats(); !st.Failing.IsZero() || st.Retries != 4 || len(reported) != 4 || st.Stored != 25 {
					t.Errorf("%+v, %v", st, reported)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestPumpGoesOnWhereTheSinkIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newFakeLog(), newFakeSink()
		note(t, log, 10)
		sink.position = 7
		_, stop := running(t, click.PumpSettings{Log: log, Sink: sink})
		synctest.Wait()
		if !slices.Equal(sink.sequences(), []uint64{8, 9, 10}) {
			t.Errorf("%v", sink.sequences())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestPumpSkipsWhatItCantRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newFakeLog(), newFakeSink()
		note(t, log, 1)
		for _, b := range []string{"\x02a later version", "\x01", ""} {
			if _, err := log.Append([]byte(b)); err != nil {
				t.Fatal(err)
			}
		}
		note(t, log, 1)
		if _, err := log.Append([]byte("at the end too")); err != nil {
			t.Fatal(err)
		}
		var reported []error
		p, stop := running(t, click.PumpSettings{
			Log: log, Sink: sink, BatchSize: 2, Error: func(err error) { reported = append(reported, err) },
		})
		synctest.Wait()
		if !slices.Equal(sink.sequences(), []uint64{1, 5}) || sink.position != 6 || log.len() != 0 {
			t.Errorf("%v, position %d, %d in the log", sink.sequences(), sink.position, log.len())
		}
		if st := p.Stats(); st.Skipped != 4 || len(reported) != 4 {
			t.Errorf("%+v, %v", st, reported)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestPumpUntracked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newFakeLog(), newFakeSink()
		v := visit()
		v.Untracked = true
		if err := newRecorder(log).Record(v); err != nil {
			t.Fatal(err)
		}
		_, err := log.Append(click.AppendVisit(nil, v, click.Place{}, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		_, stop := running(t, click.PumpSettings{Log: log, Sink: sink})
		synctest.Wait()
		for i, got := range sink.events {
			want := click.Event{
				ID: click.NewID(at, uint64(i+1)), Sequence: uint64(i + 1), Time: at, Link: 42, Owner: 7,
				Kind: click.Human, Details: click.Details{ReferrerHost: click.Unknown},
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		}
		if err := stop(); err != nil || len(sink.events) != 2 {
			t.Error(err, len(sink.events))
		}
	})
}

func TestPumpEndsWhileTheSinkFails(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		fail func(s *fakeSink)
	}{
		{"storing", func(s *fakeSink) { s.before = func() error { return broken } }},
		{"locating", func(s *fakeSink) { s.where = func() error { return broken } }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, sink := newFakeLog(), newFakeSink()
				note(t, log, 5)
				tt.fail(sink)
				_, stop := running(t, click.PumpSettings{Log: log, Sink: sink, Grace: 3 * time.Second})
				time.Sleep(10 * time.Second)
				synctest.Wait()
				start := time.Now()
				if err := stop(); err == nil || time.Since(start) > 3*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if log.len() != 5 {
					t.Errorf("%d in the log", log.len())
				}
				// The next run finds all of it.
				mended := newFakeSink()
				mended.position, mended.events = sink.position, sink.events
				_, stop = running(t, click.PumpSettings{Log: log, Sink: mended})
				synctest.Wait()
				if err := stop(); err != nil || !slices.Equal(mended.sequences(), upTo(5)) {
					t.Errorf("%v, %v", mended.sequences(), err)
				}
			})
		})
	}
}

func TestPumpEndsWhileTheSinkSaysNoButStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newFakeLog(), newFakeSink()
		note(t, log, 5)
		sink.after = func() error { return errors.New("broken") }
		_, stop := running(t, click.PumpSettings{Log: log, Sink: sink})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := stop(); err != nil || !slices.Equal(sink.sequences(), upTo(5)) || log.len() != 0 {
			t.Errorf("%v, %d in the log, %v", sink.sequences(), log.len(), err)
		}
	})
}

func TestPumpWithoutRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newFakeLog(), newFakeSink()
		note(t, log, 5)
		log.fail = func(method string) error {
			if method == "release" {
				return errors.New("stuck")
			}
			return nil
		}
		reports := 0
		_, stop := running(t, click.PumpSettings{Log: log, Sink: sink, Error: func(error) { reports++ }})
		synctest.Wait()
		if err := stop(); err != nil || !slices.Equal(sink.sequences(), upTo(5)) || reports == 0 {
			t.Errorf("%v, %d reports, %v", sink.sequences(), reports, err)
		}
	})
}

func TestPumpOfAnEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newFakeLog(), newFakeSink()
		note(t, log, 5)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := click.NewPump(click.PumpSettings{Log: log, Sink: sink, Enricher: fakeEnricher{}})
		if err := p.Run(ctx); err != nil || !slices.Equal(sink.sequences(), upTo(5)) {
			t.Errorf("%v, %v", sink.sequences(), err)
		}
	})
}
