package contracttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
)

// CodeStore is what strategies of codes keep in a store.
type CodeStore interface {
	link.Numbers
	link.Pool
	link.Nodes
}

// Codes tests link.Numbers, link.Pool and link.Nodes. Open gives new, empty
// ones, with the store of the links beside them.
func Codes(t *testing.T, open func(t *testing.T) (CodeStore, link.Store)) {
	for name, test := range map[string]func(*testing.T, CodeStore, link.Store){
		"Reserve":                        reserveInARow,
		"Reserve/race":                   reserveRace,
		"Reserve/none":                   reserveNone,
		"Pool/round trip":                poolRoundTrip,
		"Pool/never twice":               poolNeverTwice,
		"Pool/codes of links":            poolOfLinks,
		"Pool/many":                      poolMany,
		"Pool/race":                      poolRace,
		"Lease/kept and lent again":      leaseAgain,
		"Lease/race":                     leaseRace,
		"Lease/all are lent":             leaseAll,
		"cancelled context does nothing": codesCancelled,
	} {
		t.Run(name, func(t *testing.T) {
			codes, links := open(t)
			test(t, codes, links)
		})
	}
}

func reserve(t *testing.T, s link.Numbers, name string, n int64) int64 {
	t.Helper()
	first, err := s.Reserve(t.Context(), name, n)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func reserveInARow(t *testing.T, s CodeStore, _ link.Store) {
	want := int64(0)
	for _, n := range []int64{1, 1000, 3, 1 << 40, 1} {
		if got := reserve(t, s, "a", n); got != want {
			t.Errorf("%d numbers from %d, want %d", n, got, want)
		}
		want += n
	}
	if got := reserve(t, s, "b", 5); got != 0 {
		t.Errorf("another name begins at %d", got)
	}
}

func reserveNone(t *testing.T, s CodeStore, _ link.Store) {
	for _, n := range []int64{0, -1} {
		if _, err := s.Reserve(t.Context(), "a", n); err == nil {
			t.Errorf("%d numbers were reserved", n)
		}
	}
}

func reserveRace(t *testing.T, s CodeStore, _ link.Store) {
	var mu sync.Mutex
	var firsts []int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				first, err := s.Reserve(t.Context(), "a", 10)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				firsts = append(firsts, first)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(firsts)
	for i, first := range firsts {
		if first != int64(10*i) {
			t.Fatalf("reservation %d begins at %d", i, first)
		}
	}
}

func someCodes(from, n int) []link.Code {
	codes := make([]link.Code, n)
	for i := range codes {
		codes[i] = link.Code(fmt.Sprintf("c%06d", from+i))
	}
	return codes
}

func addCodes(t *testing.T, s link.Pool, length int, codes []link.Code, want int) {
	t.Helper()
	if added, err := s.Add(t.Context(), length, codes); err != nil || added != want {
		t.Fatalf("added %d, %v, want %d", added, err, want)
	}
}

func takeCodes(t *testing.T, s link.Pool, length, n int) []link.Code {
	t.Helper()
	codes, err := s.Take(t.Context(), length, n)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(codes)
	return codes
}

func leftCodes(t *testing.T, s link.Pool, length, want int) {
	t.Helper()
	if left, err := s.Left(t.Context(), length); err != nil || left != want {
		t.Errorf("%d left, %v, want %d", left, err, want)
	}
}

func poolRoundTrip(t *testing.T, s CodeStore, _ link.Store) {
	leftCodes(t, s, 7, 0)
	if got := takeCodes(t, s, 7, 5); len(got) != 0 {
		t.Errorf("an empty pool gave %v", got)
	}
	addCodes(t, s, 7, someCodes(0, 10), 10)
	addCodes(t, s, 6, []link.Code{"abcdef"}, 1)
	leftCodes(t, s, 7, 10)
	first := takeCodes(t, s, 7, 4)
	if len(first) != 4 {
		t.Errorf("took %v", first)
	}
	leftCodes(t, s, 7, 6)
	rest := takeCodes(t, s, 7, 100)
	if all := slices.Sorted(slices.Values(append(rest, first...))); !slices.Equal(all, someCodes(0, 10)) {
		t.Errorf("all are %v", all)
	}
	leftCodes(t, s, 7, 0)
	if got := takeCodes(t, s, 6, 100); !slices.Equal(got, []link.Code{"abcdef"}) {
		t.Errorf("of the other length: %v", got)
	}
}

func poolNeverTwice(t *testing.T, s CodeStore, _ link.Store) {
	addCodes(t, s, 7, someCodes(0, 10), 10)
	addCodes(t, s, 7, someCodes(5, 10), 5)
	addCodes(t, s, 7, []link.Code{"twice00", "twice00"}, 1)
	if got := takeCodes(t, s, 7, 100); len(got) != 16 || len(slices.Compact(got)) != 16 {
		t.Errorf("took %v", got)
	}
	addCodes(t, s, 7, someCodes(0, 16), 1)
	if got := takeCodes(t, s, 7, 100); !slices.Equal(got, someCodes(15, 1)) {
		t.Errorf("added again, took %v", got)
	}
}

// A code that a link has is left out, also once the pool may forget it.
func poolOfLinks(t *testing.T, s CodeStore, links link.Store) {
	alias := plain(1)
	alias.Key = link.Key{Domain: "go.example", Code: "c000003"}
	if _, _, err := links.Insert(t.Context(), link.New{Link: alias}); err != nil {
		t.Fatal(err)
	}
	addCodes(t, s, 7, someCodes(0, 5), 4)
	for i, code := range takeCodes(t, s, 7, 2) {
		l := plain(10 + i)
		l.Code = code
		if _, _, err := links.Insert(t.Context(), link.New{Link: l}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		addCodes(t, s, 7, someCodes(0, 5), 0)
	}
	if got := takeCodes(t, s, 7, 5); len(got) != 2 {
		t.Errorf("took %v", got)
	}
	addCodes(t, s, 7, someCodes(0, 5), 0)
	if got := takeCodes(t, s, 7, 5); len(got) != 0 {
		t.Errorf("took %v again", got)
	}
}

func poolMany(t *testing.T, s CodeStore, _ link.Store) {
	if _, err := s.Add(t.Context(), 7, someCodes(0, link.MaxPoolAdd+1)); err == nil {
		t.Error("more than MaxPoolAdd were added")
	}
	addCodes(t, s, 7, someCodes(0, link.MaxPoolAdd), link.MaxPoolAdd)
	addCodes(t, s, 7, someCodes(link.MaxPoolAdd, link.MaxPoolAdd), link.MaxPoolAdd)
	if got := takeCodes(t, s, 7, link.PoolTaken); len(got) != 2*link.MaxPoolAdd {
		t.Errorf("took %d", len(got))
	}
}

func poolRace(t *testing.T, s CodeStore, _ link.Store) {
	var mu sync.Mutex
	var got []link.Code
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 10 {
				// Neighbours add the same ones.
				if _, err := s.Add(t.Context(), 7, someCodes(50*(i+j), 100)); err != nil {
					t.Error(err)
				}
				codes, err := s.Take(t.Context(), 7, 30)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got = append(got, codes...)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	got = append(got, takeCodes(t, s, 7, 10_000)...)
	slices.Sort(got)
	if want := someCodes(0, 50*12+100); !slices.Equal(got, want) {
		t.Errorf("%d codes, %d of them different, want %d", len(got), len(slices.Compact(got)), len(want))
	}
}

func lease(t *testing.T, s link.Nodes, holder string, from, to int) int {
	t.Helper()
	node, err := s.Lease(t.Context(), holder, at(from), at(to))
	if err != nil || node < 0 || node >= link.MaxNodes {
		t.Fatal(node, err)
	}
	return node
}

func leaseAgain(t *testing.T, s CodeStore, _ link.Store) {
	a, b := lease(t, s, "a", 0, 10), lease(t, s, "b", 0, 20)
	if a == b {
		t.Errorf("both have %d", a)
	}
	if got := lease(t, s, "a", 5, 15); got != a {
		t.Errorf("renewed: %d, want %d", got, a)
	}
	if c := lease(t, s, "c", 12, 100); c == a || c == b {
		t.Errorf("while it is lent to another: %d", c)
	}
	// A clock that went back gets none that was lent beyond.
	if c := lease(t, s, "d", 1, 2); c == a || c == b {
		t.Errorf("lent by a clock that went back: %d", c)
	}
	if c := lease(t, s, "e", 15, 100); c != a && c != b {
		t.Errorf("at its very end it is not lent again: %d", c)
	}
}

func leaseRace(t *testing.T, s CodeStore, _ link.Store) {
	var mu sync.Mutex
	nodes := map[int]string{}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			holder := fmt.Sprint("holder", i)
			for range 5 {
				node, err := s.Lease(t.Context(), holder, at(0), at(10))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if other := nodes[node]; other != "" && other != holder {
					t.Errorf("%d is lent to %s and %s", node, holder, other)
				}
				nodes[node] = holder
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(nodes) != 16 {
		t.Errorf("%d numbers were lent", len(nodes))
	}
}

func leaseAll(t *testing.T, s CodeStore, _ link.Store) {
	for i := range link.MaxNodes {
		lease(t, s, fmt.Sprint("holder", i), 0, 10)
	}
	if node, err := s.Lease(t.Context(), "one more", at(9), at(20)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%d, %v", node, err)
	}
	lease(t, s, "holder7", 9, 20)
	lease(t, s, "one more", 10, 20)
}

func codesCancelled(t *testing.T, s CodeStore, _ link.Store) {
	addCodes(t, s, 7, someCodes(0, 3), 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Reserve(ctx, "a", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Reserve: %v", err)
	}
	if _, err := s.Add(ctx, 7, someCodes(5, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Add: %v", err)
	}
	if _, err := s.Take(ctx, 7, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Take: %v", err)
	}
	if _, err := s.Lease(ctx, "a", time.Now(), time.Now()); !errors.Is(err, context.Canceled) {
		t.Errorf("Lease: %v", err)
	}
	leftCodes(t, s, 7, 3)
	if got := reserve(t, s, "a", 1); got != 0 {
		t.Errorf("the first number is %d", got)
	}
}
