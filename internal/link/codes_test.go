package link_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
)

// strategies gives each strategy over a store of codes, as a node would.
func strategies(codes *memory.Codes, length int, holder string) map[link.Strategy]link.Codes {
	return map[link.Strategy]link.Codes{
		link.Random: link.RandomCodes{Rand: rand.Reader},
		link.Hash:   link.HashCodes{Rand: rand.Reader},
		link.Sequence: link.NewSequenceCodes(link.SequenceSettings{
			Numbers: codes, Key: []byte("a key for tests only"), First: 1, Most: 100,
		}),
		link.Pooled: link.NewPoolCodes(link.PoolSettings{
			Pool: codes, Length: length, First: 1, Most: 100, Rand: rand.Reader, Now: time.Now,
		}),
		link.Snowflake: link.NewSnowflakeCodes(link.SnowflakeSettings{Nodes: codes, Holder: holder, Fixed: -1, Now: time.Now}),
	}
}

func next(t testing.TB, c link.Codes, d link.Draw) link.Code {
	t.Helper()
	code, err := c.Next(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// TestStrategiesGiveCodes: codes that ParseAlias takes, of each length, and on
// two nodes none twice but by chance.
func TestStrategiesGiveCodes(t *testing.T) {
	if n := len(strategies(nil, 7, "")); n != len(link.Strategies()) {
		t.Fatalf("%d strategies are tested", n)
	}
	for _, name := range link.Strategies() {
		t.Run(string(name), func(t *testing.T) {
			store := memory.NewCodes(memory.NewLinks())
			nodes := []link.Codes{strategies(store, 7, "a")[name], strategies(store, 7, "b")[name]}
			for length := link.MinGeneratedCode; length <= link.MaxGeneratedCode; length++ {
				code := next(t, nodes[0], link.Draw{Length: length, Destination: "https://example.com/"})
				if again, err := link.ParseAlias(string(code)); err != nil || again != code {
					t.Errorf("%q: %v", code, err)
				}
				if want := length; len(code) != want && (name != link.Snowflake || len(code) != max(want, 10)) {
					t.Errorf("%q has %d characters, want %d", code, len(code), want)
				}
			}
			var mu sync.Mutex
			var all sync.WaitGroup
			seen := map[link.Code]bool{}
			for i := range 8 {
				all.Go(func() {
					for j := range 1000 {
						d := link.Draw{Length: 9, Owner: account.ID(i), Destination: link.Href(fmt.Sprint("https://example.com/", j))}
						code, err := nodes[i%2].Next(t.Context(), d)
						mu.Lock()
						if err != nil || seen[code] {
							t.Errorf("%q twice, %v", code, err)
						}
						seen[code] = true
						mu.Unlock()
					}
				})
			}
			all.Wait()
		})
	}
}

// sameness gives chi-squared of characters at each place of codes, summed:
// 61 degrees of freedom a place.
type sameness [link.MaxGeneratedCode][128]int

func (s *sameness) add(code link.Code) {
	for i := range len(code) {
		s[i][code[i]]++
	}
}

// check fails where chi-squared is above what one in a billion fair sources
// exceeds: by Wilson and Hilferty, six standard deviations.
func (s *sameness) check(t *testing.T, codes, length int) {
	t.Helper()
	const degrees = 61.0
	limit := degrees * math.Pow(1-2/(9*degrees)+6*math.Sqrt(2/(9*degrees)), 3)
	want := float64(codes) / 62
	for i := range length {
		chi, different := 0.0, 0
		for _, n := range s[i] {
			if n > 0 {
				different++
				chi += (float64(n) - want) * (float64(n) - want) / want
			}
		}
		if different != 62 || chi > limit {
			t.Errorf("place %d: %d different characters, chi-squared %.1f, want at most %.1f", i, different, chi, limit)
		}
	}
}

// TestCodesAreUnbiased counts the characters of a million codes, and of some of
// the other strategies whose codes look random.
func TestCodesAreUnbiased(t *testing.T) {
	for name, n := range map[link.Strategy]int{link.Random: 1_000_000, link.Sequence: 200_000, link.Hash: 200_000} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			codes := strategies(memory.NewCodes(memory.NewLinks()), 7, "a")[name]
			var s sameness
			for i := range n {
				s.add(next(t, codes, link.Draw{Length: 7, Destination: link.Href(fmt.Sprint("https://example.com/", i))}))
			}
			s.check(t, n, 7)
		})
	}
}

// TestNeighboursAreUnrelated looks at the differences of codes that are given
// one after the other.
func TestNeighboursAreUnrelated(t *testing.T) {
	const n, length = 200_000, 7
	codes := strategies(memory.NewCodes(memory.NewLinks()), length, "a")[link.Sequence]
	value := func(c byte) int {
		return strings.IndexByte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", c)
	}
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var s sameness
	last, greater := next(t, codes, link.Draw{Length: length}), 0
	for range n {
		code := next(t, codes, link.Draw{Length: length})
		var difference [length]byte
		for i := range difference {
			difference[i] = alphabet[(value(code[i])-value(last[i])+62)%62]
		}
		s.add(link.Code(difference[:]))
		if code > last {
			greater++
		}
		last = code
	}
	s.check(t, n, length)
	// Of three in a row of independent draws, each order is as likely: the
	// variance of ascents is n/12.
	if off := math.Abs(float64(greater)-n/2) / math.Sqrt(n/12.0); off > 6 {
		t.Errorf("%d of %d are above the one before", greater, n)
	}
}

// TestSequenceUsesItsWholeSpace takes all codes of three characters: each once,
// but for reserved words, and then goes on with four.
func TestSequenceUsesItsWholeSpace(t *testing.T) {
	var warnings []string
	codes := link.NewSequenceCodes(link.SequenceSettings{
		Numbers: memory.NewCodes(nil), Key: []byte("k"), First: 1, Most: 1000,
		Warn: func(msg string, _ ...any) { warnings = append(warnings, msg) },
	})
	seen := map[link.Code]bool{}
	reserved := 2 * 8 // api and app, each letter in both cases
	for range 62*62*62 - reserved {
		code := next(t, codes, link.Draw{Length: 3})
		if len(code) != 3 || seen[code] || link.Reserved(string(code)) {
			t.Fatalf("%q after %d", code, len(seen))
		}
		seen[code] = true
	}
	for range 2 {
		if code := next(t, codes, link.Draw{Length: 3}); len(code) != 4 {
			t.Errorf("%q after all of three", code)
		}
	}
	if len(warnings) != 1 {
		t.Errorf("warnings %q", warnings)
	}
}

// TestSequenceNeedsItsKey: with another key the codes are others, with the same
// they go on.
func TestSequenceNeedsItsKey(t *testing.T) {
	first := func(key string) link.Code {
		return next(t, link.NewSequenceCodes(link.SequenceSettings{
			Numbers: memory.NewCodes(nil), Key: []byte(key), First: 1, Most: 1,
		}), link.Draw{Length: 7})
	}
	if a, b := first("one key"), first("another key"); a == b || a != first("one key") {
		t.Errorf("%q and %q", a, b)
	}
}

// brokenStore fails when told to, and counts calls.
type brokenStore struct {
	*memory.Codes
	mu    sync.Mutex
	err   error
	calls int
}

func (s *brokenStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *brokenStore) call() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.err
}

func (s *brokenStore) Reserve(ctx context.Context, name string, n int64) (int64, error) {
	if err := s.call(); err != nil {
		return 0, err
	}
	return s.Codes.Reserve(ctx, name, n)
}

func (s *brokenStore) Add(ctx context.Context, length int, codes []link.Code) (int, error) {
	if err := s.call(); err != nil {
		return 0, err
	}
	return s.Codes.Add(ctx, length, codes)
}

func (s *brokenStore) Take(ctx context.Context, length, n int) ([]link.Code, error) {
	if err := s.call(); err != nil {
		return nil, err
	}
	return s.Codes.Take(ctx, length, n)
}

func (s *brokenStore) Lease(ctx context.Context, holder string, now, until time.Time) (int, error) {
	if err := s.call(); err != nil {
		return 0, err
	}
	return s.Codes.Lease(ctx, holder, now, until)
}

var errDown = fault.New(fault.Unavailable, "down")

// A block that can't be had is an error, not a guess; the next call tries again.
func TestSequenceWithoutItsStore(t *testing.T) {
	store := &brokenStore{Codes: memory.NewCodes(nil)}
	codes := link.NewSequenceCodes(link.SequenceSettings{Numbers: store, Key: []byte("k"), First: 2, Most: 4})
	seen := map[link.Code]bool{next(t, codes, link.Draw{Length: 7}): true}
	store.fail(errDown)
	seen[next(t, codes, link.Draw{Length: 7})] = true // what is left of the block
	if code, err := codes.Next(t.Context(), link.Draw{Length: 7}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%q, %v", code, err)
	}
	store.fail(nil)
	for range 20 {
		seen[next(t, codes, link.Draw{Length: 7})] = true
	}
	if len(seen) != 22 || store.calls != 1+1+5 {
		t.Errorf("%d codes of 22, %d calls", len(seen), store.calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := codes.Next(ctx, link.Draw{Length: 7}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestHashCodes(t *testing.T) {
	codes := link.HashCodes{Rand: rand.Reader}
	of := func(d link.Draw) link.Code { return next(t, codes, d) }
	d := link.Draw{Length: 7, Owner: 1, Destination: "https://example.com/a"}
	first := of(d)
	if first != "0" && first != of(d) {
		t.Errorf("%q, then %q", first, of(d))
	}
	longer := d
	longer.Length = 12
	if got := of(longer); !strings.HasPrefix(string(got), string(first)) {
		t.Errorf("%q does not begin with %q", got, first)
	}
	seen := map[link.Code]bool{first: true}
	for _, other := range []link.Draw{
		{Length: 7, Owner: 2, Destination: d.Destination},
		{Length: 7, Owner: 1, Destination: "https://example.com/b"},
		{Length: 7, Owner: 1, Destination: d.Destination, Attempt: 1},
		{Length: 7, Owner: 1, Destination: d.Destination, Attempt: 2},
		{Length: 7, Owner: 1, Destination: d.Destination, Attempt: 3},
		{Length: 7, Owner: 1, Destination: d.Destination, Attempt: 3},
	} {
		code := of(other)
		if seen[code] {
			t.Errorf("%+v gives %q again", other, code)
		}
		seen[code] = true
	}
}

// TestOneDestinationManyTimes makes the same link again and again: each gets a
// code of the usual length, after three that are taken at most.
func TestOneDestinationManyTimes(t *testing.T) {
	inserts := 0
	w := newWorld(t, func(s *link.Settings) {
		s.Codes = link.HashCodes{Rand: rand.Reader}
		s.Store = countingStore{s.Store, &inserts}
	})
	const n = 500
	first := w.create(t, ann, link.Creation{})
	for range n - 1 {
		if l := w.create(t, ann, link.Creation{}); len(l.Code) != 7 || l.Code == first.Code {
			t.Fatalf("code %q", l.Code)
		}
	}
	if inserts > 4*n || len(w.warnings) > 0 {
		t.Errorf("%d inserts for %d links, warnings %q", inserts, n, w.warnings)
	}
	if l := w.create(t, ann, link.Creation{FindExisting: true}); l.Code != first.Code {
		t.Errorf("found %q, want the first, %q", l.Code, first.Code)
	}
	// Elsewhere it has the same code.
	other := newWorld(t, func(s *link.Settings) { s.Codes = link.HashCodes{Rand: rand.Reader} })
	if l := other.create(t, ann, link.Creation{}); l.Code != first.Code {
		t.Errorf("elsewhere %q, want %q", l.Code, first.Code)
	}
}

type countingStore struct {
	link.Store
	inserts *int
}

func (s countingStore) Insert(ctx context.Context, n link.New) (link.Link, link.Outcome, error) {
	*s.inserts++
	return s.Store.Insert(ctx, n)
}

// TestStrategyAndLengthMayChange makes links under one strategy and length after
// the other, over one store: none is lost, none is given another's code, and a
// sequence goes on where it was.
func TestStrategyAndLengthMayChange(t *testing.T) {
	links := memory.NewLinks()
	store := memory.NewCodes(links)
	made := map[link.Code]link.Href{}
	for step, s := range []struct {
		strategy link.Strategy
		length   int
	}{
		{link.Sequence, 6},
		{link.Random, 6},
		{link.Sequence, 6},
		{link.Sequence, 7},
		{link.Pooled, 7},
		{link.Hash, 6},
		{link.Snowflake, 7},
		{link.Sequence, 6},
	} {
		w := newWorld(t, func(settings *link.Settings) {
			settings.Store, settings.CodeLength = links, s.length
			settings.Codes = strategies(store, s.length, fmt.Sprint(step))[s.strategy]
			settings.IDs = link.NewIDs(time.Now, rand.Reader)
		})
		for i := range 300 {
			l := w.create(t, ann, link.Creation{LongURL: fmt.Sprintf("https://example.com/%d/%d", step, i)})
			if made[l.Code] != "" {
				t.Fatalf("step %d: %q belongs to %s", step, l.Code, made[l.Code])
			}
			if len(l.Code) != s.length && s.strategy != link.Snowflake {
				t.Errorf("step %d: %q", step, l.Code)
			}
			made[l.Code] = l.Destination
		}
		if len(w.warnings) > 0 {
			t.Errorf("step %d: %q", step, w.warnings)
		}
	}
	for code, destination := range made {
		if l, err := links.Get(t.Context(), link.Key{Code: code}); err != nil || l.Destination != destination {
			t.Errorf("%q leads to %q, want %q, %v", code, l.Destination, destination, err)
		}
	}
}
