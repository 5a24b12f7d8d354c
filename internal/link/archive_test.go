package link_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
)

func TestArchive(t *testing.T) {
	w := newWorld(t)
	day := 24 * time.Hour
	lasting := w.create(t, ann, link.Creation{Title: "lasting"})
	expired := w.create(t, ann, link.Creation{Title: "expired", ExpiresAt: noon.Add(day)})
	later := w.create(t, ann, link.Creation{Title: "later", ExpiresAt: noon.Add(3 * day)})
	revoked := w.create(t, ann, link.Creation{Title: "revoked"})
	planned := w.create(t, ann, link.Creation{Title: "planned"})
	w.now = noon.Add(day)
	if err := w.Revoke(t.Context(), ann, revoked.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Update(t.Context(), ann, planned.Key, link.Patch{RevokedAt: ptr(noon.Add(30 * day))}, 0); err != nil {
		t.Fatal(err)
	}
	archive := func(before time.Time) (titles []string) {
		t.Helper()
		n, err := w.Archive(t.Context(), before, func(l link.Link) { titles = append(titles, l.Title) })
		if err != nil || n != len(titles) {
			t.Fatal(n, titles, err)
		}
		return titles
	}
	w.now = noon.Add(10 * day)
	if got := archive(noon.Add(day - time.Millisecond)); len(got) != 0 {
		t.Errorf("archived too early: %q", got)
	}
	if got := archive(noon.Add(day)); len(got) != 2 {
		t.Errorf("archived %q, want expired and revoked", got)
	}
	if got := archive(noon.Add(day)); len(got) != 0 {
		t.Errorf("archived again: %q", got)
	}
	for l, archived := range map[*link.Link]bool{&lasting: false, &expired: true, &later: false, &revoked: true, &planned: false} {
		got, err := w.Get(t.Context(), ann, l.Key)
		if err != nil || got.ArchivedAt.IsZero() == archived || archived && !got.UpdatedAt.Before(w.now) {
			t.Errorf("%s: %+v, %v", l.Title, got, err)
		}
	}
	// The code stays taken, and a change that leaves it ended leaves it archived.
	if _, _, err := w.Create(t.Context(), bob, link.Creation{LongURL: "https://example.com/", Alias: string(expired.Code)}); !fault.Is(err, fault.AliasTaken) {
		t.Error(err)
	}
	if got, err := w.Update(t.Context(), ann, expired.Key, link.Patch{Title: ptr("new")}, 0); err != nil || got.ArchivedAt.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	for k, restore := range map[link.Key]link.Patch{
		expired.Key: {ExpiresAt: &time.Time{}}, revoked.Key: {RevokedAt: &time.Time{}},
	} {
		if got, err := w.Update(t.Context(), ann, k, restore, 0); err != nil || !got.ArchivedAt.IsZero() {
			t.Errorf("restored: %+v, %v", got, err)
		}
	}
}

// TestArchiveGoesOn shows that a failure half-way costs nothing but time.
func TestArchiveGoesOn(t *testing.T) {
	broken := &breaking{Links: memory.NewLinks(), after: 700}
	w := newWorld(t, func(s *link.Settings) { s.Store = broken })
	const links = 1100
	for range links {
		w.create(t, ann, link.Creation{ExpiresAt: noon.Add(time.Hour)})
	}
	w.now = noon.Add(2 * time.Hour)
	first, err := w.Archive(t.Context(), w.now, func(link.Link) {})
	if !errors.Is(err, errBroken) || first < 600 || first >= links {
		t.Fatal(first, err)
	}
	broken.after = 1 << 30
	second, err := w.Archive(t.Context(), w.now, func(link.Link) {})
	if err != nil || first+second != links {
		t.Error(first, second, err)
	}
}

var errBroken = errors.New("broken")

// breaking fails every update after some.
type breaking struct {
	*memory.Links
	after int64
	done  atomic.Int64
}

func (s *breaking) Update(ctx context.Context, l link.Link) (link.Link, error) {
	if s.done.Add(1) > s.after {
		return link.Link{}, errBroken
	}
	return s.Links.Update(ctx, l)
}
