// Package pace lets work in the background give way to the redirects that
// people wait for.
//
// A goroutine that computes is left alone by the runtime for 10 ms, and where
// each processor has one of these nobody looks at the network in the meantime,
// which runtime.Gosched does not change: it gives way to those that can run
// already, not to a request that nobody has read yet. So work that takes long
// calls Breathe now and then.
//
// It guarantees that while redirects are served whoever calls it sleeps every
// other millisecond, all in the same ones, so that the processors are free in
// between whatever number is at work; and that nobody sleeps while none are.
// Start reading at Breathe.
package pace

import (
	"sync/atomic"
	"time"
)

const (
	// Work may be done for so long, and then there is a rest. Clicks drained at
	// half the speed are drained faster than they come.
	work = time.Millisecond
	rest = time.Millisecond
	// look is how often it is looked whether redirects are served.
	look = 10 * time.Millisecond
)

// Pacer tells work in the background when to rest. It is for any number of
// goroutines.
type Pacer struct {
	served func() uint64
	began  time.Time

	looked  atomic.Int64 // when, since began
	count   atomic.Uint64
	serving atomic.Bool
}

// New makes a Pacer. served tells how many redirects were answered so far; it is
// called every 10 ms at most.
func New(served func() uint64) *Pacer {
	return &Pacer{served: served, began: time.Now()}
}

// Breathe returns at once, or after the rest that is due while redirects are
// served: 1 ms at most. It is to be called several times within a millisecond
// of work, and costs as much as looking at the clock.
func (p *Pacer) Breathe() {
	now := time.Since(p.began)
	if into := now % (work + rest); into >= work && p.busy(now) {
		time.Sleep(work + rest - into) //nolint:forbidigo // to sleep is what it is for
	}
}

// busy reports whether redirects are served.
func (p *Pacer) busy(now time.Duration) bool {
	last := p.looked.Load()
	if int64(now)-last >= int64(look) && p.looked.CompareAndSwap(last, int64(now)) {
		count := p.served()
		p.serving.Store(count != p.count.Swap(count))
	}
	return p.serving.Load()
}
