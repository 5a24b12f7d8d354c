package cli

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
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

// spare is how much memory may be kept without use, in bytes: what a collection
// would find, and what Go keeps for what comes. Joining clicks takes several
// times as much for a second or two, every few minutes.
const spare = 24 << 20

// giveBack gives memory back to the system, until ctx ends, once there was more
// than spare without use for two seconds. Go itself does so over minutes.
func giveBack(ctx context.Context) {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/live:bytes"},
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for seen := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(samples)
		objects, free, live := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
		if seen++; objects+free < live+spare {
			seen = 0
		}
		if seen == 2 {
			seen = 0
			debug.FreeOSMemory()
		}
	}
}
