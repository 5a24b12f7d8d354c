package link

import (
	"context"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// insertAtOnce is how many links CreateMany stores at once: so many that the disk
// is waited for little, and so few that others who write wait little for them.
const insertAtOnce = 1_000

// CreateMany makes links as Create does, in their order and each by itself: the
// nth that is given is what became of the nth creation, and the fault of one
// keeps none of the others back. What it gives is durable. An error of the call
// itself, such as fault.Unavailable, leaves open which of them are made; done
// again with the same Operations it makes none twice.
func (r *Registry) CreateMany(ctx context.Context, a account.Actor, list []Creation) ([]Made, error) {
	if err := r.mayCreate(a); err != nil {
		return nil, err
	}
	made := make([]Made, len(list))
	for from := 0; from < len(list); from += insertAtOnce {
		to := min(from+insertAtOnce, len(list))
		if err := r.createSome(ctx, a, list[from:to], made[from:to]); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// pending is a creation that is not stored yet.
type pending struct {
	place int // in what is given
	drawing
}

// createSome is CreateMany for so many as are stored at once.
func (r *Registry) createSome(ctx context.Context, a account.Actor, list []Creation, made []Made) error {
	now := r.now()
	news, waiting := make([]New, 0, len(list)), make([]pending, 0, len(list))
	for i := range list {
		n, err := r.creation(a, list[i], now)
		if err != nil {
			made[i].Err = err
			continue
		}
		news, waiting = append(news, n), append(waiting, pending{i, r.drawing(list[i].CodeLength)})
	}
	for len(news) > 0 {
		for i := range news {
			if err := r.draw(&news[i].Link, &waiting[i].drawing); err != nil {
				return err
			}
		}
		stored, err := r.s.Store.InsertMany(ctx, news)
		if err != nil {
			for i := range news { // they may have been stored all the same, or be stored in a moment
				r.s.Changed(ctx, Change{Key: news[i].Link.Key})
			}
			return err
		}
		left := 0
		for i := range stored {
			w, one := waiting[i], stored[i]
			var again bool
			if again, one.Err = w.again(&news[i].Link, one.Err); again {
				news[left], waiting[left] = news[i], w
				left++
				continue
			}
			if one.Err != nil && !fault.Is(one.Err, fault.AliasTaken) {
				r.s.Changed(ctx, Change{Key: news[i].Link.Key})
			} else if one.Err == nil && one.Outcome != Found {
				r.s.Changed(ctx, Change{one.Link.Key, one.Link.Route()})
			}
			made[w.place] = one
		}
		news, waiting = news[:left], waiting[:left]
	}
	return nil
}
