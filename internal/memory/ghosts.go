package memory

// ghosts remember, by 32 bits of hash, which keys left the small queue lately.
// It takes 8 bytes a key, and none until something is evicted.
type ghosts struct {
	buckets [][4]ghost
	room    uint32
	clock   uint32 // counts additions
}

type ghost struct {
	print uint32 // 0: none
	added uint32
}

func (g *ghosts) bucket(hash uint64) (*[4]ghost, uint32) {
	return &g.buckets[hash>>8&uint64(len(g.buckets)-1)], uint32(hash>>24) | 1
}

func (g *ghosts) add(hash uint64, room int) {
	if g.buckets == nil {
		n := 1
		for n*4 < room {
			n *= 2
		}
		g.buckets, g.room = make([][4]ghost, n), uint32(room)
	}
	g.clock++
	bucket, trace := g.bucket(hash)
	oldest := 0
	for i := range bucket {
		if g.clock-bucket[i].added > g.clock-bucket[oldest].added {
			oldest = i
		}
	}
	bucket[oldest] = ghost{trace, g.clock}
}

// take reports whether the key left lately, and forgets that it did.
func (g *ghosts) take(hash uint64) bool {
	if g.buckets == nil {
		return false
	}
	bucket, trace := g.bucket(hash)
	for i := range bucket {
		if bucket[i].print == trace && g.clock-bucket[i].added < g.room {
			bucket[i] = ghost{}
			return true
		}
	}
	return false
}
