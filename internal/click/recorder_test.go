package click_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/click"
	"kurz/internal/fault"
)

// fakeLog keeps records in memory. It is stricter than a real one: it
// spoils the data of records when the next Read comes, and gives an error where
// it is told to.
type fakeLog struct {
	mu       sync.Mutex
	records  []click.Record
	next     uint64
	released uint64
	given    [][]byte
	wake     chan struct{}
	fail     func(method string) error
}

func newFakeLog() *fakeLog {
	return &fakeLog{next: 1, wake: make(chan struct{}, 1), fail: func(string) error { return nil }}
}

func (l *fakeLog) Append(b []byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fail("append"); err != nil {
		return 0, err
	}
	seq := l.next
	l.next++
	l.records = append(l.records, click.Record{Sequence: seq, Data: bytes.Clone(b)})
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return seq, nil
}

func (l *fakeLog) ID() click.LogID           { return click.LogID{1} }
func (l *fakeLog) Appended() <-chan struct{} { return l.wake }

func (l *fakeLog) Read(ctx context.Context, after uint64, dst []click.Record, limit int) ([]click.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.given {
		clear(b)
	}
	l.given = nil
	if err := errors.Join(ctx.Err(), l.fail("read")); err != nil {
		return dst, err
	}
	if after < l.released {
		return dst, errors.New("read of what was released")
	}
	for _, r := range l.records {
		if r.Sequence > after && limit > 0 {
			b := bytes.Clone(r.Data)
			l.given = append(l.given, b)
			dst = append(dst, click.Record{Sequence: r.Sequence, Data: b})
			limit--
		}
	}
	return dst, nil
}

func (l *fakeLog) Release(through uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.fail("release"); err != nil {
		return err
	}
	l.released = max(l.released, through)
	l.records = slices.DeleteFunc(l.records, func(r click.Record) bool { return r.Sequence <= through })
	return nil
}

func (l *fakeLog) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.records)
}

type fakeLocator struct{}

func (fakeLocator) Locate(a netip.Addr) click.Place {
	if a.Is4() {
		return click.Place{Country: "DE"}
	}
	return click.Place{}
}

type fakeHasher struct{}

func (fakeHasher) Hash(_ netip.Addr, userAgent string, at time.Time) uint64 {
	return uint64(len(userAgent)) + uint64(at.Unix())
}

func (fakeHasher) Epoch(at time.Time) uint64 { return uint64(at.Unix()) }

// fakeEnricher takes agents called "bot" for bots.
type fakeEnricher struct{}

func (fakeEnricher) Enrich(h click.Headers) click.Enrichment {
	e := click.Enrichment{Kind: click.Human, Trigger: click.ByQR, Details: click.Details{Browser: h.UserAgent}}
	if h.UserAgent == "bot" {
		e.Kind = click.Bot
	}
	return e
}

func newRecorder(l click.Log) *click.Recorder {
	return click.NewRecorder(click.RecorderSettings{Log: l, Locator: fakeLocator{}, Hasher: fakeHasher{}})
}

func TestRecorder(t *testing.T) {
	log := newFakeLog()
	r := newRecorder(log)
	v := visit()
	if err := r.Record(v); err != nil {
		t.Fatal(err)
	}
	got, err := click.ParseNoted(log.records[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Country != "DE" || got.Visitor != uint64(len(v.UserAgent))+uint64(at.Unix()) || got.UserAgent != v.UserAgent {
		t.Errorf("%+v", got)
	}
	as16 := v.Client.As16()
	for _, secret := range [][]byte{[]byte("203.0.113.9"), v.Client.AsSlice(), as16[:], []byte("token"), []byte("secret")} {
		if bytes.Contains(log.records[0].Data, secret) {
			t.Errorf("the record contains %q", secret)
		}
	}
	if d := cmp.Diff(click.RecorderStats{Recorded: 1}, r.Stats()); d != "" {
		t.Error(d)
	}
}

func TestRecorderUntracked(t *testing.T) {
	tests := []struct {
		name     string
		enricher click.Enricher
		change   func(*click.Visit)
		want     click.Kind
	}{
		{"person", fakeEnricher{}, func(*click.Visit) {}, click.Human},
		{"bot", fakeEnricher{}, func(v *click.Visit) { v.UserAgent = "bot" }, click.Bot},
		{"HEAD", fakeEnricher{}, func(v *click.Visit) { v.Head = true }, click.Head},
		{"nobody to tell", nil, func(v *click.Visit) { v.UserAgent = "bot" }, click.Human},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := newFakeLog()
			r := click.NewRecorder(click.RecorderSettings{
				Log: log, Locator: fakeLocator{}, Hasher: fakeHasher{}, Enricher: tt.enricher,
			})
			v := visit()
			v.Untracked = true
			tt.change(v)
			if err := r.Record(v); err != nil {
				t.Fatal(err)
			}
			got, err := click.ParseNoted(log.records[0].Data)
			want := click.Noted{
				Time: at, Link: 42, Owner: 7, Kind: tt.want, Untracked: true,
				Headers: click.Headers{Head: v.Head},
			}
			if d := cmp.Diff(want, got); err != nil || d != "" {
				t.Error(err, d)
			}
		})
	}
}

func TestRecorderLoses(t *testing.T) {
	full := fault.New(fault.Unavailable, "The disk is full")
	log := newFakeLog()
	log.fail = func(string) error { return full }
	var told error
	r := click.NewRecorder(click.RecorderSettings{
		Log: log, Locator: fakeLocator{}, Hasher: fakeHasher{}, Lost: func(err error) { told = err },
	})
	if err := r.Record(visit()); !errors.Is(err, full) || !errors.Is(told, full) {
		t.Errorf("error %v, told %v", err, told)
	}
	if d := cmp.Diff(click.RecorderStats{Lost: 1}, r.Stats()); d != "" {
		t.Error(d)
	}
	if err := newRecorder(log).Record(visit()); !errors.Is(err, full) {
		t.Errorf("with nobody to tell: %v", err)
	}
}

// nullLog takes records and forgets them.
type nullLog struct{ fakeLog }

func (*nullLog) Append([]byte) (uint64, error) { return 1, nil }

func TestRecordAllocatesNothing(t *testing.T) {
	if raceDetector() {
		t.Skip("allocations are not the same under the race detector")
	}
	r := newRecorder(&nullLog{})
	v := visit()
	if n := testing.AllocsPerRun(1000, func() {
		if err := r.Record(v); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := newRecorder(&nullLog{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		v := visit()
		for pb.Next() {
			if err := r.Record(v); err != nil {
				b.Error(err)
			}
		}
	})
}

// raceDetector reports whether this program was built with it: then pools forget
// at random, and allocations can't be counted.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
