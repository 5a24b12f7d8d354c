package pace_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/pace"
)

// step is what work does before it breathes. No two clocks below are in step.
const step = 90 * time.Microsecond

func TestWorkRestsWhileRedirectsAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Uint64
		p := pace.New(served.Load)
		defer serve(&served)()
		working := time.Duration(0) // since the last rest
		did := time.Duration(0)
		began := time.Now()
		for time.Since(began) < time.Second {
			time.Sleep(step)
			working, did = working+step, did+step
			before := time.Now()
			if p.Breathe(); time.Since(before) > 0 {
				working = 0
			}
			if first := 20 * time.Millisecond; working > time.Millisecond+step && time.Since(began) > first {
				t.Fatalf("worked for %v without a rest", working)
			}
		}
		if least, most := 450*time.Millisecond, 600*time.Millisecond; did < least || did > most {
			t.Errorf("worked for %v of a second, want half", did)
		}
	})
}

func TestAllRestAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Uint64
		p := pace.New(served.Load)
		defer serve(&served)()
		const workers = 3
		var working atomic.Int64
		var group sync.WaitGroup
		end := time.Now().Add(time.Second)
		for i := range workers {
			group.Go(func() {
				for time.Now().Before(end) {
					working.Add(1)
					time.Sleep(step + time.Duration(i)*time.Microsecond)
					working.Add(-1)
					p.Breathe()
				}
			})
		}
		idle := 0
		for range 1000 {
			time.Sleep(997 * time.Microsecond)
			if working.Load() == 0 {
				idle++
			}
		}
		group.Wait()
		if idle < 400 {
			t.Errorf("nobody worked at %d of 1,000 moments, want half", idle)
		}
	})
}

func TestWorkGoesOnWhileNothingIsServed(t *testing.T) {
	tests := []struct {
		name    string
		redirs  int           // one each millisecond
		restful time.Duration // for so long there may be rests
	}{
		{"none ever", 0, 0},
		{"no more", 50, 70 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var served atomic.Uint64
				p := pace.New(served.Load)
				go func() {
					for range tt.redirs {
						served.Add(1)
						time.Sleep(time.Millisecond)
					}
				}()
				began := time.Now()
				for time.Since(began) < time.Second {
					time.Sleep(step)
					before := time.Now()
					if p.Breathe(); time.Since(before) > 0 && before.Sub(began) > tt.restful {
						t.Fatalf("rested for %v after %v", time.Since(before), before.Sub(began))
					}
				}
			})
		})
	}
}

func BenchmarkBreathe(b *testing.B) {
	p := pace.New(func() uint64 { return 0 })
	for b.Loop() {
		p.Breathe()
	}
}

// serve counts a redirect every 200 µs, for a bit more than a second; ended waits
// for the end.
func serve(served *atomic.Uint64) (ended func()) {
	var group sync.WaitGroup
	group.Go(func() {
		for range 5500 {
			served.Add(1)
			time.Sleep(200 * time.Microsecond)
		}
	})
	return group.Wait
}
