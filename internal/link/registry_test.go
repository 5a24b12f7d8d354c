package link_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
)

var (
	ann   = account.Actor{User: 1, Role: account.Member, Tier: account.Free}
	bob   = account.Actor{User: 2, Role: account.Member, Tier: account.Premium}
	admin = account.Actor{User: 3, Role: account.Admin}
	noon  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

// world is a Registry over memory, with a clock that tests turn.
type world struct {
	*link.Registry
	settings link.Settings
	now      time.Time
	changes  []link.Change
	warnings []string
}

func newWorld(t *testing.T, edit ...func(*link.Settings)) *world {
	t.Helper()
	w := &world{now: noon}
	clock := func() time.Time { return w.now }
	d := domains(t, "https://s.example", "go.example")
	w.settings = link.Settings{
		Store: memory.NewLinks(), Codes: link.RandomCodes{Rand: rand.Reader},
		IDs: link.NewIDs(clock, rand.Reader), Domains: d, Policy: link.Policy{Domains: d},
		CodeLength: 7, AnonymousCreate: true, Now: clock,
		Changed: func(_ context.Context, c link.Change) { w.changes = append(w.changes, c) },
		Warn:    func(msg string, _ ...any) { w.warnings = append(w.warnings, msg) },
	}
	for _, e := range edit {
		e(&w.settings)
	}
	w.Registry = link.NewRegistry(w.settings)
	return w
}

func (w *world) create(t *testing.T, a account.Actor, c link.Creation) link.Link {
	t.Helper()
	if c.LongURL == "" {
		c.LongURL = "https://example.com/"
	}
	l, _, err := w.Create(t.Context(), a, c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCreateStoresWhatWasAsked(t *testing.T) {
	w := newWorld(t)
	got, outcome, err := w.Create(t.Context(), ann, link.Creation{
		LongURL: "https://Example.com/a b", Alias: "Hello-1", Domain: "GO.example", StartsAt: noon.Add(time.Hour),
		ExpiresAt: noon.Add(48*time.Hour + 999*time.Microsecond), ExpiredURL: "https://example.com/over",
		RedirectStatus: 308, EdgeTTL: time.Minute, ForwardQuery: true, Title: "Grüße", Notes: "n",
		Tags: []string{"b", " a ", "b"}, ContentID: "post-1",
	})
	if err != nil || outcome != link.Inserted {
		t.Fatal(outcome, err)
	}
	want := link.Link{
		Key: link.Key{Domain: "go.example", Code: "Hello-1"}, ID: got.ID, Owner: 1, Alias: true,
		Destination: "https://example.com/a%20b", ContentID: "post-1", Title: "Grüße", Notes: "n",
		Tags: []string{"a", "b"}, RedirectStatus: 308, EdgeTTL: time.Minute, ForwardQuery: true,
		StartsAt: noon.Add(time.Hour), ExpiresAt: noon.Add(48 * time.Hour), ExpiredURL: "https://example.com/over",
		CreatedAt: noon, UpdatedAt: noon, Version: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	stored, err := w.Get(t.Context(), ann, got.Key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Error("stored:", diff)
	}
	if len(w.changes) != 1 || w.changes[0].Key != got.Key || w.changes[0].Route.Destination != got.Destination {
		t.Errorf("announced %+v", w.changes)
	}
}

func TestCreateDefaults(t *testing.T) {
	w := newWorld(t)
	l := w.create(t, account.Actor{}, link.Creation{})
	if len(l.Code) != 7 || l.RedirectStatus != 302 || l.Owner != 0 || l.Domain != "" || l.Alias || !l.ExpiresAt.IsZero() {
		t.Errorf("%+v", l)
	}
	if l := w.create(t, ann, link.Creation{CodeLength: 12}); len(l.Code) != 12 {
		t.Errorf("code %q", l.Code)
	}
	if a, b := w.create(t, ann, link.Creation{}), w.create(t, ann, link.Creation{}); a.Key == b.Key {
		t.Error("the same destination gave one link")
	}
}

func TestCreateRefuses(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 5000)
	tests := []struct {
		name   string
		actor  account.Actor
		c      link.Creation
		code   fault.Code
		fields []string
	}{
		{"no URL", ann, link.Creation{}, fault.InvalidURL, []string{"long_url"}},
		{"a bad URL", ann, link.Creation{LongURL: "ftp://x"}, fault.InvalidURL, []string{"long_url"}},
		{"a loop", ann, link.Creation{LongURL: "https://go.example/x"}, fault.InvalidURL, []string{"long_url"}},
		{"a bad URL for later", ann, link.Creation{LongURL: "https://e.example", ExpiredURL: "x"}, fault.InvalidURL, []string{"expired_url"}},
		{"a short alias", ann, link.Creation{LongURL: "https://e.example", Alias: "ab"}, fault.ValidationFailed, []string{"custom_alias"}},
		{"a long alias", ann, link.Creation{LongURL: "https://e.example", Alias: strings.Repeat("a", 65)}, fault.ValidationFailed, []string{"custom_alias"}},
		{"an alias with a slash", ann, link.Creation{LongURL: "https://e.example", Alias: "a/b"}, fault.ValidationFailed, []string{"custom_alias"}},
		{"an alias in Cyrillic", ann, link.Creation{LongURL: "https://e.example", Alias: "аbс"}, fault.ValidationFailed, []string{"custom_alias"}},
		{"a reserved alias", ann, link.Creation{LongURL: "https://e.example", Alias: "API"}, fault.ValidationFailed, []string{"custom_alias"}},
		{"an unknown domain", ann, link.Creation{LongURL: "https://e.example", Domain: "no.example"}, fault.ValidationFailed, []string{"domain"}},
		{"an end in the past", ann, link.Creation{LongURL: "https://e.example", ExpiresAt: noon}, fault.ValidationFailed, []string{"expires_at"}},
		{"an end before the start", ann, link.Creation{LongURL: "https://e.example", StartsAt: noon.Add(2 * time.Hour), ExpiresAt: noon.Add(time.Hour)}, fault.ValidationFailed, []string{"expires_at"}},
		{"a year out of range", ann, link.Creation{LongURL: "https://e.example", StartsAt: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)}, fault.ValidationFailed, []string{"starts_at"}},
		{"another status", ann, link.Creation{LongURL: "https://e.example", RedirectStatus: 303}, fault.ValidationFailed, []string{"redirect_status"}},
		{"a negative TTL", ann, link.Creation{LongURL: "https://e.example", EdgeTTL: -time.Second}, fault.ValidationFailed, []string{"edge_ttl"}},
		{"a code too short", ann, link.Creation{LongURL: "https://e.example", CodeLength: 3}, fault.ValidationFailed, []string{"code_length"}},
		{"a code too long", ann, link.Creation{LongURL: "https://e.example", CodeLength: 33}, fault.ValidationFailed, []string{"code_length"}},
		{"long texts", ann, link.Creation{LongURL: "https://e.example", Title: long, Notes: long, ContentID: long}, fault.ValidationFailed, []string{"content_id", "title", "notes"}},
		{"NUL", ann, link.Creation{LongURL: "https://e.example", Title: "\x00"}, fault.ValidationFailed, []string{"title"}},
		{"not UTF-8", ann, link.Creation{LongURL: "https://e.example", Notes: "\xff"}, fault.ValidationFailed, []string{"notes"}},
		{"bad tags", ann, link.Creation{LongURL: "https://e.example", Tags: []string{" ", strings.Repeat("t", 65)}}, fault.ValidationFailed, []string{"tags[0]", "tags[1]"}},
		{"content without an owner", account.Actor{}, link.Creation{LongURL: "https://e.example", ContentID: "1"}, fault.ValidationFailed, []string{"content_id"}},
		{"finding without an owner", account.Actor{}, link.Creation{LongURL: "https://e.example", FindExisting: true}, fault.ValidationFailed, []string{"find_existing"}},
		{"several at once", ann, link.Creation{LongURL: "nope", Alias: "a", RedirectStatus: 1}, fault.ValidationFailed, []string{"custom_alias", "long_url", "redirect_status"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := w.Create(t.Context(), tt.actor, tt.c)
			f := fault.Of(err)
			var fields []string
			for _, d := range f.Details {
				fields = append(fields, d.Field)
			}
			if f.Code != tt.code || !slices.Equal(fields, tt.fields) {
				t.Errorf("%v: code %s, fields %v; want %s, %v", err, f.Code, fields, tt.code, tt.fields)
			}
		})
	}
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	if _, _, err := w.Create(t.Context(), ann, link.Creation{LongURL: "https://e.example", Tags: many}); !fault.Is(err, fault.ValidationFailed) {
		t.Errorf("21 tags: %v", err)
	}
	if len(w.changes) != 0 {
		t.Errorf("announced %v", w.changes)
	}
}

func TestCreateRefusesABlockedDestinationFirstOfAll(t *testing.T) {
	w := newWorld(t, func(s *link.Settings) { s.Policy.Blocklist = link.NewBlocklist([]string{"evil.example"}) })
	_, _, err := w.Create(t.Context(), ann, link.Creation{LongURL: "https://evil.example", Alias: "a"})
	if !fault.Is(err, fault.URLBlocked) {
		t.Error(err)
	}
}

func TestAnonymousCreateCanBeForbidden(t *testing.T) {
	w := newWorld(t, func(s *link.Settings) { s.AnonymousCreate = false })
	if _, _, err := w.Create(t.Context(), account.Actor{}, link.Creation{LongURL: "https://e.example"}); !fault.Is(err, fault.Unauthorized) {
		t.Error(err)
	}
	w.create(t, ann, link.Creation{})
	w.create(t, account.Operator(), link.Creation{})
}

func TestAliasOfARevokedLinkStaysTaken(t *testing.T) {
	w := newWorld(t)
	l := w.create(t, ann, link.Creation{Alias: "mine"})
	if err := w.Revoke(t.Context(), ann, l.Key); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.Create(t.Context(), bob, link.Creation{LongURL: "https://e.example", Alias: "mine"})
	if !fault.Is(err, fault.AliasTaken) {
		t.Error(err)
	}
	w.create(t, bob, link.Creation{Alias: "mine", Domain: "go.example"})
}

// fewCodes gives codes from a list, by attempt.
type fewCodes []link.Code

func (f fewCodes) Next(_ context.Context, d link.Draw) (link.Code, error) {
	if d.Attempt < len(f) {
		return f[d.Attempt], nil
	}
	return link.Code(strings.Repeat("z", d.Length)), nil
}

func TestTakenCodesAreDrawnAgainAndGrow(t *testing.T) {
	w := newWorld(t, func(s *link.Settings) { s.Codes = fewCodes{"aaaa", "aaaa", "bbbb"}; s.CodeLength = 4 })
	if got := w.create(t, ann, link.Creation{}).Code; got != "aaaa" {
		t.Errorf("first %q", got)
	}
	if got := w.create(t, ann, link.Creation{}).Code; got != "bbbb" {
		t.Errorf("second %q", got)
	}
	if got := w.create(t, ann, link.Creation{}).Code; got != "zzzz" {
		t.Errorf("third %q", got)
	}
	if len(w.warnings) != 0 {
		t.Errorf("warned %v", w.warnings)
	}
	if got := w.create(t, ann, link.Creation{}).Code; got != "zzzzz" {
		t.Errorf("fourth %q, want one character more after %d draws", got, 5)
	}
	if len(w.warnings) != 1 {
		t.Errorf("warned %v", w.warnings)
	}
}

// faultyStore answers the first calls of Insert with errors.
type faultyStore struct {
	link.Store
	insert []error
	update []error
	after  bool // the error comes after the work is done
}

func (s *faultyStore) Insert(ctx context.Context, n link.New) (link.Link, link.Outcome, error) {
	if len(s.insert) == 0 {
		return s.Store.Insert(ctx, n)
	}
	err := s.insert[0]
	s.insert = s.insert[1:]
	if s.after {
		_, _, _ = s.Store.Insert(ctx, n)
	}
	return link.Link{}, 0, err
}

func (s *faultyStore) Update(ctx context.Context, l link.Link) (link.Link, error) {
	if len(s.update) == 0 {
		return s.Store.Update(ctx, l)
	}
	err := s.update[0]
	s.update = s.update[1:]
	return link.Link{}, err
}

func TestATakenIDIsDrawnAgain(t *testing.T) {
	var ids []error
	for range 3 {
		ids = append(ids, link.ErrIDTaken)
	}
	w := newWorld(t, func(s *link.Settings) { s.Store = &faultyStore{Store: s.Store, insert: ids} })
	w.create(t, ann, link.Creation{Alias: "mine"})
}

func TestARepeatedOperationMakesOneLink(t *testing.T) {
	down := fault.New(fault.Unavailable, "down")
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("done before the error %v", after), func(t *testing.T) {
			store := memory.NewLinks()
			w := newWorld(t, func(s *link.Settings) {
				s.Store = &faultyStore{Store: store, insert: []error{down}, after: after}
			})
			c := link.Creation{LongURL: "https://e.example", Alias: "once", Operation: link.Operation{1}}
			if _, _, err := w.Create(t.Context(), ann, c); !errors.Is(err, down) {
				t.Fatal(err)
			}
			doubted := []link.Change{{Key: link.Key{Code: "once"}}}
			if diff := cmp.Diff(doubted, w.changes); diff != "" {
				t.Errorf("told of what may have been stored (-want +got):\n%s", diff)
			}
			l, outcome, err := w.Create(t.Context(), ann, c)
			want := link.Inserted
			if after {
				want = link.Repeated
			}
			if err != nil || outcome != want || l.Code != "once" {
				t.Errorf("%v %v %v, want outcome %v", l.Code, outcome, err, want)
			}
			all, _, err := w.Page(t.Context(), ann, link.Query{Sort: link.NewestFirst, Limit: 10})
			if err != nil || len(all) != 1 {
				t.Errorf("%d links, %v", len(all), err)
			}
		})
	}
}

func TestContentHasOneUnrevokedLink(t *testing.T) {
	w := newWorld(t)
	c := link.Creation{LongURL: "https://e.example/a", ContentID: "1"}
	first := w.create(t, ann, c)
	again, outcome, err := w.Create(t.Context(), ann, c)
	if err != nil || outcome != link.Found || again.Key != first.Key {
		t.Errorf("again: %v %v %v", again.Key, outcome, err)
	}
	if l := w.create(t, bob, c); l.Key == first.Key {
		t.Error("another owner got ann's")
	}
	if l := w.create(t, ann, link.Creation{LongURL: "https://e.example/b", ContentID: "1"}); l.Key == first.Key {
		t.Error("another destination got the first")
	}
	if err := w.Revoke(t.Context(), ann, first.Key); err != nil {
		t.Fatal(err)
	}
	second := w.create(t, ann, c)
	if second.Key == first.Key {
		t.Error("a revoked link was found")
	}
	_, err = w.Update(t.Context(), ann, first.Key, link.Patch{RevokedAt: new(time.Time)}, 0)
	if !fault.Is(err, fault.AlreadyExists) {
		t.Errorf("restoring beside the second: %v", err)
	}
}

func TestFindExisting(t *testing.T) {
	w := newWorld(t)
	first := w.create(t, ann, link.Creation{LongURL: "https://e.example/a"})
	w.create(t, ann, link.Creation{LongURL: "https://e.example/a"})
	got, outcome, err := w.Create(t.Context(), ann, link.Creation{LongURL: "HTTPS://E.example/a", FindExisting: true})
	if err != nil || outcome != link.Found || got.Key != first.Key {
		t.Errorf("%v %v %v, want the oldest %v", got.Key, outcome, err, first.Key)
	}
	if len(w.changes) != 2 {
		t.Errorf("%d announced, want 2: nothing changed by finding", len(w.changes))
	}
}

func TestPageShowsAMemberOnlyTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.create(t, ann, link.Creation{})
	w.create(t, bob, link.Creation{})
	w.create(t, account.Actor{}, link.Creation{})
	for _, tt := range []struct {
		actor account.Actor
		owner account.ID
		want  int
	}{{ann, 0, 1}, {ann, bob.User, 1}, {admin, 0, 3}, {admin, bob.User, 1}, {account.Operator(), 0, 3}} {
		got, _, err := w.Page(t.Context(), tt.actor, link.Query{Owner: tt.owner, Sort: link.NewestFirst, Limit: 10})
		if err != nil || len(got) != tt.want {
			t.Errorf("%+v: %d links, %v; want %d", tt, len(got), err, tt.want)
		}
		for _, l := range got {
			if !tt.actor.IsAdmin() && l.Owner != tt.actor.User {
				t.Errorf("%+v sees %+v", tt.actor, l)
			}
		}
	}
	if _, _, err := w.Page(t.Context(), account.Actor{}, link.Query{Limit: 10}); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("a stranger: %v", err)
	}
}

func TestASourceOfRandomnessThatFailsIsAnError(t *testing.T) {
	w := newWorld(t, func(s *link.Settings) { s.Codes = link.RandomCodes{Rand: bytes.NewReader(nil)} })
	if _, _, err := w.Create(t.Context(), ann, link.Creation{LongURL: "https://e.example"}); fault.CodeOf(err) != fault.Internal {
		t.Error(err)
	}
	w = newWorld(t, func(s *link.Settings) { s.IDs = link.NewIDs(s.Now, bytes.NewReader(nil)) })
	if _, _, err := w.Create(t.Context(), ann, link.Creation{LongURL: "https://e.example"}); fault.CodeOf(err) != fault.Internal {
		t.Error(err)
	}
}
