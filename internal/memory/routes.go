package memory

import (
	"context"
	"hash/maphash"
	"math/bits"
	"time"

	"kurz/internal/link"
)

// Routes is the hot cache of a node, a link.Cache with bounded room.
//
// Get takes no lock and allocates nothing. Put and Forget lock the key's
// shard. Links are packed into pages without pointers (see page), so that
// however many there are, the garbage collector has nothing to look at.
//
// What stays is decided by S3-FIFO (Yang and others, "FIFO queues are all you
// need for cache eviction", SOSP 2023): a new key waits in a small queue and
// moves to the main one only if it is asked for again while it waits, or soon
// after it left; so a flood of keys that are asked for once passes through the
// small queue and evicts no hot link. Keys known as not there have a queue of
// their own, so that guessing codes can't displace links at all.
type Routes struct {
	seed   maphash.Seed
	began  time.Time // what LoadedAt is counted from
	shards []routeShard
	shift  int // of a hash, to its shard
}

var _ link.Cache = (*Routes)(nil)

// bytesEach is what a link may take on average; see NewRoutes.
const bytesEach = 512

// NewRoutes makes a cache for at most about capacity links, and a sixteenth of
// that many keys without one. It takes memory as it fills: some 60 bytes a
// link, and the destination. Where links have so much to them that they take
// more than 512 bytes each, fewer are kept, so that nobody fills the memory by
// making long ones.
func NewRoutes(capacity int) *Routes {
	shards := 1
	for shards < 128 && shards*256 < capacity || shards < 1024 && shards*16384 < capacity {
		shards *= 2
	}
	c := &Routes{
		seed:   maphash.MakeSeed(),
		began:  time.Now(),
		shards: make([]routeShard, shards),
		shift:  64 - bits.TrailingZeros(uint(shards)),
	}
	g := newRegions(askHuge)
	for i := range c.shards {
		c.shards[i].init(c.seed, g, capacity/shards, bytesEach)
	}
	return c
}

// Get is that of link.Cache.
func (c *Routes) Get(_ context.Context, k link.Key) (r link.Route, ok bool, err error) {
	hash := k.Hash(c.seed)
	var f found
	if !c.shard(hash).index.Load().find(hash, k, &f) {
		return r, false, nil
	}
	f.used()
	f.read(&r, len(k.Code)+len(k.Domain))
	r.LoadedAt = timeOf(f.loaded(), c.began)
	return r, true, nil
}

// stampUnit is how exactly LoadedAt is kept, in nanoseconds. It is rounded down,
// so that nothing is taken for fresher than it is.
const stampUnit = int64(100 * time.Millisecond)

// stampOf gives LoadedAt in 32 bits, 0 for none. They come again after 13 years.
func stampOf(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return max(uint32(t.UnixNano()/stampUnit), 1)
}

// timeOf gives the time of a stamp that is nearest to another time.
func timeOf(stamp uint32, near time.Time) time.Time {
	if stamp == 0 {
		return time.Time{}
	}
	n := near.UnixNano() / stampUnit
	return time.Unix(0, (n+int64(int32(stamp-uint32(n))))*stampUnit).UTC()
}

// Put is that of link.Cache.
func (c *Routes) Put(_ context.Context, k link.Key, r *link.Route) error {
	hash := k.Hash(c.seed)
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tombs.blocks(hash, r.Version) {
		s.put(hash, k, r, stampOf(r.LoadedAt))
	}
	return nil
}

// Forget is that of link.Cache.
func (c *Routes) Forget(_ context.Context, k link.Key, version int64) error {
	hash := k.Hash(c.seed)
	s := c.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tombs.add(hash, version, time.Now())
	var f found
	if s.index.Load().find(hash, k, &f) && f.version() < version {
		s.remove(hash, &f)
	}
	return nil
}

// RoutesStats says what a cache holds and did.
type RoutesStats struct {
	Links      int // routes of links
	Missing    int // keys known as not there
	Bytes      int // of memory for both
	Tombstones int
	Evicted    uint64 // routes of links dropped for want of room
	Moved      uint64 // routes moved together, to give memory back
}

// Stats counts what there is.
func (c *Routes) Stats() (sum RoutesStats) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		x := s.index.Load()
		sum.Links += s.links()
		sum.Missing += s.count[absentQueue]
		sum.Bytes += s.size + len(x.slots)*slotSize + len(x.entries)*entrySize + len(s.ghosts.buckets)*32
		sum.Tombstones += len(s.tombs.last)
		sum.Evicted += s.evicted
		sum.Moved += s.moved
		s.mu.Unlock()
	}
	return sum
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
