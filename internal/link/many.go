package link

import (
	"context"
	"sync"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// Made is what became of one creation.
type Made struct {
	Link    Link
	Outcome Outcome
	Err     error
}

// CreateMany makes links as Create does.
func (r *Registry) CreateMany(ctx context.Context, a account.Actor, cs []Creation) ([]Made, error) {
	made := make([]Made, len(cs))
	var all sync.WaitGroup
	for i := range cs {
		all.Go(func() {
			m := &made[i]
			m.Link, m.Outcome, m.Err = r.Create(ctx, a, cs[i])
		})
	}
	all.Wait()
	for i := range made {
		if fault.Is(made[i].Err, fault.Unavailable) {
			return nil, made[i].Err
		}
	}
	return made, ctx.Err()
}
