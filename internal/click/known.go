package click

import "net/netip"

// Known remembers the visitor of a connection: who asks again there is nearly
// always the same, and need not be hashed again. The zero Known knows nobody.
// It is for one goroutine at a time, lives in memory only, and is to be cleared
// before another client has it.
type Known struct {
	epoch   uint64
	client  netip.Addr
	length  int
	agent   [maxKnownAgent]byte
	visitor uint64 // 0: nobody is known
}

// maxKnownAgent bounds the user agents that are remembered: nearly all.
const maxKnownAgent = 256

// hash gives the visitor hash of a visit.
func (k *Known) hash(h Hasher, v *Visit) uint64 {
	if k == nil || len(v.UserAgent) > len(k.agent) {
		return h.Hash(v.Client, v.UserAgent, v.Time)
	}
	epoch := h.Epoch(v.Time)
	if k.visitor != 0 && k.epoch == epoch && k.client == v.Client && string(k.agent[:k.length]) == v.UserAgent {
		return k.visitor
	}
	visitor := h.Hash(v.Client, v.UserAgent, v.Time)
	k.visitor = 0
	if h.Epoch(v.Time) == epoch { // so the hash is of that epoch
		k.epoch, k.client, k.visitor = epoch, v.Client, visitor
		k.length = copy(k.agent[:], v.UserAgent)
	}
	return visitor
}
