package redirect

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// TestFilter fills filters to the brim: nothing added is missing, also for who
// looks meanwhile, and little else is there.
func TestFilter(t *testing.T) {
	for _, room := range []int{1, 50, 1000, 300_000} {
		f := newFilter(room)
		hashes := rand.New(rand.NewPCG(1, uint64(room)))
		added := make([]uint64, room)
		for i := range added {
			added[i] = hashes.Uint64()
		}
		var reading sync.WaitGroup
		if room == 1000 {
			reading.Go(func() {
				for range 100 {
					for _, hash := range added {
						f.has(hash)
					}
				}
			})
		}
		for _, hash := range added {
			f.add(hash)
			f.add(hash)
			if !f.has(hash) {
				t.Fatalf("room for %d: %x is missing", room, hash)
			}
		}
		reading.Wait()
		for _, hash := range added {
			if !f.has(hash) {
				t.Fatalf("room for %d: %x is missing", room, hash)
			}
		}
		if f.added > room || f.added < room*97/100 {
			t.Errorf("room for %d: %d counted", room, f.added)
		}
		if room < 1000 {
			continue // too few to tell
		}
		const others = 200_000
		wrong := 0
		for range others {
			if f.has(hashes.Uint64()) {
				wrong++
			}
		}
		t.Logf("room for %d: %d bytes, %.2f %% of others taken for added", room, len(f.blocks)*64, 100*float64(wrong)/others)
		if wrong > others/100 {
			t.Errorf("room for %d: %d of %d others taken for added", room, wrong, others)
		}
	}
}

func BenchmarkFilterHas(b *testing.B) {
	f := newFilter(10_000_000)
	hashes := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		f.has(hashes.Uint64())
	}
}
