package idempotency_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/fault"
	"kurz/internal/idempotency"
	"kurz/internal/memory"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// spy keeps what reaches the store, and fails where told to.
type spy struct {
	idempotency.Store
	kept       []byte
	failBegin  error
	failFinish error
}

func (s *spy) Begin(ctx context.Context, a idempotency.Attempt) (idempotency.Outcome, idempotency.Record, error) {
	if s.failBegin != nil {
		return 0, idempotency.Record{}, s.failBegin
	}
	return s.Store.Begin(ctx, a)
}

func (s *spy) Finish(ctx context.Context, id idempotency.ID, holder [16]byte, a idempotency.Answer) error {
	if s.failFinish != nil {
		return s.failFinish
	}
	s.kept = append(s.kept, fmt.Sprintf("%x", id)...)
	s.kept = append(s.kept, a.Body...)
	return s.Store.Finish(ctx, id, holder, a)
}

type desk struct {
	*idempotency.Once
	*spy
	now   time.Time
	calls int
	ops   map[idempotency.Operation]bool
}

func newDesk() *desk {
	d := &desk{now: noon, spy: &spy{Store: memory.NewIdempotency()}, ops: map[idempotency.Operation]bool{}}
	d.Once = idempotency.NewOnce(d.spy, func() time.Time { return d.now }, rand.Reader, []byte("secret"))
	return d
}

// work answers with the number of the call.
func (d *desk) work(_ context.Context, op idempotency.Operation) (idempotency.Answer, error) {
	d.calls++
	d.ops[op] = true
	return idempotency.Answer{Status: 201, Header: map[string]string{"ETag": `"1"`}, Body: fmt.Appendf(nil, "secret answer %d", d.calls)}, nil
}

var asked = idempotency.Asked{Who: "usr_1", Secret: "kurz_abc", Key: "k1", Method: "POST", Path: "/api/v1/urls", Body: []byte(`{"a":1}`)}

func TestDoWorksOnce(t *testing.T) {
	d := newDesk()
	first, replayed, err := d.Do(t.Context(), asked, d.work)
	if err != nil || replayed || first.Status != 201 {
		t.Fatal(first, replayed, err)
	}
	d.now = noon.Add(24*time.Hour - time.Second)
	again, replayed, err := d.Do(t.Context(), asked, d.work)
	if diff := cmp.Diff(first, again); diff != "" || !replayed || err != nil || d.calls != 1 {
		t.Errorf("replayed %v, %v, %d calls: %s", replayed, err, d.calls, diff)
	}
	d.now = noon.Add(24 * time.Hour)
	if _, replayed, err := d.Do(t.Context(), asked, d.work); err != nil || replayed || d.calls != 2 {
		t.Errorf("after a day: replayed %v, %v, %d calls", replayed, err, d.calls)
	}
	if bytes.Contains(d.kept, []byte("secret answer")) || bytes.Contains(d.kept, []byte("kurz_abc")) {
		t.Error("the store has seen the answer or the secret")
	}
}

func TestAKeyBelongsToOneRequest(t *testing.T) {
	d := newDesk()
	if _, _, err := d.Do(t.Context(), asked, d.work); err != nil {
		t.Fatal(err)
	}
	change := func(f func(a *idempotency.Asked)) idempotency.Asked { a := asked; f(&a); return a }
	tests := []struct {
		name  string
		a     idempotency.Asked
		want  fault.Code
		works bool
	}{
		{"another body", change(func(a *idempotency.Asked) { a.Body = []byte(`{"a":2}`) }), fault.IdempotencyKeyReused, false},
		{"another path", change(func(a *idempotency.Asked) { a.Path = "/shorten" }), fault.IdempotencyKeyReused, false},
		{"the path's end moved to the body", change(func(a *idempotency.Asked) { a.Path, a.Body = "/api/v1/url", []byte(`s{"a":1}`) }), fault.IdempotencyKeyReused, false},
		{"another API key of the same user", change(func(a *idempotency.Asked) { a.Secret = "kurz_xyz" }), fault.IdempotencyKeyReused, false},
		{"another user", change(func(a *idempotency.Asked) { a.Who = "usr_2" }), "", true},
		{"another key", change(func(a *idempotency.Asked) { a.Key = "k2" }), "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := d.calls
			_, replayed, err := d.Do(t.Context(), tt.a, d.work)
			if fault.CodeOf(err) != tt.want || replayed || (d.calls > before) != tt.works {
				t.Errorf("%v, replayed %v, %d calls", err, replayed, d.calls-before)
			}
		})
	}
}

func TestAnErrorIsNotKept(t *testing.T) {
	d := newDesk()
	down := errors.New("down")
	var ops []idempotency.Operation
	_, _, err := d.Do(t.Context(), asked, func(_ context.Context, op idempotency.Operation) (idempotency.Answer, error) {
		ops = append(ops, op)
		return idempotency.Answer{}, down
	})
	if !errors.Is(err, down) {
		t.Fatal(err)
	}
	_, replayed, err := d.Do(t.Context(), asked, func(_ context.Context, op idempotency.Operation) (idempotency.Answer, error) {
		ops = append(ops, op)
		return idempotency.Answer{Status: 201}, nil
	})
	if err != nil || replayed || len(ops) != 2 || ops[0] != ops[1] {
		t.Errorf("replayed %v, %v, operations %x", replayed, err, ops)
	}
}

func TestAPanicEndsTheLease(t *testing.T) {
	d := newDesk()
	func() {
		defer func() { _ = recover() }()
		_, _, _ = d.Do(t.Context(), asked, func(context.Context, idempotency.Operation) (idempotency.Answer, error) { panic("oops") })
	}()
	if _, replayed, err := d.Do(t.Context(), asked, d.work); err != nil || replayed {
		t.Errorf("replayed %v, %v", replayed, err)
	}
}

func TestADeadHoldersWorkIsTakenOverWithItsOperation(t *testing.T) {
	d := newDesk()
	died := errors.New("died")
	d.failFinish = died
	abandoned := d.spy.Store
	d.spy.Store = deaf{abandoned} // a dead process abandons nothing
	if _, _, err := d.Do(t.Context(), asked, d.work); !errors.Is(err, died) {
		t.Fatal(err)
	}
	d.failFinish, d.spy.Store = nil, abandoned
	if _, _, err := d.Do(t.Context(), asked, d.work); !fault.Is(err, fault.IdempotencyInProgress) || fault.Of(err).RetryAfter <= 0 {
		t.Errorf("within the lease: %v", err)
	}
	d.now = noon.Add(idempotency.Lease)
	if _, _, err := d.Do(t.Context(), asked, d.work); err != nil {
		t.Fatal(err)
	}
	if d.calls != 2 || len(d.ops) != 1 {
		t.Errorf("%d calls with %d operations, want 2 with 1", d.calls, len(d.ops))
	}
}

type deaf struct{ idempotency.Store }

func (deaf) Abandon(context.Context, idempotency.ID, [16]byte) error { return nil }

func TestParallelRetriesWorkOnce(t *testing.T) {
	d := newDesk()
	release := make(chan struct{})
	var calls, inProgress, answered atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for {
				_, _, err := d.Do(t.Context(), asked, func(context.Context, idempotency.Operation) (idempotency.Answer, error) {
					calls.Add(1)
					<-release
					return idempotency.Answer{Status: 201}, nil
				})
				if fault.Is(err, fault.IdempotencyInProgress) {
					if inProgress.Add(1) == 99 {
						close(release)
					}
					continue
				}
				if err != nil {
					t.Error(err)
				}
				answered.Add(1)
				return
			}
		})
	}
	wg.Wait()
	if calls.Load() != 1 || answered.Load() != 100 {
		t.Errorf("%d calls, %d answers", calls.Load(), answered.Load())
	}
}

func TestAClientThatGoesAwayChangesNothing(t *testing.T) {
	d := newDesk()
	ctx, leave := context.WithCancel(t.Context())
	_, _, err := d.Do(ctx, asked, func(ctx context.Context, _ idempotency.Operation) (idempotency.Answer, error) {
		leave()
		return idempotency.Answer{Status: 201}, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, replayed, err := d.Do(t.Context(), asked, d.work); err != nil || !replayed {
		t.Errorf("replayed %v, %v", replayed, err)
	}
}

func TestFailuresAroundTheWork(t *testing.T) {
	d := newDesk()
	d.failBegin = fault.New(fault.Unavailable, "down")
	if _, _, err := d.Do(t.Context(), asked, d.work); !fault.Is(err, fault.Unavailable) || d.calls != 0 {
		t.Errorf("%v, %d calls", err, d.calls)
	}
	for n := range 3 { // operation, holder, nonce
		o := idempotency.NewOnce(memory.NewIdempotency(), time.Now, bytes.NewReader(make([]byte, 16*n)), nil)
		if _, _, err := o.Do(t.Context(), asked, d.work); err == nil {
			t.Errorf("worked with %d random bytes", 16*n)
		}
	}
}

func TestReplayGivesOnlyWhatIsKept(t *testing.T) {
	d := newDesk()
	if _, err := d.Replay(t.Context(), asked); !fault.Is(err, fault.NotFound) {
		t.Errorf("before: %v", err)
	}
	first, _, err := d.Do(t.Context(), asked, func(ctx context.Context, op idempotency.Operation) (idempotency.Answer, error) {
		if _, err := d.Replay(t.Context(), asked); !fault.Is(err, fault.NotFound) {
			t.Errorf("meanwhile: %v", err)
		}
		return d.work(ctx, op)
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Replay(t.Context(), asked)
	if diff := cmp.Diff(first, got); diff != "" || err != nil || d.calls != 1 {
		t.Errorf("after: %v, %d calls: %s", err, d.calls, diff)
	}
	other := asked
	other.Body = []byte("{}")
	if _, err := d.Replay(t.Context(), other); !fault.Is(err, fault.NotFound) {
		t.Errorf("another body: %v", err)
	}
	d.now = noon.Add(24 * time.Hour)
	if _, err := d.Replay(t.Context(), asked); !fault.Is(err, fault.NotFound) {
		t.Errorf("after a day: %v", err)
	}
}

// Without the installation's secret, who guesses both address and key can't
// tell whether they made a record.
func TestRecordsDoNotTellWhoAsked(t *testing.T) {
	ids := map[string]bool{}
	for _, secret := range []string{"a", "b"} {
		s := &spy{Store: memory.NewIdempotency()}
		o := idempotency.NewOnce(s, time.Now, rand.Reader, []byte(secret))
		if _, _, err := o.Do(t.Context(), asked, func(context.Context, idempotency.Operation) (idempotency.Answer, error) {
			return idempotency.Answer{Status: 201}, nil
		}); err != nil {
			t.Fatal(err)
		}
		ids[string(s.kept[:64])] = true
	}
	if len(ids) != 2 {
		t.Error("two installations gave one client's request the same ID")
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", "a", "8e03978e-40d5-43dd-bc93-6894a57f9324", strings.Repeat("x", 255), strings.Repeat("x", 256), "a b", "é", "\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := idempotency.ParseKey(s)
		ok := len(s) >= 1 && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
		if (err == nil) != ok || err == nil && key != s || err != nil && !fault.Is(err, fault.ValidationFailed) {
			t.Fatalf("%q: %q, %v", s, key, err)
		}
	})
}
