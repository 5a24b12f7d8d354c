package memory

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"kurz/internal/ratelimit"
)

// Limits is a ratelimit.Source that keeps a bounded number of timestamps.
//
// A timestamp that has passed says the same as none, so as new keys come, the
// shard's oldest places are looked through for such and used again. Where the
// shard is full of live ones, a few are drawn at random and the one closest to
// passing makes room. Drawn at random, because no order must be kept up on
// each Take, and because a stranger who floods with fresh keys can't choose
// whose state is lost; the closest to passing, because it loses least: a fresh
// key owes less than one that is being refused, so a flood displaces itself
// and not the subjects that the limit holds back.
type Limits struct {
	seed   maphash.Seed
	shards [limitShards]limitShard
}

const (
	limitShards = 64
	sweepSteps  = 4 // places looked through for each new key
	evictDraws  = 8
)

var _ ratelimit.Source = (*Limits)(nil)

type limitShard struct {
	mu    sync.Mutex
	room  int
	index map[ratelimit.Key]int32 // where in slots
	slots []limitSlot
	hand  int // of the sweep
	draws rand.PCG
	_     [64]byte // keeps neighbours off the same cache line
}

type limitSlot struct {
	key ratelimit.Key
	tat int64 // Unix nanoseconds
}

// NewLimits makes a source that keeps at most about capacity keys, at some 80
// bytes each once they are there.
func NewLimits(capacity int) *Limits {
	s := &Limits{seed: maphash.MakeSeed()}
	for i := range s.shards {
		shard := &s.shards[i]
		shard.room = max(capacity/limitShards, 1)
		shard.index = map[ratelimit.Key]int32{}
		// The seed of a map is random, and so what it makes of a number.
		shard.draws.Seed(maphash.Comparable(s.seed, i), uint64(i))
	}
	return s
}

// Take is that of ratelimit.Source. It never fails or blocks, and does not
// allocate for a key that is there.
func (s *Limits) Take(_ context.Context, k ratelimit.Key, l ratelimit.Limit, now time.Time, n int) (ratelimit.Result, error) {
	shard := s.shardOf(&k)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	at, known := shard.index[k]
	var tat time.Time
	if known {
		tat = time.Unix(0, shard.slots[at].tat)
	}
	next, r := l.Take(tat, now, n)
	switch {
	case !r.Allowed:
	case known:
		shard.slots[at].tat = next.UnixNano()
	default:
		shard.add(limitSlot{k, next.UnixNano()}, now.UnixNano())
	}
	return r, nil
}

// Len gives how many keys are kept.
func (s *Limits) Len() int {
	n := 0
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += len(s.shards[i].slots)
		s.shards[i].mu.Unlock()
	}
	return n
}

func (s *Limits) shardOf(k *ratelimit.Key) *limitShard {
	var b [17]byte
	b[0] = byte(k.Scope)
	copy(b[1:], k.Subject[:])
	return &s.shards[maphash.Bytes(s.seed, b[:])%limitShards]
}

func (s *limitShard) add(slot limitSlot, now int64) {
	for range min(sweepSteps, len(s.slots)) {
		if s.hand >= len(s.slots) {
			s.hand = 0
		}
		if s.slots[s.hand].tat <= now {
			s.remove(s.hand)
		} else {
			s.hand++
		}
	}
	if len(s.slots) >= s.room {
		s.remove(s.victim())
	}
	s.index[slot.key] = int32(len(s.slots))
	s.slots = append(s.slots, slot)
}

func (s *limitShard) victim() int {
	best := s.draw()
	for range evictDraws - 1 {
		if i := s.draw(); s.slots[i].tat < s.slots[best].tat {
			best = i
		}
	}
	return best
}

func (s *limitShard) draw() int { return int(s.draws.Uint64() % uint64(len(s.slots))) }

// remove fills the place with the last one.
func (s *limitShard) remove(i int) {
	last := len(s.slots) - 1
	delete(s.index, s.slots[i].key)
	if i != last {
		s.slots[i] = s.slots[last]
		s.index[s.slots[i].key] = int32(i)
	}
	s.slots = s.slots[:last]
}
