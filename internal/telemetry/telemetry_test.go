package telemetry_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/telemetry"
)

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Build{Version: "v1", Commit: "abc", GoVersion: "go1"})
	m.Request("/api/v1/urls", "POST", 201, 2*time.Millisecond)
	m.Request("/api/v1/urls", "BREW", 9999, time.Minute)
	m.Request("redirect", "GET", 302, time.Millisecond)
	m.Request("redirect", "GET", 301, time.Millisecond)
	m.Request("redirect", "HEAD", 404, time.Millisecond)
	m.Request("redirect", "GET", 429, time.Millisecond)
	m.Counter("kurz_clicks_lost_total", "Lost.", func() float64 { return 3 })
	m.Gauge("kurz_clicks_pending", "Pending.", func() float64 { return 4 })
	got := scrape(t, m)
	for _, want := range []string{
		`kurz_http_requests_total{method="POST",route="/api/v1/urls",status="201"} 1`,
		`kurz_http_requests_total{method="other",route="/api/v1/urls",status="0"} 1`,
		`kurz_http_request_duration_seconds_bucket{route="/api/v1/urls",le="0.0025"} 1`,
		`kurz_http_request_duration_seconds_count{route="/api/v1/urls"} 2`,
		`kurz_http_requests_total{method="GET",route="redirect",status="301"} 1`,
		`kurz_http_request_duration_seconds_count{route="redirect"} 4`,
		`kurz_redirects_total{result="redirected"} 2`,
		`kurz_redirects_total{result="not_found"} 1`,
		`kurz_redirects_total{result="limited"} 1`,
		`kurz_rate_limited_total{route="redirect"} 1`,
		`kurz_clicks_lost_total 3`,
		`kurz_clicks_pending 4`,
		`kurz_build_info{commit="abc",go_version="go1",version="v1"} 1`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Build{})
	n := testing.AllocsPerRun(1000, func() {
		m.Request("redirect", "GET", 302, time.Millisecond)
		m.Request("api", "POST", 201, time.Millisecond)
	})
	if n != 0 {
		t.Errorf("%v allocations for a redirect", n)
	}
}

// TestRedirectsAreCounted counts on many processors, looked at meanwhile: each
// once.
func TestRedirectsAreCounted(t *testing.T) {
	const workers, each = 8, 2000
	m := telemetry.NewMetrics(telemetry.Build{})
	var counting sync.WaitGroup
	for i := range workers {
		counting.Go(func() {
			for n := range each {
				m.Request("redirect", []string{"GET", "HEAD"}[n%2], 302, time.Duration(i)*100*time.Microsecond)
			}
		})
	}
	for range 20 {
		scrape(t, m)
	}
	counting.Wait()
	for range 2 {
		got := scrape(t, m)
		for _, want := range []string{
			`kurz_http_requests_total{method="GET",route="redirect",status="302"} 8000`,
			`kurz_http_requests_total{method="HEAD",route="redirect",status="302"} 8000`,
			`kurz_redirects_total{result="redirected"} 16000`,
			`kurz_http_request_duration_seconds_bucket{route="redirect",le="5e-05"} 2000`,
			`kurz_http_request_duration_seconds_bucket{route="redirect",le="0.0001"} 4000`,
			`kurz_http_request_duration_seconds_bucket{route="redirect",le="0.0005"} 12000`,
			`kurz_http_request_duration_seconds_bucket{route="redirect",le="+Inf"} 16000`,
			`kurz_http_request_duration_seconds_sum{route="redirect"} 5.6`,
			`kurz_http_request_duration_seconds_count{route="redirect"} 16000`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("metrics lack %s", want)
			}
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	m := telemetry.NewMetrics(telemetry.Build{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Request("redirect", "GET", 302, 73*time.Microsecond)
		}
	})
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := telemetry.NewLogger(&b, "json", slog.LevelInfo)
	log.Debug("hidden")
	log.Info("shown", "n", 1)
	if got := b.String(); strings.Contains(got, "hidden") || !strings.Contains(got, `"msg":"shown","n":1`) || !strings.Contains(got, `Z"`) {
		t.Errorf("log %s", got)
	}
	b.Reset()
	telemetry.NewLogger(&b, "text", slog.LevelInfo).Info("shown")
	if got := b.String(); !strings.HasPrefix(got, "time=") || !strings.HasSuffix(got, "level=INFO msg=shown\n") {
		t.Errorf("log %s", got)
	}
}

func TestBuildOf(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Version: "(devel)"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-22T00:00:00Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	want := telemetry.Build{Version: "devel", Commit: "abc", Time: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Modified: true, GoVersion: "go1.26.8"}
	if diff := cmp.Diff(want, telemetry.BuildOf(info, true)); diff != "" {
		t.Errorf("build (-want +got):\n%s", diff)
	}
	if got := telemetry.BuildOf(nil, false); got.Version != "devel" {
		t.Errorf("build without information: %+v", got)
	}
}
