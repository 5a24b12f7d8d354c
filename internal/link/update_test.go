package link_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
)

func ptr[T any](v T) *T { return &v }

func TestUpdate(t *testing.T) {
	tests := []struct {
		name  string
		patch link.Patch
		want  func(l *link.Link)
	}{
		{"destination", link.Patch{LongURL: ptr("https://b.example")}, func(l *link.Link) { l.Destination = "https://b.example/" }},
		{"texts", link.Patch{Title: ptr("t"), Notes: ptr("n"), Tags: &[]string{"x"}}, func(l *link.Link) { l.Title, l.Notes, l.Tags = "t", "n", []string{"x"} }},
		{"removed", link.Patch{Title: ptr(""), Tags: &[]string{}, ExpiredURL: ptr(""), ExpiresAt: &time.Time{}}, func(l *link.Link) { l.Title, l.Tags, l.ExpiredURL, l.ExpiresAt = "", nil, "", time.Time{} }},
		{"how", link.Patch{RedirectStatus: ptr(301), EdgeTTL: ptr(time.Hour), ForwardQuery: ptr(true)}, func(l *link.Link) { l.RedirectStatus, l.EdgeTTL, l.ForwardQuery = 301, time.Hour, true }},
		{"default status", link.Patch{RedirectStatus: ptr(0)}, func(l *link.Link) { l.RedirectStatus = 302 }},
		{"takedown later", link.Patch{RevokedAt: ptr(noon.Add(2 * time.Hour))}, func(l *link.Link) { l.RevokedAt = noon.Add(2 * time.Hour) }},
		{"takedown now by a slow clock", link.Patch{RevokedAt: ptr(noon.Add(59 * time.Minute).Add(30 * time.Second))}, func(l *link.Link) { l.RevokedAt = noon.Add(time.Hour) }},
		{"times", link.Patch{StartsAt: ptr(noon.Add(3 * time.Hour)), ExpiresAt: ptr(noon.Add(4 * time.Hour))}, func(l *link.Link) { l.StartsAt, l.ExpiresAt = noon.Add(3*time.Hour), noon.Add(4*time.Hour) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			l := w.create(t, ann, link.Creation{RedirectStatus: 308, Title: "old", Tags: []string{"o"}, ExpiresAt: noon.Add(24 * time.Hour), ExpiredURL: "https://o.example"})
			w.now = noon.Add(time.Hour)
			got, err := w.Update(t.Context(), ann, l.Key, tt.patch, l.Version)
			if err != nil {
				t.Fatal(err)
			}
			want := l
			want.Version, want.UpdatedAt = 2, w.now
			tt.want(&want)
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if last := w.changes[len(w.changes)-1]; last.Route.Version != 2 {
				t.Errorf("announced %+v", last)
			}
		})
	}
}

func TestUpdateRefuses(t *testing.T) {
	w := newWorld(t)
	l := w.create(t, ann, link.Creation{ExpiresAt: noon.Add(time.Hour)})
	orphan := w.create(t, account.Actor{}, link.Creation{})
	title := link.Patch{Title: ptr("new")}
	tests := []struct {
		name    string
		actor   account.Actor
		key     link.Key
		patch   link.Patch
		version int64
		want    fault.Code
	}{
		{"a stranger", account.Actor{}, l.Key, title, 0, fault.Unauthorized},
		{"a stranger, and there is no such link", account.Actor{}, link.Key{Code: "nope"}, title, 0, fault.Unauthorized},
		{"another", bob, l.Key, title, 0, fault.Forbidden},
		{"a link of nobody", ann, orphan.Key, title, 0, fault.Forbidden},
		{"no such link", ann, link.Key{Code: "nope"}, title, 0, fault.URLNotFound},
		{"another domain", ann, link.Key{Domain: "go.example", Code: l.Code}, title, 0, fault.URLNotFound},
		{"an old version", ann, l.Key, title, 7, fault.PreconditionFailed},
		{"a bad destination", ann, l.Key, link.Patch{LongURL: ptr("")}, 0, fault.InvalidURL},
		{"a takedown in the past", ann, l.Key, link.Patch{RevokedAt: ptr(noon.Add(-time.Hour))}, 0, fault.ValidationFailed},
		{"an end in the past", ann, l.Key, link.Patch{ExpiresAt: ptr(noon.Add(-time.Hour))}, 0, fault.ValidationFailed},
		{"a start after the end", ann, l.Key, link.Patch{StartsAt: ptr(noon.Add(2 * time.Hour))}, 0, fault.ValidationFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := w.Update(t.Context(), tt.actor, tt.key, tt.patch, tt.version); !fault.Is(err, tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	for _, a := range []account.Actor{admin, account.Operator()} {
		if _, err := w.Update(t.Context(), a, orphan.Key, link.Patch{Title: ptr(fmt.Sprint(a.User))}, 0); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

func TestSendingBackWhatWasReadChangesNothing(t *testing.T) {
	w := newWorld(t)
	l := w.create(t, ann, link.Creation{ExpiresAt: noon.Add(time.Hour)})
	w.now = noon.Add(30 * time.Minute)
	if err := w.Revoke(t.Context(), ann, l.Key); err != nil {
		t.Fatal(err)
	}
	w.now = noon.Add(2 * time.Hour) // expired, and revoked long ago
	before, err := w.Get(t.Context(), ann, l.Key)
	if err != nil {
		t.Fatal(err)
	}
	announced := len(w.changes)
	after, err := w.Update(t.Context(), ann, l.Key, link.Patch{
		LongURL: ptr(string(before.Destination)), ExpiresAt: &before.ExpiresAt, RevokedAt: &before.RevokedAt, Title: &before.Title,
	}, before.Version)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" || len(w.changes) != announced {
		t.Errorf("changed: %s; announced %d more", diff, len(w.changes)-announced)
	}
}

func TestRevokeTwiceKeepsTheFirstTime(t *testing.T) {
	w := newWorld(t)
	l := w.create(t, ann, link.Creation{})
	for range 2 {
		if err := w.Revoke(t.Context(), ann, l.Key); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Hour)
	}
	got, err := w.Get(t.Context(), ann, l.Key)
	if err != nil || !got.RevokedAt.Equal(noon) || got.Version != 2 || got.Status(w.now) != link.Revoked {
		t.Errorf("%+v %v", got, err)
	}
	if err := w.Revoke(t.Context(), ann, link.Key{Code: "nope"}); !fault.Is(err, fault.URLNotFound) {
		t.Error(err)
	}
}

func TestParallelUpdatesAllHappen(t *testing.T) {
	var mu sync.Mutex
	w := newWorld(t, func(s *link.Settings) { s.Changed = nil })
	l := w.create(t, ann, link.Creation{})
	var wg sync.WaitGroup
	lost := 0
	for i := range 8 {
		wg.Go(func() {
			_, err := w.Update(t.Context(), ann, l.Key, link.Patch{Title: ptr(fmt.Sprint(i))}, 0)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				lost++
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := w.Peek(t.Context(), l.Key)
	if err != nil || got.Version != int64(9-lost) {
		t.Errorf("version %d, %v", got.Version, err)
	}
}

func TestUpdateGivesUpOnAStoreThatAlwaysDiffers(t *testing.T) {
	stale := fault.New(fault.PreconditionFailed, "stale")
	store := &faultyStore{Store: memory.NewLinks()}
	w := newWorld(t, func(s *link.Settings) { s.Store = store })
	l := w.create(t, ann, link.Creation{})
	for range 100 {
		store.update = append(store.update, stale)
	}
	if _, err := w.Update(t.Context(), ann, l.Key, link.Patch{Title: ptr("x")}, 0); !errors.Is(err, stale) {
		t.Error(err)
	}
}
