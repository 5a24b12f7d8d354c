// Package contracttest has one suite a contract, which every adapter of the
// contract must pass. A suite tests each sentence of the contract's comments
// and nothing that they leave open. Tests alone may import it.
package contracttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// Links tests a link.Store. Open gives a new, empty store.
func Links(t *testing.T, open func(t *testing.T) link.Store) {
	for name, test := range map[string]func(*testing.T, link.Store){
		"Insert/round trip":               insertRoundTrip,
		"Insert/key taken":                insertKeyTaken,
		"Insert/ID taken":                 insertIDTaken,
		"Insert/operation repeated":       insertRepeated,
		"Insert/content found":            insertContentFound,
		"Insert/destination found":        insertDestinationFound,
		"Insert/oldest is found":          insertOldestFound,
		"Insert/revoked is not found":     insertRevokedNotFound,
		"Insert/nobody's is not found":    insertNobodysNotFound,
		"Insert/race for a key":           insertKeyRace,
		"Insert/race of a match":          insertMatchRace,
		"Insert/race of an operation":     insertOperationRace,
		"InsertMany/each by itself":       insertMany,
		"InsertMany/race":                 insertManyRace,
		"Get and Route/not there":         readMissing,
		"Keys":                            keysOfIDs,
		"Update/round trip":               updateRoundTrip,
		"Update/fixed fields":             updateFixedFields,
		"Update/version":                  updateVersion,
		"Update/race for a version":       updateRace,
		"Update/not there":                updateMissing,
		"Update/duplicate content":        updateDuplicateContent,
		"Update/race for one content":     updateContentRace,
		"Walk":                            walk,
		"Changes":                         changesFeed,
		"Changes/unknown mark":            changesUnknown,
		"Changes/pages":                   changesPages,
		"Page/orders":                     pageOrders,
		"Page/stable under inserts":       pageStable,
		"Page/filters":                    pageFilters,
		"Page/status at its boundaries":   pageStatus,
		"Page/text is no pattern":         pageText,
		"cancelled context does nothing":  cancelledContext,
		"results are the caller's own":    resultsAreOwn,
		"random calls agree with a model": linksModel,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// epoch is the time that the suites count from.
var epoch = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// at gives a moment some seconds after epoch.
func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

// plain gives the nth link: the smallest that there can be. IDs and times of
// creation grow with n.
func plain(n int) link.Link {
	return link.Link{
		Key:            link.Key{Code: link.Code(fmt.Sprintf("code%04d", n))},
		ID:             link.ID(1000 + n),
		Destination:    link.Href(fmt.Sprintf("https://example.com/%d", n)),
		RedirectStatus: 302,
		CreatedAt:      at(n),
		UpdatedAt:      at(n),
		Version:        1,
	}
}

// full gives the nth link with every field set.
func full(n int) link.Link {
	l := plain(n)
	l.Domain = "go.example:8443"
	l.Owner = account.ID(1<<62 + n)
	l.Destination = "https://xn--bcher-kva.example/%F0%9F%A6%8A?q=1#%C3%BC"
	l.Alias = true
	l.PriorClicks = 1<<40 + int64(n)
	l.ContentID = "inhalt/🦊 'quoted\" \\ %_"
	l.Title = "Füchse 🦊 & “Quotes” \u200d\u202e Ω"
	l.Notes = "line one\nline two\t'; DROP TABLE link; --"
	l.Tags = []string{"", "a,b", "grün", "x\"y", "🦊"}
	l.RedirectStatus = 308
	l.EdgeTTL = 90 * time.Second
	l.ForwardQuery = true
	l.StartsAt = time.UnixMilli(0).UTC() // not the zero time
	l.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
	l.RevokedAt = at(1e6).Add(time.Millisecond)
	l.ArchivedAt = at(1e6 + 1)
	l.ExpiredURL = "http://example.org/over?"
	l.CreatedAt = at(n).Add(123 * time.Millisecond)
	l.UpdatedAt = at(n).Add(456 * time.Millisecond)
	l.Operation = link.Operation{1, 2, 3, 0, 255, byte(n)}
	return l
}

// owned gives the nth link as an owner's with a destination and content.
func owned(n int, owner account.ID, to link.Href, content string) link.Link {
	l := plain(n)
	l.Owner, l.Destination, l.ContentID = owner, to, content
	return l
}

var (
	alike      = cmpopts.EquateEmpty()
	unloaded   = cmpopts.IgnoreFields(link.Route{}, "LoadedAt")
	somewhere  = link.Href("https://example.com/somewhere")
	elsewhere  = link.Href("https://example.com/elsewhere")
	racersMany = 200
)

func insert(t *testing.T, s link.Store, l link.Link) link.Link {
	t.Helper()
	got, outcome, err := s.Insert(t.Context(), link.New{Link: l, At: l.CreatedAt})
	if err != nil || outcome != link.Inserted {
		t.Fatalf("Insert %s: outcome %d, error %v", l.Code, outcome, err)
	}
	return got
}

func update(t *testing.T, s link.Store, l link.Link) link.Link {
	t.Helper()
	got, err := s.Update(t.Context(), l)
	if err != nil {
		t.Fatalf("Update %s: %v", l.Code, err)
	}
	return got
}

// wantStored checks what the store gives for the link's key.
func wantStored(t *testing.T, s link.Store, want link.Link) {
	t.Helper()
	got, err := s.Get(t.Context(), want.Key)
	if err != nil {
		t.Fatalf("Get %v: %v", want.Key, err)
	}
	if diff := cmp.Diff(want, got, alike); diff != "" {
		t.Errorf("Get %v (-want +got):\n%s", want.Key, diff)
	}
	route, err := s.Route(t.Context(), want.Key)
	if err != nil {
		t.Fatalf("Route %v: %v", want.Key, err)
	}
	if diff := cmp.Diff(want.Route(), route, unloaded); diff != "" {
		t.Errorf("Route %v (-want +got):\n%s", want.Key, diff)
	}
	for _, moment := range []time.Time{
		got.StartsAt, got.ExpiresAt, got.RevokedAt, got.CreatedAt, got.UpdatedAt,
		route.StartsAt, route.ExpiresAt, route.RevokedAt,
	} {
		if moment.Location() != time.UTC {
			t.Errorf("%v is not in UTC", moment)
		}
	}
}

func wantCode(t *testing.T, what string, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("%s: error %v, want %s", what, err, code)
	}
}

func insertRoundTrip(t *testing.T, s link.Store) {
	other := full(3) // the same code in another domain is another link
	other.Domain, other.Operation = "go.example", link.Operation{}
	upper := plain(4) // as is the code in other letters
	upper.Code = "CODE0002"
	revoked := plain(5)
	revoked.RevokedAt = at(0)
	long := plain(6)
	long.Destination = link.Href("https://example.com/" + strings.Repeat("x", 8172))
	long.Code = link.Code(strings.Repeat("z", link.MaxCode))
	links := []link.Link{plain(1), full(2), other, upper, revoked, long}
	links[2].Code = links[1].Code
	for _, l := range links {
		if diff := cmp.Diff(l, insert(t, s, l), alike); diff != "" {
			t.Errorf("Insert %v gave back (-want +got):\n%s", l.Key, diff)
		}
	}
	for _, l := range links {
		wantStored(t, s, l)
	}
}

func insertKeyTaken(t *testing.T, s link.Store) {
	active, revoked, expired := plain(1), plain(2), plain(3)
	revoked.RevokedAt = at(2)
	expired.ExpiresAt = at(3)
	for i, l := range []link.Link{active, revoked, expired} {
		insert(t, s, l)
		again := owned(10+i, 7, elsewhere, "content")
		again.Key = l.Key
		for _, match := range []link.Match{link.MatchNone, link.MatchContent, link.MatchDestination} {
			_, _, err := s.Insert(t.Context(), link.New{Link: again, Match: match, At: at(100)})
			wantCode(t, "Insert of a taken key", err, fault.AliasTaken)
		}
		wantStored(t, s, l)
	}
	_, _, err := s.Insert(t.Context(), link.New{Link: active, At: at(100)})
	wantCode(t, "Insert of a taken key and ID", err, fault.AliasTaken)
	withOperation := plain(20)
	withOperation.Key, withOperation.Operation = active.Key, link.Operation{9}
	_, _, err = s.Insert(t.Context(), link.New{Link: withOperation, At: at(100)})
	wantCode(t, "Insert of a taken key in an operation", err, fault.AliasTaken)
	withOperation.Code = "free" // what was refused may be tried anew
	insert(t, s, withOperation)
}

func insertIDTaken(t *testing.T, s link.Store) {
	insert(t, s, plain(1))
	again := plain(2)
	again.ID = plain(1).ID
	if _, _, err := s.Insert(t.Context(), link.New{Link: again}); !errors.Is(err, link.ErrIDTaken) {
		t.Errorf("Insert of a taken ID: error %v", err)
	}
	_, err := s.Get(t.Context(), again.Key)
	wantCode(t, "Get of what was refused", err, fault.URLNotFound)
	again.ID++
	insert(t, s, again)
}

func insertRepeated(t *testing.T, s link.Store) {
	first := full(1)
	insert(t, s, first)
	older := owned(2, first.Owner, somewhere, "")
	insert(t, s, older)
	first.Title = "changed since"
	first.UpdatedAt = at(50)
	first = update(t, s, first)

	newKey := plain(3)
	newKey.Operation = first.Operation
	sameKey := newKey
	sameKey.Key = first.Key
	matching := owned(4, first.Owner, somewhere, "")
	matching.Operation = first.Operation
	for name, n := range map[string]link.New{
		"another key":            {Link: newKey},
		"the same key":           {Link: sameKey},
		"a match with another":   {Link: matching, Match: link.MatchDestination, At: at(60)},
		"exactly the first link": {Link: full(1), Match: link.MatchContent, At: at(60)},
	} {
		got, outcome, err := s.Insert(t.Context(), n)
		if err != nil || outcome != link.Repeated {
			t.Errorf("%s: outcome %d, error %v; want Repeated", name, outcome, err)
		}
		if diff := cmp.Diff(first, got, alike); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	_, err := s.Get(t.Context(), newKey.Key)
	wantCode(t, "Get of what was not stored", err, fault.URLNotFound)
	// The zero operation names none.
	insert(t, s, plain(5))
	insert(t, s, plain(6))
}

// race calls do from many goroutines at once and gives their errors.
func race(n int, do func(i int) error) []error {
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func insertKeyRace(t *testing.T, s link.Store) {
	key := plain(0).Key
	winner := -1
	var mu sync.Mutex
	errs := race(racersMany, func(i int) error {
		l := plain(i)
		l.Key = key
		_, outcome, err := s.Insert(t.Context(), link.New{Link: l})
		if err == nil && outcome == link.Inserted {
			mu.Lock()
			defer mu.Unlock()
			if winner >= 0 {
				return fmt.Errorf("%d and %d both won", winner, i)
			}
			winner = i
			return nil
		}
		if !fault.Is(err, fault.AliasTaken) {
			return fmt.Errorf("outcome %d, error %w", outcome, err)
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	want := plain(winner)
	want.Key = key
	wantStored(t, s, want)
}

func insertMatchRace(t *testing.T, s link.Store) {
	for i, match := range []link.Match{link.MatchContent, link.MatchDestination} {
		owner := account.ID(i + 1)
		raceForOne(t, s, link.Found, func(n int) link.New {
			l := owned(1000*i+n, owner, somewhere, "content")
			return link.New{Link: l, Match: match, At: at(0)}
		})
	}
}

func insertOperationRace(t *testing.T, s link.Store) {
	raceForOne(t, s, link.Repeated, func(n int) link.New {
		l := plain(n)
		l.Operation = link.Operation{42}
		return link.New{Link: l}
	})
}

// raceForOne inserts many at once: one is to be inserted, and all others are to
// be given it.
func raceForOne(t *testing.T, s link.Store, others link.Outcome, draft func(n int) link.New) {
	t.Helper()
	ids := map[link.ID]int{}
	outcomes := map[link.Outcome]int{}
	var mu sync.Mutex
	errs := race(racersMany, func(i int) error {
		got, outcome, err := s.Insert(t.Context(), draft(i))
		mu.Lock()
		defer mu.Unlock()
		ids[got.ID]++
		outcomes[outcome]++
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 1 || outcomes[link.Inserted] != 1 || outcomes[others] != racersMany-1 {
		t.Errorf("%d links, outcomes %v", len(ids), outcomes)
	}
}

func readMissing(t *testing.T, s link.Store) {
	l := plain(1)
	insert(t, s, l)
	for _, k := range []link.Key{
		{Code: "nothere"},
		{Code: l.Code, Domain: "go.example"},
		{Code: "CODE0001"},
		{Code: "code000_"},
	} {
		_, err := s.Get(t.Context(), k)
		wantCode(t, fmt.Sprintf("Get %v", k), err, fault.URLNotFound)
		_, err = s.Route(t.Context(), k)
		wantCode(t, fmt.Sprintf("Route %v", k), err, fault.URLNotFound)
	}
}

func keysOfIDs(t *testing.T, s link.Store) {
	first, second, gone := plain(1), full(2), plain(3)
	insert(t, s, first)
	insert(t, s, second)
	gone = insert(t, s, gone)
	gone.RevokedAt = at(0)
	if _, err := s.Update(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	got, err := s.Keys(t.Context(), []link.ID{second.ID, 1, gone.ID, first.ID, second.ID})
	want := map[link.ID]link.Key{first.ID: first.Key, second.ID: second.Key, gone.ID: gone.Key}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("keys (-want +got), error %v:\n%s", err, diff)
	}
	if got, err := s.Keys(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no IDs: %v, error %v", got, err)
	}
}

func cancelledContext(t *testing.T, s link.Store) {
	l := plain(1)
	insert(t, s, l)
	_, mark, err := s.Changes(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Keys(ctx, []link.ID{l.ID}); err == nil {
		t.Error("Keys with a context that ended: no error")
	}
	changed := l
	changed.Title = "changed"
	errs := map[string]error{}
	_, _, errs["Insert"] = s.Insert(ctx, link.New{Link: plain(2)})
	_, errs["Update"] = s.Update(ctx, changed)
	_, errs["Get"] = s.Get(ctx, l.Key)
	_, errs["Get of nothing"] = s.Get(ctx, plain(3).Key)
	_, errs["Route of nothing"] = s.Route(ctx, plain(3).Key)
	_, _, errs["Page"] = s.Page(ctx, link.Query{Limit: 10})
	_, _, errs["Changes"] = s.Changes(ctx, 0)
	for method, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want context.Canceled", method, err)
		}
	}
	wantStored(t, s, l)
	_, err = s.Get(t.Context(), plain(2).Key)
	wantCode(t, "Get of what was not stored", err, fault.URLNotFound)
	if keys, _, err := s.Changes(t.Context(), mark); err != nil || len(keys) != 0 {
		t.Errorf("Changes: %v, error %v", keys, err)
	}
}

// resultsAreOwn checks that neither the caller's nor the store's later changes
// show in what was handed over.
func resultsAreOwn(t *testing.T, s link.Store) {
	l := full(1)
	given := l
	given.Tags = append([]string(nil), l.Tags...)
	got := insert(t, s, given)
	given.Tags[0], got.Tags[1] = "mine", "mine too"
	wantStored(t, s, l)
	got, err := s.Get(t.Context(), l.Key)
	if err != nil {
		t.Fatal(err)
	}
	got.Tags[2] = "mine as well"
	wantStored(t, s, l)
}
