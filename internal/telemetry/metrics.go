package telemetry

import (
	"net/http"
	"strconv"
	"sync"
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
	redirects *prometheus.CounterVec
	limited   *prometheus.CounterVec
	statuses  [600]string

	// hot keeps the series of redirects, which a look-up by labels would make
	// dearer than the rest of their counting.
	hot sync.Map // string → prometheus.Counter
}

// buckets are bounds in seconds from what a cached redirect takes to what
// nobody should wait for.
var buckets = []float64{
	0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// NewMetrics makes the metrics of one running program.
func NewMetrics(b Build) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kurz_http_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kurz_http_request_duration_seconds", Help: "Time from a request to its answer, by route.", Buckets: buckets,
		}, []string{"route"}),
		redirects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kurz_redirects_total", Help: "Requests for short links, by what became of them.",
		}, []string{"result"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kurz_rate_limited_total", Help: "Requests refused because a limit was reached, by limit.",
		}, []string{"limit"}),
	}
	for i := range m.statuses {
		m.statuses[i] = strconv.Itoa(i)
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kurz_build_info", Help: "Always 1; the labels say which program runs.",
	}, []string{"version", "commit", "go_version"})
	build.WithLabelValues(b.Version, b.Commit, b.GoVersion).Set(1)
	m.registry.MustRegister(
		m.requests, m.durations, m.redirects, m.limited, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Request counts an answered request. The route is a pattern of the program's
// own, never a path that was asked for.
func (m *Metrics) Request(route, method string, status int, took time.Duration) {
	if status < 100 || status >= len(m.statuses) {
		status = 0
	}
	m.requests.WithLabelValues(route, methodLabel(method), m.statuses[status]).Inc()
	m.durations.WithLabelValues(route).Observe(took.Seconds())
}

// Redirect counts a request for a short link by its result, one of a closed
// set such as "redirect", "absent" or "gone".
func (m *Metrics) Redirect(result string) {
	if c, ok := m.hot.Load(result); ok {
		c.(prometheus.Counter).Inc() //nolint:forcetypeassert // nothing else is stored
		return
	}
	c := m.redirects.WithLabelValues(result)
	m.hot.Store(result, c)
	c.Inc()
}

// Limited counts a request that a limit refused, by the limit's name.
func (m *Metrics) Limited(limit string) { m.limited.WithLabelValues(limit).Inc() }

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
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		Timeout:           10 * time.Second,
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
