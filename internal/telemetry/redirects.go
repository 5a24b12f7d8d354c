package telemetry

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// redirects counts requests for short links in stripes of memory, drawn at
// random, so that processors don't fight for one. They are added up when
// someone looks.
type redirects struct {
	stripes []stripe // a power of two
	desc    *prometheus.Desc

	mu       sync.Mutex
	requests *prometheus.CounterVec
	results  *prometheus.CounterVec
}

type stripe struct {
	gets    [statuses]atomic.Uint64 // GET requests since the last look, by status
	buckets [18]atomic.Uint64       // by time, of all methods: one more than there are bounds
	sum     atomic.Int64            // nanoseconds
	_       [64]byte                // keeps neighbours off the same cache line
}

// statuses are counted from 0, which stands for all that are none.
const statuses = 600

func newRedirects(requests, results *prometheus.CounterVec) *redirects {
	n := 1
	for n < 4*runtime.GOMAXPROCS(0) && n < 64 {
		n *= 2
	}
	return &redirects{
		stripes: make([]stripe, n), requests: requests, results: results,
		desc: prometheus.NewDesc(durationName, durationHelp, nil, prometheus.Labels{"route": redirectRoute}),
	}
}

// request counts one; get says that it was a GET.
func (r *redirects) request(get bool, status int, took time.Duration) {
	s := &r.stripes[rand.Uint32()&uint32(len(r.stripes)-1)]
	if get {
		s.gets[status].Add(1)
	}
	i := 0
	for i < len(buckets) && took > bucketTimes[i] {
		i++
	}
	s.buckets[i].Add(1)
	s.sum.Add(int64(took))
}

// served tells how many were counted since the start.
func (r *redirects) served() uint64 {
	n := uint64(0)
	for i := range r.stripes {
		for j := range r.stripes[i].buckets {
			n += r.stripes[i].buckets[j].Load()
		}
	}
	return n
}

// flush brings the counts since the last time into the counters.
func (r *redirects) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for status := range statuses {
		n := uint64(0)
		for i := range r.stripes {
			if count := &r.stripes[i].gets[status]; count.Load() > 0 {
				n += count.Swap(0)
			}
		}
		if n > 0 {
			r.requests.WithLabelValues(redirectRoute, "GET", strconv.Itoa(status)).Add(float64(n))
			r.results.WithLabelValues(resultOf(status)).Add(float64(n))
		}
	}
}

// Describe is that of prometheus.Collector. It names nothing, since the times
// of other routes have the same name.
func (r *redirects) Describe(chan<- *prometheus.Desc) {}

// Collect is that of prometheus.Collector.
func (r *redirects) Collect(out chan<- prometheus.Metric) {
	below := make(map[float64]uint64, len(buckets))
	count, sum := uint64(0), int64(0)
	for i := range len(buckets) + 1 {
		for j := range r.stripes {
			count += r.stripes[j].buckets[i].Load()
		}
		if i < len(buckets) {
			below[buckets[i]] = count
		}
	}
	for i := range r.stripes {
		sum += r.stripes[i].sum.Load()
	}
	if count > 0 {
		out <- prometheus.MustNewConstHistogram(r.desc, count, time.Duration(sum).Seconds(), below)
	}
}
