package contracttest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// wantFound checks that Insert of n gives the link with want's ID.
func wantFound(t *testing.T, s link.Store, n link.New, want link.Link) {
	t.Helper()
	got, outcome, err := s.Insert(t.Context(), n)
	if err != nil || outcome != link.Found {
		t.Fatalf("Insert %s: outcome %d, error %v; want Found", n.Link.Code, outcome, err)
	}
	if diff := cmp.Diff(want, got, alike); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	_, err = s.Get(t.Context(), n.Link.Key)
	wantCode(t, "Get of what was not stored", err, fault.URLNotFound)
}

func wantInserted(t *testing.T, s link.Store, n link.New) {
	t.Helper()
	_, outcome, err := s.Insert(t.Context(), n)
	if err != nil || outcome != link.Inserted {
		t.Errorf("Insert %s: outcome %d, error %v; want Inserted", n.Link.Code, outcome, err)
	}
}

func insertContentFound(t *testing.T, s link.Store) {
	first := owned(1, 7, somewhere, "content")
	insert(t, s, first)
	content := func(l link.Link) link.New { return link.New{Link: l, Match: link.MatchContent, At: at(50)} }
	wantFound(t, s, content(owned(2, 7, somewhere, "content")), first)
	wantInserted(t, s, content(owned(3, 8, somewhere, "content")))
	wantInserted(t, s, content(owned(4, 7, elsewhere, "content")))
	wantInserted(t, s, content(owned(5, 7, somewhere, "Content")))
	// Without a match the same content is no obstacle.
	insert(t, s, owned(6, 7, somewhere, "content"))
}

func insertDestinationFound(t *testing.T, s link.Store) {
	first := owned(1, 7, somewhere, "content")
	insert(t, s, first)
	destination := func(l link.Link) link.New {
		return link.New{Link: l, Match: link.MatchDestination, At: at(50)}
	}
	wantFound(t, s, destination(owned(2, 7, somewhere, "")), first)
	wantInserted(t, s, destination(owned(3, 8, somewhere, "")))
	wantInserted(t, s, destination(owned(4, 7, elsewhere, "")))
	wantInserted(t, s, destination(owned(5, 7, somewhere+"?", "")))
	// The taken key of a found link's creation is no conflict.
	again := owned(6, 7, somewhere, "")
	again.Key = first.Key
	if got, outcome, err := s.Insert(t.Context(), destination(again)); err != nil || outcome != link.Found || got.ID != first.ID {
		t.Errorf("outcome %d of link %d, error %v", outcome, got.ID, err)
	}
	// A changed destination is found, the one before no longer.
	first.Destination = "https://example.com/moved"
	first.UpdatedAt = at(60)
	first = update(t, s, first)
	wantFound(t, s, destination(owned(7, 7, first.Destination, "")), first)
	wantInserted(t, s, destination(owned(8, 7, somewhere, "")))
}

func insertOldestFound(t *testing.T, s link.Store) {
	newest, oldest, middle := owned(30, 7, somewhere, "c"), owned(10, 7, somewhere, "c"), owned(20, 7, somewhere, "c")
	for _, l := range []link.Link{newest, oldest, middle} {
		insert(t, s, l)
	}
	for _, match := range []link.Match{link.MatchContent, link.MatchDestination} {
		wantFound(t, s, link.New{Link: owned(40, 7, somewhere, "c"), Match: match, At: at(50)}, oldest)
	}
}

func insertRevokedNotFound(t *testing.T, s link.Store) {
	revoked := owned(1, 7, somewhere, "c")
	revoked.RevokedAt = at(10)
	insert(t, s, revoked)
	expired := owned(2, 8, somewhere, "c")
	expired.ExpiresAt = at(3)
	insert(t, s, expired)
	for i, match := range []link.Match{link.MatchContent, link.MatchDestination} {
		n := link.New{Link: owned(10+i, 7, somewhere, "c"), Match: match}
		n.At = at(10).Add(-time.Millisecond) // until then it is unrevoked
		wantFound(t, s, n, revoked)
	}
	// An expired link is not revoked, but works no longer.
	n := link.New{Link: owned(12, 8, somewhere, "c"), Match: link.MatchContent, At: at(3)}
	wantFound(t, s, n, expired)
	n.Match, n.At = link.MatchDestination, at(3).Add(-time.Millisecond)
	wantFound(t, s, n, expired)
	n.At = at(3)
	wantInserted(t, s, n)
	bare := owned(13, 9, somewhere, "")
	bare.ExpiresAt = at(3)
	insert(t, s, bare)
	wantFound(t, s, link.New{Link: owned(14, 9, somewhere, ""), Match: link.MatchContent, At: at(3)}, bare)
	next := link.New{Link: owned(20, 7, somewhere, "c"), Match: link.MatchContent, At: at(10)}
	wantInserted(t, s, next)
	third := link.New{Link: owned(21, 7, somewhere, "c"), Match: link.MatchDestination, At: at(11)}
	wantFound(t, s, third, next.Link)
}

func insertNobodysNotFound(t *testing.T, s link.Store) {
	n := 0
	for range 2 {
		for _, match := range []link.Match{link.MatchContent, link.MatchDestination} {
			n++
			wantInserted(t, s, link.New{Link: owned(n, 0, somewhere, "c"), Match: match, At: at(50)})
		}
	}
}

func updateRoundTrip(t *testing.T, s link.Store) {
	bare, rich := plain(1), full(2)
	insert(t, s, bare)
	insert(t, s, rich)
	// Everything appears and everything goes.
	to := full(1)
	to.Key, to.ID, to.Owner, to.ContentID, to.Alias, to.CreatedAt, to.Operation =
		bare.Key, bare.ID, bare.Owner, bare.ContentID, bare.Alias, bare.CreatedAt, bare.Operation
	to.PriorClicks = bare.PriorClicks
	from := rich
	from.Title, from.Notes, from.Tags, from.ExpiredURL = "", "", nil, ""
	from.RedirectStatus, from.EdgeTTL, from.ForwardQuery = 301, 0, false
	from.StartsAt, from.ExpiresAt, from.RevokedAt = time.Time{}, time.Time{}, time.Time{}
	from.Destination = somewhere
	from.UpdatedAt = at(99)
	for _, l := range []link.Link{to, from} {
		got := update(t, s, l)
		l.Version = 2
		if diff := cmp.Diff(l, got, alike); diff != "" {
			t.Errorf("Update gave back (-want +got):\n%s", diff)
		}
		wantStored(t, s, l)
	}
}

func updateFixedFields(t *testing.T, s link.Store) {
	for i, was := range []link.Link{full(1), plain(2)} {
		insert(t, s, was)
		l := full(50 + i)
		l.Key = was.Key
		if i == 0 {
			l.Alias = false
		}
		got := update(t, s, l)
		want := l
		want.ID, want.Owner, want.ContentID, want.Alias, want.CreatedAt, want.Operation =
			was.ID, was.Owner, was.ContentID, was.Alias, was.CreatedAt, was.Operation
		want.PriorClicks, want.Version = was.PriorClicks, 2
		if diff := cmp.Diff(want, got, alike); diff != "" {
			t.Errorf("Update gave back (-want +got):\n%s", diff)
		}
		wantStored(t, s, want)
	}
}

func updateVersion(t *testing.T, s link.Store) {
	l := plain(1)
	insert(t, s, l)
	for version := int64(2); version <= 4; version++ {
		l.Title = fmt.Sprintf("title %d", version)
		l = update(t, s, l)
		if l.Version != version {
			t.Fatalf("version %d, want %d", l.Version, version)
		}
	}
	_, mark, err := s.Changes(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []int64{0, 1, 3, 5} {
		stale := l
		stale.Version, stale.Title = version, "stale"
		_, err := s.Update(t.Context(), stale)
		wantCode(t, fmt.Sprintf("Update of version %d", version), err, fault.PreconditionFailed)
	}
	wantStored(t, s, l)
	if keys, _, err := s.Changes(t.Context(), mark); err != nil || len(keys) != 0 {
		t.Errorf("Changes after refusals: %v, error %v", keys, err)
	}
}

func updateRace(t *testing.T, s link.Store) {
	insert(t, s, plain(1))
	var mu sync.Mutex
	var winner link.Link
	won := 0
	errs := race(racersMany, func(i int) error {
		l := plain(1)
		l.Title = fmt.Sprintf("title %d", i)
		got, err := s.Update(t.Context(), l)
		if fault.Is(err, fault.PreconditionFailed) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		winner = got
		won++
		return err
	})
	if err := errors.Join(errs...); err != nil || won != 1 {
		t.Fatalf("%d won, error %v", won, err)
	}
	wantStored(t, s, winner)
}

func updateMissing(t *testing.T, s link.Store) {
	insert(t, s, plain(1))
	_, err := s.Update(t.Context(), plain(2))
	wantCode(t, "Update", err, fault.URLNotFound)
	elsewhere := plain(1)
	elsewhere.Domain = "go.example"
	_, err = s.Update(t.Context(), elsewhere)
	wantCode(t, "Update in another domain", err, fault.URLNotFound)
}

func updateDuplicateContent(t *testing.T, s link.Store) {
	revoked := owned(1, 7, somewhere, "c")
	revoked.RevokedAt = at(2)
	current := owned(3, 7, somewhere, "c")
	away := owned(4, 7, elsewhere, "c")
	for _, l := range []link.Link{revoked, current, away} {
		insert(t, s, l)
	}
	refused := func(what string, l link.Link, change func(*link.Link)) {
		t.Helper()
		was := l
		change(&l)
		_, err := s.Update(t.Context(), l)
		wantCode(t, what, err, fault.AlreadyExists)
		wantStored(t, s, was)
	}
	done := func(l link.Link, change func(*link.Link)) link.Link {
		t.Helper()
		change(&l)
		return update(t, s, l)
	}
	restore := func(l *link.Link) { l.RevokedAt, l.UpdatedAt = time.Time{}, at(10) }
	postpone := func(l *link.Link) { l.RevokedAt, l.UpdatedAt = at(20), at(10) }
	move := func(l *link.Link) { l.Destination, l.UpdatedAt = somewhere, at(10) }

	_, mark, err := s.Changes(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	refused("restoring", revoked, restore)
	refused("revoking later", revoked, postpone)
	refused("moving", away, move)
	if keys, _, err := s.Changes(t.Context(), mark); err != nil || len(keys) != 0 {
		t.Errorf("Changes after refusals: %v, error %v", keys, err)
	}
	revoked = done(revoked, func(l *link.Link) { l.Title, l.UpdatedAt = "still revoked", at(10) })
	current = done(current, func(l *link.Link) { l.Title, l.UpdatedAt = "still the one", at(10) })
	// As long as its end is in the future, current is unrevoked.
	current = done(current, func(l *link.Link) { l.RevokedAt, l.UpdatedAt = at(30), at(11) })
	refused("restoring beside one that will be revoked", revoked, restore)
	revoked = done(revoked, func(l *link.Link) { l.RevokedAt, l.UpdatedAt = time.Time{}, at(30) })
	refused("restoring the other", current, func(l *link.Link) { l.RevokedAt, l.UpdatedAt = time.Time{}, at(31) })
	revoked = done(revoked, func(l *link.Link) { l.Destination, l.UpdatedAt = "https://example.com/free", at(32) })
	done(current, func(l *link.Link) { l.RevokedAt, l.UpdatedAt = time.Time{}, at(33) })
	refused("moving back", revoked, func(l *link.Link) { l.Destination, l.UpdatedAt = somewhere, at(34) })

	// Other owners, nobody, and links without content may be alike.
	n := 10
	for _, kind := range []struct {
		owner   account.ID
		content string
	}{{7, ""}, {8, "c"}, {0, "c"}, {0, ""}} {
		insert(t, s, owned(n, kind.owner, somewhere, kind.content))
		second := owned(n+1, kind.owner, elsewhere, kind.content)
		if kind.owner == 8 {
			second.ContentID = "another"
		}
		insert(t, s, second)
		done(second, move)
		n += 2
	}
}

func updateContentRace(t *testing.T, s link.Store) {
	const n = 50
	for i := range n {
		l := owned(i, 7, somewhere, "c")
		l.RevokedAt = at(0)
		insert(t, s, l)
	}
	var mu sync.Mutex
	won := 0
	errs := race(n, func(i int) error {
		l := owned(i, 7, somewhere, "c")
		l.UpdatedAt = at(100)
		_, err := s.Update(t.Context(), l)
		if fault.Is(err, fault.AlreadyExists) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		won++
		return err
	})
	if err := errors.Join(errs...); err != nil || won != 1 {
		t.Errorf("%d restored, error %v; want 1", won, err)
	}
}

func changesFeed(t *testing.T, s link.Store) {
	changes := func(after int64) ([]link.Key, int64) {
		t.Helper()
		keys, mark, err := s.Changes(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		return keys, mark
	}
	keys, start := changes(-1)
	if len(keys) != 0 || start < 0 {
		t.Fatalf("of an empty store: keys %v, mark %d", keys, start)
	}
	links := []link.Link{plain(1), plain(2), full(3)}
	for _, l := range links {
		insert(t, s, l)
	}
	// Those of this Store may be in it.
	_, start = changes(-1)
	links[2] = update(t, s, links[2])
	links[0] = update(t, s, links[0])
	keys, mark := changes(start)
	if diff := cmp.Diff([]link.Key{links[2].Key, links[0].Key}, keys); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if _, present := changes(-1); present != mark {
		t.Errorf("present mark %d, want %d", present, mark)
	}
	if keys, again := changes(mark); len(keys) != 0 || again != mark {
		t.Errorf("nothing new: keys %v, mark %d, was %d", keys, again, mark)
	}
	update(t, s, links[0])
	keys, _ = changes(mark)
	if diff := cmp.Diff([]link.Key{links[0].Key}, keys); diff != "" {
		t.Errorf("a second change (-want +got):\n%s", diff)
	}
}

func changesUnknown(t *testing.T, s link.Store) {
	_, mark, err := s.Changes(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	if keys, mark, err := s.Changes(t.Context(), mark+10); !errors.Is(err, link.ErrBehind) {
		t.Errorf("of a mark that is none: keys %v, mark %d, error %v", keys, mark, err)
	}
}

// walk goes through the keys while links are made.
func walk(t *testing.T, s link.Store) {
	all := func(n int, each func(page int)) map[link.Key]int {
		seen := map[link.Key]int{}
		for page, after := 0, (link.Key{}); ; page++ {
			keys, err := s.Walk(t.Context(), after, n)
			if err != nil || len(keys) > n {
				t.Fatalf("%d keys of at most %d, error %v", len(keys), n, err)
			}
			for _, k := range keys {
				seen[k]++
			}
			if len(keys) < n {
				return seen
			}
			after = keys[n-1]
			each(page)
		}
	}
	if seen := all(10, nil); len(seen) != 0 {
		t.Errorf("keys of an empty store: %v", seen)
	}
	want := map[link.Key]int{}
	for i := range 30 {
		l := plain(i)
		l.Domain = []link.Domain{"", "go.example", "s.example:8443"}[i%3]
		if i%6 == 5 {
			l.Code = plain(i - 1).Code // of two domains
		}
		if i%4 == 0 {
			l.RevokedAt = at(1)
		}
		insert(t, s, l)
		want[l.Key] = 1
	}
	for _, n := range []int{1, 4, 30, 31} {
		if diff := cmp.Diff(want, all(n, func(int) {})); diff != "" {
			t.Errorf("walking by %d (-want +got):\n%s", n, diff)
		}
	}
	seen := all(3, func(page int) { insert(t, s, plain(100+page*37%1000)) })
	for k := range want {
		if seen[k] != 1 {
			t.Errorf("%v was seen %d times while links were made", k, seen[k])
		}
	}
}

func changesPages(t *testing.T, s link.Store) {
	const writers, each = 50, 41 // 2,050 changes: three pages
	_, mark, err := s.Changes(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range writers {
		insert(t, s, plain(i))
	}
	errs := race(writers, func(i int) error {
		l := plain(i)
		for range each {
			var err error
			if l, err = s.Update(t.Context(), l); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	last := map[link.Key]bool{}
	pages := 0
	for {
		keys, next, err := s.Changes(t.Context(), mark)
		if err != nil || len(keys) > 1000 {
			t.Fatalf("%d keys, error %v", len(keys), err)
		}
		if len(keys) == 0 {
			break
		}
		if next <= mark {
			t.Fatalf("mark %d after %d", next, mark)
		}
		mark = next
		pages++
		for _, k := range keys {
			last[k] = true
		}
	}
	if len(last) != writers {
		t.Errorf("%d keys in %d pages, want %d", len(last), pages, writers)
	}
}
