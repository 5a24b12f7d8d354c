package api

import (
	"context"
	"sync"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/ratelimit"
)

// bulkOf gives the limit of rows for an actor; admins have that of their tier
// too.
func (r Rates) bulkOf(actor account.Actor) ratelimit.Limit {
	if actor.Tier == account.Premium {
		return r.BulkPremium
	}
	return r.BulkFree
}

// admits refuses more rows than could ever be taken at once, so that nobody
// sends them all in vain.
func (r Rates) admits(actor account.Actor, rows int64) error {
	if limit := r.bulkOf(actor); !limit.Off() && rows > int64(limit.Quota) {
		f := fault.New(fault.RateLimitExceeded, "The limit of %s rows is less than this upload has: send it in parts", limit)
		f.RetryAfter = limit.Window
		return f
	}
	return nil
}

// room refuses an upload before it is read where no row is left of the limit;
// one with an Idempotency-Key may have its answer already.
func (a *API) room(c *call, keyed bool) error {
	if keyed {
		return nil
	}
	result, limited, err := a.takeRows(c, c.actor, 0)
	if limited && result.Remaining < 1 {
		return overRows(result, 1)
	}
	return err
}

// countRows takes rows from a user's quota: all of them or none.
func (a *API) countRows(c *call, user account.Actor, rows int64) error {
	result, limited, err := a.takeRows(c, user, int(rows))
	if limited && !result.Allowed {
		return overRows(result, rows)
	}
	return err
}

// giveBack returns to its owner's quota the rows of a cancelled job that do not
// count, less those that the limit has let go since.
func (a *API) giveBack(c *call, owner account.Actor, j *job.Job) {
	limit := a.Rates.bulkOf(owner)
	if limit.Off() {
		return
	}
	rows := j.Rows - j.Counted() - int64(a.Now().Sub(j.CreatedAt)/interval(limit))
	if rows > 0 {
		_, _, _ = a.takeRows(c, owner, -int(rows)) // what it can't give back is there again after the window
	}
}

func (a *API) takeRows(c *call, user account.Actor, n int) (result ratelimit.Result, limited bool, err error) {
	limit := a.Rates.bulkOf(user)
	if limit.Off() {
		return result, false, nil
	}
	if err := a.recall(c.ctx(), user); err != nil {
		return result, false, err
	}
	if result, err = a.Limits.Take(c.ctx(), rowsKey(user), limit, a.Now(), n); err != nil {
		a.Warn(c.ctx(), "bulk rows are not limited: the source can't be asked", err)
		return result, false, nil
	}
	c.w.Header().Set("RateLimit", result.Header())
	c.w.Header().Set("RateLimit-Policy", limit.PolicyHeader())
	return result, true, nil
}

func rowsKey(user account.Actor) ratelimit.Key {
	return ratelimit.Key{Scope: ratelimit.BulkRows, Subject: userSubject(user.User)}
}

// interval is after what time one more is there.
func interval(l ratelimit.Limit) time.Duration { return l.Window / time.Duration(l.Quota) }

// recalled are the users whose jobs from before the start are in the limits.
type recalled struct {
	mu    sync.Mutex
	users map[account.ID]bool
}

// recall takes from a user's quota, once, what their jobs of the last window
// count: the limits forget at the end of the program, the queue does not. It must
// come before anything else that changes the quota or what the jobs count.
func (a *API) recall(ctx context.Context, user account.Actor) error {
	limit := a.Rates.bulkOf(user)
	a.recalled.mu.Lock()
	defer a.recalled.mu.Unlock()
	if limit.Off() || a.recalled.users[user.User] {
		return nil
	}
	now, each := a.Now(), interval(limit)
	var rows int64
	var owed time.Duration // until all is there again
	for j, err := range a.Bulk.Since(ctx, user.User, now.Add(-limit.Window)) {
		if err != nil {
			return err
		}
		rows = min(rows+j.Counted(), int64(limit.Quota))
		owed = max(owed, j.CreatedAt.Add(each*time.Duration(rows)).Sub(now))
	}
	n := min(int((owed+each-1)/each), limit.Quota)
	if _, err := a.Limits.Take(ctx, rowsKey(user), limit, now, n); err != nil {
		a.Warn(ctx, "bulk rows of before the start are not limited: the source can't be asked", err)
		return nil
	}
	a.recalled.users[user.User] = true
	return nil
}

// ownerOf gives the owner of a job as whom its rows count for, and recalls what
// they used.
func (a *API) ownerOf(c *call, id account.ID) (account.Actor, error) {
	owner := c.actor
	if id != owner.User {
		u, err := a.Directory.User(c.ctx(), id)
		if err != nil {
			return account.Actor{}, err
		}
		owner = account.Actor{User: u.ID, Tier: u.Tier}
	}
	return owner, a.recall(c.ctx(), owner)
}

func overRows(result ratelimit.Result, rows int64) error {
	f := fault.New(fault.RateLimitExceeded, "Limit of %s rows reached: %d are left, and nothing of these %d was taken", result.Limit, result.Remaining, rows)
	if rows == 1 {
		f = fault.New(fault.RateLimitExceeded, "Limit of %s rows reached: none is left", result.Limit)
	}
	f.RetryAfter = max(result.RetryAfter, interval(result.Limit))
	return f
}
