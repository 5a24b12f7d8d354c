package link_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// few gives the same codes again and again, so that they are taken.
type few struct{ n *atomic.Int64 }

func (f few) Next(_ context.Context, d link.Draw) (link.Code, error) {
	return link.Code(fmt.Sprintf("%0*d", d.Length, f.n.Add(1)/2)), nil
}

func TestCreateManyIsCreateForEach(t *testing.T) {
	var drawn atomic.Int64
	w := newWorld(t, func(s *link.Settings) { s.Codes = few{&drawn} })
	var list []link.Creation
	for i := range 2_500 { // more than are stored at once
		c := link.Creation{LongURL: fmt.Sprintf("https://example.com/%d", i), Operation: link.Operation{1, byte(i), byte(i >> 8), byte(i >> 16)}}
		switch {
		case i%100 == 7:
			c.LongURL = "ftp://example.com/"
		case i == 1_000:
			c.Alias = "mine"
		case i == 2_000:
			c.Alias = "mine"
		case i == 2_400:
			c.LongURL, c.FindExisting = "https://example.com/3", true
		}
		list = append(list, c)
	}
	made, err := w.CreateMany(t.Context(), ann, list)
	if err != nil || len(made) != len(list) {
		t.Fatalf("%d of %d, error %v", len(made), len(list), err)
	}
	seen := map[link.Key]bool{}
	inserted := 0
	for i, m := range made {
		switch {
		case i%100 == 7:
			wantFault(t, "a bad row", m.Err, fault.InvalidURL)
		case i == 2_000:
			wantFault(t, "an alias twice", m.Err, fault.AliasTaken)
		case i == 2_400:
			if m.Outcome != link.Found || m.Link.ID != made[3].Link.ID {
				t.Errorf("found %+v, error %v", m, m.Err)
			}
		case m.Err != nil || m.Outcome != link.Inserted || string(m.Link.Destination) != list[i].LongURL || seen[m.Link.Key]:
			t.Fatalf("%d: %+v, error %v", i, m, m.Err)
		default:
			inserted++
			seen[m.Link.Key] = true
			if _, err := w.Get(t.Context(), ann, m.Link.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(w.changes) != inserted {
		t.Errorf("%d changes were told of %d links", len(w.changes), inserted)
	}
	again, err := w.CreateMany(t.Context(), ann, list)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range again {
		if made[i].Outcome == link.Inserted && (m.Outcome != link.Repeated || m.Link.ID != made[i].Link.ID) {
			t.Fatalf("%d again: %+v, error %v", i, m, m.Err)
		}
	}
}

func TestCreateManyOfNothingAndOfNobody(t *testing.T) {
	w := newWorld(t, func(s *link.Settings) { s.AnonymousCreate = false })
	if made, err := w.CreateMany(t.Context(), ann, nil); err != nil || len(made) != 0 {
		t.Errorf("%v, error %v", made, err)
	}
	_, err := w.CreateMany(t.Context(), account.Actor{}, make([]link.Creation, 1))
	wantFault(t, "nobody", err, fault.Unauthorized)
}

// failing is a store that, from the second list on, stores what it is given and
// says that it could not be asked.
type failing struct {
	link.Store
	lists *int
}

func (f failing) InsertMany(ctx context.Context, list []link.New) ([]link.Made, error) {
	made, err := f.Store.InsertMany(ctx, list)
	if *f.lists++; err == nil && *f.lists > 1 {
		return nil, fault.New(fault.Unavailable, "down")
	}
	return made, err
}

func TestCreateManyRefusedButDone(t *testing.T) {
	var lists int
	w := newWorld(t, func(s *link.Settings) { s.Store = failing{s.Store, &lists} })
	list := make([]link.Creation, 3*link.InsertAtOnce)
	for i := range list {
		list[i] = link.Creation{LongURL: "https://example.com/", Operation: link.Operation{1, byte(i), byte(i >> 8), byte(i >> 16)}}
	}
	_, err := w.CreateMany(t.Context(), ann, list)
	wantFault(t, "a store that is down", err, fault.Unavailable)
	if len(w.changes) != 2*link.InsertAtOnce || w.changes[2*link.InsertAtOnce-1].Route.Version != 0 || lists != 2 {
		t.Errorf("%d changes of %d lists", len(w.changes), lists)
	}
	lists = -100
	made, err := w.CreateMany(t.Context(), ann, list)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range made {
		if want := map[bool]link.Outcome{true: link.Repeated, false: link.Inserted}[i < 2*link.InsertAtOnce]; m.Outcome != want {
			t.Fatalf("%d: outcome %d, error %v", i, m.Outcome, m.Err)
		}
	}
}

func wantFault(t *testing.T, what string, err error, code fault.Code) {
	t.Helper()
	if !fault.Is(err, code) {
		t.Errorf("%s: error %v, want %s", what, err, code)
	}
}
