package redirect

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kurz/internal/link"
)

// census knows which keys the store may have, so that codes that nobody has
// cost no look-up, however many are tried.
//
// What it takes for absent is absent as of the moment when the store last told
// of what other processes made, and only that is believed, for as long as any
// other "no such link": NegativeAge. While it doesn't know all keys, after the
// start and whenever changes were missed, it takes nothing for absent.
type census struct {
	seed  maphash.Seed
	began time.Time
	// first is for how many keys there is room before any were counted.
	first int
	// known has all keys; nil while there is no such filter.
	known atomic.Pointer[filter]
	// heard is since when the store may have keys of other processes that are
	// not in known, counted from began.
	heard atomic.Int64
	// asked is when the look-ups in keeping with askEvery end, in Unix
	// nanoseconds.
	asked atomic.Int64

	mu sync.Mutex
	// filling, unless nil, is to become known.
	filling *filter
	// doubtful are hashes of keys of which it is not known whether the store
	// has or will have them: a walk through its keys may come too early.
	doubtful []uint64
}

const (
	// walkPage keys are read at once, and then walkRest times as long as that
	// took is left to others.
	walkPage = 500
	walkRest = 3
	// maxDoubtful bounds doubtful: the oldest have long been stored or not.
	maxDoubtful = 100_000
)

func newCensus(now time.Time, first int) *census {
	return &census{seed: maphash.MakeSeed(), began: now, first: first}
}

// excludes reports that the store has no link under the key, or had none less
// than age ago.
func (c *census) excludes(k link.Key, now time.Time, age time.Duration) bool {
	known := c.known.Load()
	return known != nil && now.Sub(c.began)-time.Duration(c.heard.Load()) < age && !known.has(k.Hash(c.seed))
}

// While few excluded keys are asked for, up to askAtOnce and one more each
// askEvery, the store is asked all the same: so a link that another process made
// this moment is there at once for who made it, and a flood changes nothing.
const (
	askEvery  = 100 * time.Millisecond
	askAtOnce = 100
)

// asksAnyway reports whether a look-up is spent on an excluded key.
func (c *census) asksAnyway(now time.Time) bool {
	at, before := now.UnixNano(), c.asked.Load()
	next := max(before, at-askAtOnce*int64(askEvery)) + int64(askEvery)
	return next <= at && c.asked.CompareAndSwap(before, next)
}

// add takes in keys that the store has.
func (c *census) add(keys ...link.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		c.addHash(k.Hash(c.seed))
	}
}

// doubt takes in a key that the store may come to have.
func (c *census) doubt(k link.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hash := k.Hash(c.seed)
	c.addHash(hash)
	if len(c.doubtful) == maxDoubtful {
		c.doubtful = slices.Delete(c.doubtful, 0, maxDoubtful/10)
	}
	c.doubtful = append(c.doubtful, hash)
}

func (c *census) addHash(hash uint64) {
	if f := c.known.Load(); f != nil {
		f.add(hash)
	}
	if c.filling != nil {
		c.filling.add(hash)
	}
}

// forget begins anew: nothing is taken for absent.
func (c *census) forget() {
	c.known.Store(nil)
}

// room is for how many keys a filter should be made now, 0 where the present
// one will do.
func (c *census) room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f := c.known.Load(); {
	case f == nil:
		return c.first
	case f.added > f.room:
		return 2 * f.added
	}
	return 0
}

// take walks through all keys of the store and makes them known. It takes its
// time; keys added meanwhile are known too. From before it begins on, each key
// that comes into the store must be added.
func (c *census) take(ctx context.Context, s Store, room int, bound time.Duration) error {
	defer func() {
		c.mu.Lock()
		c.filling = nil
		c.mu.Unlock()
	}()
	for {
		f := newFilter(room)
		c.mu.Lock()
		c.filling = f
		for _, hash := range c.doubtful {
			f.add(hash)
		}
		c.mu.Unlock()
		n, err := c.walk(ctx, s, room, bound)
		if err != nil {
			return err
		}
		if n <= room {
			c.known.Store(f)
			return nil
		}
		// Only now it is known for how many there must be room.
		room = n + n/4
	}
}

// walk adds the keys of the store to filling, at most room of them, and tells
// how many there are.
func (c *census) walk(ctx context.Context, s Store, room int, bound time.Duration) (n int, err error) {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for after := (link.Key{}); ; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-rest.C:
		}
		began := time.Now()
		bounded, cancel := context.WithTimeout(ctx, bound)
		keys, err := s.Walk(bounded, after, walkPage)
		cancel()
		if err != nil {
			return 0, err
		}
		if n += len(keys); n <= room {
			c.mu.Lock()
			for _, k := range keys {
				c.filling.add(k.Hash(c.seed))
			}
			c.mu.Unlock()
		}
		if len(keys) < walkPage {
			return n, nil
		}
		after = keys[len(keys)-1]
		rest.Reset(walkRest * time.Since(began))
	}
}

// size gives how many keys are known, about, and the bytes that they take.
func (c *census) size() (keys, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.known.Load()
	if f == nil {
		return 0, 0
	}
	return f.added, len(f.blocks) * 64
}
