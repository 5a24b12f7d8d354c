package telemetry

import "github.com/prometheus/client_golang/prometheus"

// family is a metric with one label whose values are a closed set, read
// together when they are asked for.
type family struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values []string
	read   func() map[string]float64
}

// Counters shows counts that read gives by the value of a label; the name ends
// in _total. A value that read does not give is 0, one that is not in values is
// not shown. Where read gives nil, nothing is.
func (m *Metrics) Counters(name, help, label string, values []string, read func() map[string]float64) {
	m.family(prometheus.CounterValue, name, help, label, values, read)
}

// Gauges is Counters for values that go up and down.
func (m *Metrics) Gauges(name, help, label string, values []string, read func() map[string]float64) {
	m.family(prometheus.GaugeValue, name, help, label, values, read)
}

func (m *Metrics) family(kind prometheus.ValueType, name, help, label string, values []string, read func() map[string]float64) {
	m.registry.MustRegister(&family{prometheus.NewDesc(name, help, []string{label}, nil), kind, values, read})
}

// Describe is that of prometheus.Collector.
func (f *family) Describe(out chan<- *prometheus.Desc) { out <- f.desc }

// Collect is that of prometheus.Collector.
func (f *family) Collect(out chan<- prometheus.Metric) {
	found := f.read()
	if found == nil {
		return
	}
	for _, v := range f.values {
		out <- prometheus.MustNewConstMetric(f.desc, f.kind, found[v], v)
	}
}
