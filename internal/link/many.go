package link

import (
	"context"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// insertAtOnce is how many links CreateMany stores at once: so many that the disk
// is waited for little. A store lets others who write in between.
const insertAtOnce = 10_000

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
	for ready := r.prepareAside(ctx, a, list); len(list) > 0; {
		batch := <-ready
		n := min(len(list), insertAtOnce)
		list = list[n:]
		if len(list) > 0 {
			ready = r.prepareAside(ctx, a, list)
		}
		if err := r.storeBatch(ctx, batch, made[len(made)-len(list)-n:]); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// batch are creations that are stored at once.
type batch struct {
	news    []New
	waiting []pending // one for each of news
	faults  []Made    // of those that can't be stored, at their places
	err     error
}

// pending is a creation that is not stored yet.
type pending struct {
	place int // in what is given
	drawing
}

// prepareAside prepares the first of a list while the store is at work on those
// before. What it gives need not be taken.
func (r *Registry) prepareAside(ctx context.Context, a account.Actor, list []Creation) <-chan *batch {
	ready := make(chan *batch, 1)
	go func() { ready <- r.prepare(ctx, a, list[:min(len(list), insertAtOnce)]) }()
	return ready
}

// prepare checks creations and draws what they need.
func (r *Registry) prepare(ctx context.Context, a account.Actor, list []Creation) *batch {
	now := r.now()
	b := &batch{news: make([]New, 0, len(list)), waiting: make([]pending, 0, len(list)), faults: make([]Made, len(list))}
	for i := range list {
		n, err := r.creation(a, list[i], now)
		if err != nil {
			b.faults[i].Err = err
			continue
		}
		w := pending{i, r.drawing(list[i].CodeLength)}
		if err := r.draw(ctx, &n.Link, &w.drawing); err != nil {
			b.err = err
			break
		}
		b.news, b.waiting = append(b.news, n), append(b.waiting, w)
	}
	return b
}

// storeBatch stores a batch, drawing again what is taken, and says what became of
// each.
func (r *Registry) storeBatch(ctx context.Context, b *batch, made []Made) error {
	if b.err != nil {
		return b.err
	}
	copy(made, b.faults)
	for news, waiting := b.news, b.waiting; len(news) > 0; {
		for i := range news {
			if waiting[i].attempt == 0 {
				continue
			}
			if err := r.draw(ctx, &news[i].Link, &waiting[i].drawing); err != nil {
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
			n, w, one := &news[i], waiting[i], stored[i]
			var again bool
			if again, one.Err = w.again(&n.Link, one.Err); again {
				news[left], waiting[left] = *n, w
				left++
				continue
			}
			if one.Err != nil && !fault.Is(one.Err, fault.AliasTaken) {
				r.s.Changed(ctx, Change{Key: n.Link.Key})
			} else if one.Err == nil && one.Outcome != Found {
				r.s.Changed(ctx, Change{one.Link.Key, one.Link.Route()})
			}
			made[w.place] = one
		}
		news, waiting = news[:left], waiting[:left]
	}
	return nil
}
