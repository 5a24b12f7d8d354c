package cli

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestCollectorPace(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name          string
		live, scanned uint64
		want          int
	}{
		{"nothing", 0, 0, 100},
		{"small", 15 * mb, 5 * mb, 100},
		{"all scanned", 500 * mb, 500 * mb, 100},
		{"links", 320 * mb, 10 * mb, 5},
		{"links and more", 320 * mb, 160 * mb, 50},
		{"very many links", 100_000 * mb, 10 * mb, 1},
	} {
		if got := collectorPace(c.live, c.scanned); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func gogc() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func TestPaceCollector(t *testing.T) {
	paceCollector("50")()
	if got := gogc(); got != 100 {
		t.Errorf("GOGC %d where the operator's is in force, which is 100 here", got)
	}
	stop := paceCollector("")
	pages := make([][]byte, 4)
	for i := range pages {
		pages[i] = make([]byte, 40<<20)
	}
	for gogc() > 40 {
		runtime.GC() // the test's time bounds it
	}
	runtime.KeepAlive(pages)
	clear(pages)
	for gogc() != 100 {
		runtime.GC()
	}
	stop()
}
