package api

import (
	"encoding/binary"

	"kurz/internal/account"
	"kurz/internal/ratelimit"
)

// count takes one create from the actor's quota and says so in the headers, of
// an error too. A source that can't be asked lets the request pass: a limit
// protects and does not authorise.
func (a *API) count(c *call) error {
	limit, subject := a.Rates.of(c.actor), userSubject(c.actor.User)
	if c.actor.Anonymous() {
		// An address that is not known is a subject of its own: all share it.
		subject = [16]byte{}
		if addr := c.client(); addr.IsValid() {
			subject = addr.As16()
		}
	}
	if limit.Off() {
		return nil
	}
	key := ratelimit.Key{Scope: ratelimit.Creates, Subject: subject}
	result, err := a.Limits.Take(c.ctx(), key, limit, a.Now(), 1)
	if err != nil {
		a.Warn(c.ctx(), "creates are not limited: the source can't be asked", err)
		return nil
	}
	c.w.Header().Set("RateLimit", result.Header())
	c.w.Header().Set("RateLimit-Policy", limit.PolicyHeader())
	return result.Err()
}

// of gives the limit for an actor; admins have that of their tier too.
func (r Rates) of(actor account.Actor) ratelimit.Limit {
	switch {
	case actor.Anonymous():
		return r.Anonymous
	case actor.Tier == account.Premium:
		return r.Premium
	}
	return r.Free
}

// userSubject names a user among subjects. It starts as multicast addresses
// do, which no client has, so that no address is taken for a user.
func userSubject(id account.ID) (s [16]byte) {
	copy(s[:], "\xffuser")
	binary.BigEndian.PutUint64(s[8:], uint64(id))
	return s
}
