package telemetry

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics counts what happens, for /metrics. Its methods are safe for
// concurrent use, do not block, and do not allocate once a series exists.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	results   *prometheus.CounterVec
	limited   *prometheus.CounterVec
	redirects *redirects
	labels    [statuses]string
}

const (
	durationName = "kurz_http_request_duration_seconds"
	durationHelp = "Time from a request to its answer, by route."
)

// buckets are bounds in seconds from what a cached redirect takes to what
// nobody should wait for.
var buckets = []float64{
	0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// bucketTimes are buckets as times.
var bucketTimes = func() []time.Duration {
	times := make([]time.Duration, len(buckets))
	for i, seconds := range buckets {
		times[i] = time.Duration(math.Round(seconds * 1e9))
	}
	return times
}()

// NewMetrics makes the metrics of one running program.
func NewMetrics(b Build) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kurz_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: durationName, Help: durationHelp, Buckets: buckets,
		}, []string{"route"}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kurz_redirects_total", Help: "Requests for short links, by what became of them.",
		}, []string{"result"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kurz_rate_limited_total", Help: "Requests refused because a limit was reached, by route.",
		}, []string{"route"}),
	}
	m.redirects = newRedirects(m.requests, m.results)
	for i := range m.labels {
		m.labels[i] = strconv.Itoa(i)
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kurz_build_info", Help: "Always 1; the labels say which program runs.",
	}, []string{"version", "commit", "go_version"})
	build.WithLabelValues(b.Version, b.Commit, b.GoVersion).Set(1)
	m.registry.MustRegister(
		m.requests, m.durations, m.redirects, m.results, m.limited, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// redirectRoute is the route of requests for short links.
const redirectRoute = "redirect"

// Request counts an answered request. The route is a name of the program's own,
// never a path that was asked for.
func (m *Metrics) Request(route, method string, status int, took time.Duration) {
	if status < 100 || status >= statuses {
		status = 0
	}
	if route == redirectRoute {
		m.redirects.request(method == http.MethodGet, status, took)
	} else {
		m.durations.WithLabelValues(route).Observe(took.Seconds())
	}
	if route != redirectRoute || method != http.MethodGet {
		m.requests.WithLabelValues(route, methodLabel(method), m.labels[status]).Inc()
		if route == redirectRoute {
			m.results.WithLabelValues(resultOf(status)).Inc()
		}
	}
	if status == http.StatusTooManyRequests {
		m.limited.WithLabelValues(route).Inc()
	}
}

// Redirects tells how many requests for short links were answered.
func (m *Metrics) Redirects() uint64 { return m.redirects.served() }

// resultOf tells what became of a request for a short link.
func resultOf(status int) string {
	switch {
	case status >= 300 && status < 400:
		return "redirected"
	case status == http.StatusNotFound:
		return "not_found"
	case status == http.StatusGone:
		return "gone"
	case status == http.StatusUnprocessableEntity:
		return "blocked"
	case status == http.StatusTooManyRequests:
		return "limited"
	case status == http.StatusServiceUnavailable:
		return "unavailable"
	case status >= 400 && status < 500:
		return "refused"
	}
	return "failed"
}

// Counter shows a count that read gives; the name ends in _total.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Gauge shows a value that read gives; the name ends in its unit, if it has one.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Handler answers with all metrics in the format that is asked for.
func (m *Metrics) Handler() http.Handler {
	h := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		Timeout:           10 * time.Second,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.redirects.flush()
		h.ServeHTTP(w, r)
	})
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
