package contracttest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/fault"
	"kurz/internal/link"
)

func insertMany(t *testing.T, s link.Store) {
	if made, err := s.InsertMany(t.Context(), nil); err != nil || len(made) != 0 {
		t.Errorf("nothing: %v, error %v", made, err)
	}
	before := full(1)
	insert(t, s, before)
	operation := owned(3, 7, somewhere, "")
	operation.Operation = link.Operation{9}
	repeated := plain(4)
	repeated.Operation = operation.Operation
	sameKey, sameID, twin := plain(5), plain(6), owned(7, 7, somewhere, "")
	sameKey.Key, sameID.ID = plain(2).Key, plain(2).ID
	list := []link.New{
		{Link: plain(2)},
		{Link: operation},
		{Link: repeated},
		{Link: sameKey},
		{Link: sameID},
		{Link: twin, Match: link.MatchDestination, At: at(60)},
		{Link: before},
		{Link: plain(8)},
	}
	made, err := s.InsertMany(t.Context(), list)
	if err != nil || len(made) != len(list) {
		t.Fatalf("%d of %d, error %v", len(made), len(list), err)
	}
	for i, want := range []struct {
		link    link.Link
		outcome link.Outcome
	}{
		{plain(2), link.Inserted},
		{operation, link.Inserted},
		{operation, link.Repeated},
		{},
		{},
		{operation, link.Found},
		{before, link.Repeated},
		{plain(8), link.Inserted},
	} {
		switch got := made[i]; {
		case want.outcome == 0:
			if got.Err == nil {
				t.Errorf("%d: made as %d", i, got.Outcome)
			}
		case got.Err != nil || got.Outcome != want.outcome:
			t.Errorf("%d: outcome %d, error %v; want %d", i, got.Outcome, got.Err, want.outcome)
		default:
			if diff := cmp.Diff(want.link, got.Link, alike); diff != "" {
				t.Errorf("%d (-want +got):\n%s", i, diff)
			}
		}
	}
	wantCode(t, "the same key", made[3].Err, fault.AliasTaken)
	if !errors.Is(made[4].Err, link.ErrIDTaken) {
		t.Errorf("the same ID: error %v", made[4].Err)
	}
	for _, l := range []link.Link{plain(2), operation, before, plain(8)} {
		got, err := s.Get(t.Context(), l.Key)
		if diff := cmp.Diff(l, got, alike); err != nil || diff != "" {
			t.Errorf("Get %s: error %v (-want +got):\n%s", l.Code, err, diff)
		}
	}
	for _, l := range []link.Link{repeated, sameID, twin} {
		_, err := s.Get(t.Context(), l.Key)
		wantCode(t, "Get of what was not stored", err, fault.URLNotFound)
	}
}

// insertManyRace has some lists of the same keys inserted at once: each key
// becomes the link of one of them, and all others are told so.
func insertManyRace(t *testing.T, s link.Store) {
	const lists, keys = 8, 50
	made := make([][]link.Made, lists)
	errs := race(lists, func(i int) (err error) {
		list := make([]link.New, keys)
		for k := range list {
			l := plain(i*keys + k)
			l.Key = plain((k + i*7) % keys).Key
			list[k].Link = l
		}
		made[i], err = s.InsertMany(t.Context(), list)
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	owner := map[link.Key]link.ID{}
	for _, list := range made {
		for _, m := range list {
			if m.Err != nil {
				wantCode(t, "the others", m.Err, fault.AliasTaken)
				continue
			}
			if owner[m.Link.Key] != 0 {
				t.Errorf("%s was made twice", m.Link.Code)
			}
			owner[m.Link.Key] = m.Link.ID
		}
	}
	if len(owner) != keys {
		t.Errorf("%d keys were made of %d", len(owner), keys)
	}
	for k, id := range owner {
		if got, err := s.Get(t.Context(), k); err != nil || got.ID != id {
			t.Errorf("%s has ID %d, error %v; want %d", k.Code, got.ID, err, id)
		}
	}
}
