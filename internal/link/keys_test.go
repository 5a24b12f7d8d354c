package link_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/link"
)

// askedStore counts what Keys was asked for.
type askedStore struct {
	link.Store
	asked []int
}

func (s *askedStore) Keys(ctx context.Context, ids []link.ID) (map[link.ID]link.Key, error) {
	s.asked = append(s.asked, len(ids))
	return s.Store.Keys(ctx, ids)
}

func TestKeysAreRemembered(t *testing.T) {
	w := newWorld(t)
	store := &askedStore{Store: w.settings.Store}
	w.settings.Store = store
	r := link.NewRegistry(w.settings)
	var ids []link.ID
	want := map[link.ID]link.Key{}
	for range 501 {
		l := w.create(t, ann, link.Creation{})
		ids, want[l.ID] = append(ids, l.ID, l.ID), l.Key
	}
	for range 2 {
		got, err := r.Keys(t.Context(), ids)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("keys (-want +got), error %v:\n%s", err, diff)
		}
	}
	// One that is not there may be made later.
	for range 2 {
		if got, err := r.Keys(t.Context(), []link.ID{1, ids[0]}); err != nil || len(got) != 1 {
			t.Errorf("%v, error %v", got, err)
		}
	}
	if diff := cmp.Diff([]int{500, 1, 1, 1}, store.asked); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}
