package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// headroom is what may be allocated between two collections at least, in bytes.
const headroom = 16 << 20

// collectorPace is Go's GOGC for a heap of which so many bytes are in use, and
// so many of these have to be scanned.
//
// GOGC=100 lets a heap double before it is collected, so that the work of
// scanning it is shared by as many bytes of garbage. Links in memory are not
// scanned: doubling them would buy nothing. So what may be added follows what
// is scanned. It is never more than Go's own, and the same for a small heap.
func collectorPace(live, scanned uint64) int {
	room := max(headroom, scanned)
	if room >= live {
		return 100
	}
	return max(int(room*100/live), 1)
}

// paceCollector keeps GOGC at collectorPace, judged anew after each collection,
// until stop is called. An operator's GOGC stays what it is.
func paceCollector(gogc string) (stop func()) {
	if gogc != "" {
		return func() {}
	}
	var mu sync.Mutex
	stopped, set := false, 100
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	var await func()
	collected := func(struct{}) {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		metrics.Read(samples)
		if pace := collectorPace(samples[0].Value.Uint64(), samples[1].Value.Uint64()); pace != set {
			set = pace
			debug.SetGCPercent(set)
		}
		await()
	}
	await = func() {
		// What nobody needs any longer is what a collection finds.
		runtime.AddCleanup(&struct{ _ *int }{}, collected, struct{}{})
	}
	await()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		debug.SetGCPercent(100)
	}
}
