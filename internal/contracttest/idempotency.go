package contracttest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kurz/internal/fault"
	"kurz/internal/idempotency"
)

// Idempotency tests an idempotency.Store. Open gives a new, empty store.
func Idempotency(t *testing.T, open func(t *testing.T) idempotency.Store) {
	for name, test := range map[string]func(*testing.T, idempotency.Store){
		"Begin/judges in order":               onceJudges,
		"Begin/a lease that ended":            onceLeaseEnded,
		"Begin/past its Keep":                 oncePastKeep,
		"Begin/IDs are apart":                 onceApart,
		"Begin/one of 100 is Started":         onceRace,
		"Begin/one of 100 takes a lost one":   onceRaceForLost,
		"Find/tells and changes nothing":      onceFind,
		"Finish/answers come back":            onceAnswers,
		"Finish/lost lease":                   onceFinishLost,
		"Finish/the same again":               onceFinishAgain,
		"Abandon/a retry begins at once":      onceAbandon,
		"Abandon/lost lease":                  onceAbandonLost,
		"Abandon/keeps an answer":             onceAbandonDone,
		"Sweep/removes what is over":          onceSweep,
		"cancelled context does nothing":      onceCancelled,
		"refused, not done; refused but done": onceFailurePairs,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var onceStart = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const (
	onceLease = 30 * time.Second
	onceKeep  = 24 * time.Hour
)

// attempt is one of a client that asks for the same thing each time; n tells
// holders and proposed operations apart.
func attempt(n byte, after time.Duration) idempotency.Attempt {
	return idempotency.Attempt{
		ID: idempotency.ID{1, 31: 9}, Fingerprint: idempotency.Fingerprint{2, 31: 9},
		Operation: idempotency.Operation{n, 15: 1}, Holder: [16]byte{n, 15: 2},
		Now: onceStart.Add(after), Lease: onceLease, Keep: onceKeep,
	}
}

func onceBegin(t *testing.T, s idempotency.Store, a idempotency.Attempt, want idempotency.Outcome) idempotency.Record {
	t.Helper()
	got, record, err := s.Begin(t.Context(), a)
	if err != nil || got != want {
		t.Fatalf("Begin: outcome %d, error %v; want outcome %d", got, err, want)
	}
	return record
}

func onceStarted(t *testing.T, s idempotency.Store, a idempotency.Attempt, want byte) {
	t.Helper()
	if r := onceBegin(t, s, a, idempotency.Started); r.Operation != attempt(want, 0).Operation {
		t.Errorf("Begin: operation %x, want %x", r.Operation, attempt(want, 0).Operation)
	}
}

func onceFind(t *testing.T, s idempotency.Store) {
	a := attempt(1, 0)
	find := func(f idempotency.Fingerprint, after time.Duration) (idempotency.Outcome, idempotency.Record, error) {
		return s.Find(t.Context(), a.ID, f, onceStart.Add(after))
	}
	if _, _, err := find(a.Fingerprint, 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("nothing there: %v", err)
	}
	onceStarted(t, s, a, 1)
	if got, _, err := find(a.Fingerprint, onceLease); err != nil || got != idempotency.InProgress {
		t.Errorf("no answer yet: outcome %d, %v", got, err)
	}
	onceStarted(t, s, attempt(2, onceLease), 1) // the lease was nobody's: Find took none
	onceFinish(t, s, attempt(2, onceLease), onceCreated)
	got, record, err := find(a.Fingerprint, onceKeep-time.Millisecond)
	if err != nil || got != idempotency.Done || record.Operation != a.Operation {
		t.Errorf("answered: outcome %d, %x, %v", got, record.Operation, err)
	}
	onceWant(t, record, onceCreated)
	if got, _, err := find(idempotency.Fingerprint{9}, 0); err != nil || got != idempotency.Reused {
		t.Errorf("another request: outcome %d, %v", got, err)
	}
	if _, _, err := find(a.Fingerprint, onceKeep); !fault.Is(err, fault.NotFound) {
		t.Errorf("past its Keep: %v", err)
	}
}

func onceFinish(t *testing.T, s idempotency.Store, a idempotency.Attempt, answer idempotency.Answer) {
	t.Helper()
	if err := s.Finish(t.Context(), a.ID, a.Holder, answer); err != nil {
		t.Fatalf("Finish: %v", err)
	}
}

func onceWant(t *testing.T, got idempotency.Record, want idempotency.Answer) {
	t.Helper()
	if diff := cmp.Diff(want, got.Answer, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

var onceCreated = idempotency.Answer{
	Status: 201, Header: map[string]string{"Content-Type": "application/json", "Location": "/x"}, Body: []byte("{\"a\":\x00\xff}\n"),
}

func onceJudges(t *testing.T, s idempotency.Store) {
	first := attempt(1, 0)
	other := attempt(2, time.Second)
	other.Fingerprint[0]++
	onceStarted(t, s, first, 1)
	onceBegin(t, s, attempt(2, time.Second), idempotency.InProgress)
	onceBegin(t, s, first, idempotency.InProgress) // the holder itself, too
	onceBegin(t, s, other, idempotency.Reused)
	onceFinish(t, s, first, onceCreated)
	other.Now = onceStart.Add(2 * onceLease)
	onceBegin(t, s, other, idempotency.Reused)
	onceWant(t, onceBegin(t, s, attempt(2, 2*onceLease), idempotency.Done), onceCreated)
	onceWant(t, onceBegin(t, s, attempt(2, onceKeep-time.Millisecond), idempotency.Done), onceCreated)
}

func onceLeaseEnded(t *testing.T, s idempotency.Store) {
	onceStarted(t, s, attempt(1, 0), 1)
	onceBegin(t, s, attempt(2, onceLease-time.Millisecond), idempotency.InProgress)
	onceStarted(t, s, attempt(2, onceLease), 1)
	onceBegin(t, s, attempt(3, 2*onceLease-time.Millisecond), idempotency.InProgress)
	other := attempt(3, 3*onceLease)
	other.Fingerprint[0]++
	onceBegin(t, s, other, idempotency.Reused)
	onceStarted(t, s, attempt(3, 3*onceLease), 1)
	onceFinish(t, s, attempt(3, 0), onceCreated)
}

func oncePastKeep(t *testing.T, s idempotency.Store) {
	onceStarted(t, s, attempt(1, 0), 1)
	onceFinish(t, s, attempt(1, 0), onceCreated)
	other := attempt(2, onceKeep)
	other.Fingerprint[0]++
	onceStarted(t, s, other, 2)
	onceBegin(t, s, attempt(3, onceKeep), idempotency.Reused) // the first is forgotten
	// Keep counts from the first Begin, not from one that took over.
	again := attempt(4, 2*onceKeep-time.Millisecond)
	again.Fingerprint[0]++
	onceStarted(t, s, again, 2)
	again = attempt(5, 2*onceKeep)
	again.Fingerprint[0]++
	onceStarted(t, s, again, 5)
}

func onceApart(t *testing.T, s idempotency.Store) {
	a, b := attempt(1, 0), attempt(2, 0)
	b.ID[31]++
	onceStarted(t, s, a, 1)
	onceStarted(t, s, b, 2)
	onceFinish(t, s, a, onceCreated)
	onceBegin(t, s, b, idempotency.InProgress)
	wantCode(t, "Finish with another record's holder", s.Finish(t.Context(), b.ID, a.Holder, onceCreated), fault.NotFound)
}

// onceRacers has 100 begin at once and counts those that may do the work.
func onceRacers(t *testing.T, s idempotency.Store, after time.Duration) {
	t.Helper()
	var started atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			outcome, record, err := s.Begin(t.Context(), attempt(byte(100+i), after))
			switch {
			case err != nil:
				t.Errorf("Begin: %v", err)
			case outcome == idempotency.Started:
				started.Add(1)
				if after > 0 && record.Operation != attempt(1, 0).Operation {
					t.Errorf("operation %x is not that of the first Begin", record.Operation)
				}
			case outcome != idempotency.InProgress:
				t.Errorf("outcome %d", outcome)
			}
		})
	}
	wg.Wait()
	if n := started.Load(); n != 1 {
		t.Errorf("%d of 100 were Started", n)
	}
}

func onceRace(t *testing.T, s idempotency.Store) { onceRacers(t, s, 0) }

func onceRaceForLost(t *testing.T, s idempotency.Store) {
	onceStarted(t, s, attempt(1, 0), 1)
	onceRacers(t, s, onceLease)
}

func onceAnswers(t *testing.T, s idempotency.Store) {
	tests := []struct {
		name   string
		answer idempotency.Answer
	}{
		{"everything", onceCreated},
		{"nothing but a status", idempotency.Answer{Status: 204}},
		{"an error", idempotency.Answer{Status: 422, Body: []byte("x")}},
		{"a large body", idempotency.Answer{Status: 200, Body: make([]byte, 300<<10)}},
	}
	for i, tt := range tests {
		a := attempt(1, 0)
		a.ID[0] = byte(i)
		onceStarted(t, s, a, 1)
		onceFinish(t, s, a, tt.answer)
		r := onceBegin(t, s, a, idempotency.Done)
		t.Run(tt.name, func(t *testing.T) { onceWant(t, r, tt.answer) })
		if r.Operation != a.Operation {
			t.Errorf("%s: operation %x, want %x", tt.name, r.Operation, a.Operation)
		}
	}
}

func onceFinishLost(t *testing.T, s idempotency.Store) {
	first, second := attempt(1, 0), attempt(2, onceLease)
	wantCode(t, "Finish of what was not begun", s.Finish(t.Context(), first.ID, first.Holder, onceCreated), fault.NotFound)
	onceStarted(t, s, first, 1)
	onceStarted(t, s, second, 1)
	wantCode(t, "Finish of a lost lease", s.Finish(t.Context(), first.ID, first.Holder, onceCreated), fault.NotFound)
	onceBegin(t, s, attempt(3, onceLease), idempotency.InProgress)
	// A lease that ended and that nobody took is not lost.
	onceFinish(t, s, second, idempotency.Answer{Status: 200})
	wantCode(t, "Finish after another's", s.Finish(t.Context(), first.ID, first.Holder, onceCreated), fault.NotFound)
	onceWant(t, onceBegin(t, s, attempt(3, onceLease), idempotency.Done), idempotency.Answer{Status: 200})
}

func onceFinishAgain(t *testing.T, s idempotency.Store) {
	onceStarted(t, s, attempt(1, 0), 1)
	onceFinish(t, s, attempt(1, 0), onceCreated)
	onceFinish(t, s, attempt(1, 0), onceCreated)
	onceWant(t, onceBegin(t, s, attempt(2, 0), idempotency.Done), onceCreated)
}

func onceAbandon(t *testing.T, s idempotency.Store) {
	first := attempt(1, 0)
	onceStarted(t, s, first, 1)
	if err := s.Abandon(t.Context(), first.ID, first.Holder); err != nil {
		t.Fatalf("Abandon: %v", err)
	}
	onceStarted(t, s, attempt(2, 0), 1)
	wantCode(t, "Finish after Abandon", s.Finish(t.Context(), first.ID, first.Holder, onceCreated), fault.NotFound)
}

func onceAbandonLost(t *testing.T, s idempotency.Store) {
	first := attempt(1, 0)
	for range 2 { // not begun at first
		if err := s.Abandon(t.Context(), first.ID, attempt(9, 0).Holder); err != nil {
			t.Errorf("Abandon of another's lease: %v", err)
		}
		if _, _, err := s.Begin(t.Context(), first); err != nil {
			t.Fatal(err)
		}
	}
	onceBegin(t, s, attempt(2, 0), idempotency.InProgress)
}

func onceAbandonDone(t *testing.T, s idempotency.Store) {
	first := attempt(1, 0)
	onceStarted(t, s, first, 1)
	onceFinish(t, s, first, onceCreated)
	if err := s.Abandon(t.Context(), first.ID, first.Holder); err != nil {
		t.Errorf("Abandon: %v", err)
	}
	onceWant(t, onceBegin(t, s, attempt(2, onceLease), idempotency.Done), onceCreated)
}

func onceSweep(t *testing.T, s idempotency.Store) {
	const over, kept = 5, 3
	for i := range byte(over + kept) {
		a := attempt(i, 0)
		a.ID[0] = i
		if i >= over {
			a.Now = a.Now.Add(time.Millisecond)
		}
		onceStarted(t, s, a, i)
		if i%2 == 0 {
			onceFinish(t, s, a, onceCreated)
		}
	}
	var swept []int
	for _, at := range []time.Duration{onceKeep - time.Millisecond, onceKeep, onceKeep, onceKeep, onceKeep} {
		n, err := s.Sweep(t.Context(), onceStart.Add(at), 2)
		if err != nil {
			t.Fatal(err)
		}
		swept = append(swept, n)
	}
	if diff := cmp.Diff([]int{0, 2, 2, 1, 0}, swept); diff != "" {
		t.Errorf("records swept (-want +got):\n%s", diff)
	}
	for i := range byte(over + kept) {
		a := attempt(99, onceKeep-time.Millisecond)
		a.ID[0] = i
		if i < over {
			onceStarted(t, s, a, 99)
		} else if i%2 == 0 {
			onceBegin(t, s, a, idempotency.Done)
		} else {
			onceStarted(t, s, a, i) // its holder died
		}
	}
}

func onceCancelled(t *testing.T, s idempotency.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := attempt(1, 0)
	if _, _, err := s.Begin(ctx, a); err == nil {
		t.Error("Begin with a context that ended: no error")
	}
	onceStarted(t, s, attempt(2, 0), 2)
	if err := s.Finish(ctx, a.ID, attempt(2, 0).Holder, onceCreated); err == nil {
		t.Error("Finish with a context that ended: no error")
	}
	onceBegin(t, s, attempt(3, 0), idempotency.InProgress)
}

// onceFailurePairs retries calls whose outcome the caller did not learn: the
// end is the same whether they were done or not.
func onceFailurePairs(t *testing.T, s idempotency.Store) {
	for i, done := range []bool{false, true} {
		a := attempt(byte(10*i+1), 0)
		a.ID[0] = byte(i)
		later := func(n byte, after time.Duration) idempotency.Attempt {
			b := attempt(byte(10*i)+n, after)
			b.ID[0] = byte(i)
			return b
		}
		if done {
			onceStarted(t, s, a, byte(10*i+1)) // and the answer did not arrive
		}
		// The retry waits for the lease to end, at most.
		outcome, _, err := s.Begin(t.Context(), later(2, time.Second))
		if want := idempotency.InProgress; err != nil || (outcome == want) != done {
			t.Fatalf("Begin again, done %v: outcome %d, error %v", done, outcome, err)
		}
		b := later(3, onceLease+time.Second)
		r := onceBegin(t, s, b, idempotency.Started)
		if want := map[bool]byte{false: 2, true: 1}[done]; r.Operation != later(want, 0).Operation {
			t.Errorf("done %v: operation %x", done, r.Operation)
		}
		if done {
			onceFinish(t, s, b, onceCreated)
		}
		onceFinish(t, s, b, onceCreated)
		onceWant(t, onceBegin(t, s, later(4, 3*onceLease), idempotency.Done), onceCreated)
	}
}
