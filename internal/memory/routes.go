package memory

import (
	"context"
	"hash/maphash"
	"math/bits"
	"strings"
	"time"

	"kurz/internal/link"
)

// Routes is the hot cache of a node, a link.Cache with bounded room.
//
// Get takes no lock and allocates nothing: it probes a table of atomic
// pointers to entries that never change. Put and Forget lock the key's shard.
//
// What stays is decided by S3-FIFO (Yang and others, "FIFO queues are all you
// need for cache eviction", SOSP 2023): a new key waits in a small queue and
// moves to the main one only if it is asked for again while it waits, or soon
// after it left; so a flood of keys that are asked for once passes through the
// small queue and evicts no hot link. Keys known as not there have a queue of
// their own, so that guessing codes can't displace links at all.
type Routes struct {
	seed   maphash.Seed
	shards []routeShard
	shift  int // of a hash, to its shard
}

var _ link.Cache = (*Routes)(nil)

// NewRoutes makes a cache for at most about capacity links, and a sixteenth of
// that many keys without one. It takes memory as it fills: some 250 bytes a
// link, and the destination.
func NewRoutes(capacity int) *Routes {
	const most = 256
	shards := 1
	for shards < most && shards*256 < capacity {
		shards *= 2
	}
	c := &Routes{
		seed:   maphash.MakeSeed(),
		shards: make([]routeShard, shards),
		shift:  64 - bits.TrailingZeros(uint(shards)),
	}
	for i := range c.shards {
		c.shards[i].init(capacity / shards)
	}
	return c
}

// Get is that of link.Cache.
func (c *Routes) Get(_ context.Context, k link.Key) (*link.Route, bool, error) {
	hash := c.hash(k)
	e := c.shard(hash).find(hash, k)
	if e == nil {
		return nil, false, nil
	}
	e.used()
	return &e.route, true, nil
}

// Put is that of link.Cache.
func (c *Routes) Put(_ context.Context, k link.Key, r *link.Route) error {
	hash := c.hash(k)
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tombs.blocks(hash, r.Version) {
		return nil
	}
	old := s.find(hash, k)
	if old != nil && old.route.Version > r.Version {
		return nil
	}
	e := &entry{hash: hash, key: k, route: *r}
	if old != nil {
		e.key = old.key
	} else {
		// A code is often a piece of a request, which must not be kept for it.
		e.key.Code = link.Code(strings.Clone(string(k.Code)))
	}
	s.put(e, old)
	return nil
}

// Forget is that of link.Cache.
func (c *Routes) Forget(_ context.Context, k link.Key, version int64) error {
	hash := c.hash(k)
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tombs.add(hash, version, time.Now())
	if e := s.find(hash, k); e != nil && e.route.Version < version {
		s.drop(e)
	}
	return nil
}

// RoutesStats says what a cache holds and did.
type RoutesStats struct {
	Links      int // routes of links
	Missing    int // keys known as not there
	Tombstones int
	Evicted    uint64 // routes of links dropped for want of room
}

// Stats counts what there is.
func (c *Routes) Stats() (sum RoutesStats) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		sum.Links += s.links
		sum.Missing += s.missing
		sum.Tombstones += len(s.tombs.last)
		sum.Evicted += s.evicted
		s.mu.Unlock()
	}
	return sum
}

func (c *Routes) hash(k link.Key) uint64 {
	hash := maphash.String(c.seed, string(k.Code))
	if k.Domain != "" {
		hash ^= bits.RotateLeft64(maphash.String(c.seed, string(k.Domain)), 23)
	}
	return hash
}

func (c *Routes) shard(hash uint64) *routeShard { return &c.shards[hash>>c.shift] }

// tombstones keep older versions out for link.TombstoneTime. They are kept by
// hash: two keys of one 64-bit hash may keep each other out for that long,
// which costs a read of the store and no more.
type tombstones struct {
	last  map[uint64]tombstone
	queue []queued // by the time of their end
	head  int
}

type tombstone struct {
	version int64
	until   time.Time
}

type queued struct {
	hash  uint64
	until time.Time
}

func (t *tombstones) add(hash uint64, version int64, now time.Time) {
	t.sweep(now)
	if t.last == nil {
		t.last = map[uint64]tombstone{}
	}
	until := now.Add(link.TombstoneTime)
	t.last[hash] = tombstone{max(version, t.last[hash].version), until}
	t.queue = append(t.queue, queued{hash, until})
}

func (t *tombstones) sweep(now time.Time) {
	for t.head < len(t.queue) && t.queue[t.head].until.Before(now) {
		q := t.queue[t.head]
		t.head++
		if !t.last[q.hash].until.After(q.until) {
			delete(t.last, q.hash)
		}
	}
	switch {
	case t.head == len(t.queue):
		t.last, t.queue, t.head = nil, nil, 0
	case t.head > 64 && t.head > len(t.queue)/2:
		t.queue = append(t.queue[:0:0], t.queue[t.head:]...)
		t.head = 0
	}
}

func (t *tombstones) blocks(hash uint64, version int64) bool {
	stone, ok := t.last[hash]
	if !ok || version >= stone.version {
		return false
	}
	now := time.Now()
	if stone.until.Before(now) {
		t.sweep(now)
		return false
	}
	return true
}
