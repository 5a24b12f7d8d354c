package app_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/app"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/fault"
	"kurz/internal/journal"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/telemetry"
)

// plainEnricher takes everybody for a person.
type plainEnricher struct{}

func (plainEnricher) Enrich(click.Headers) click.Enrichment {
	return click.Enrichment{Kind: click.Human, Trigger: click.ByLink}
}
func (plainEnricher) Locate(netip.Addr) click.Place             { return click.Place{} }
func (plainEnricher) Hash(netip.Addr, string, time.Time) uint64 { return 1 }
func (plainEnricher) Epoch(time.Time) uint64                    { return 1 }

// brokenSink can store nothing while broken is closed.
type brokenSink struct {
	click.Sink
	mended chan struct{}
}

func (s brokenSink) Add(ctx context.Context, b click.Batch) error {
	select {
	case <-s.mended:
		return s.Sink.Add(ctx, b)
	default:
		return fault.New(fault.Unavailable, "no")
	}
}

// running is an App on a loopback port.
type running struct {
	url      string
	app      *app.App
	clicks   *memory.Clicks
	accounts *memory.Accounts
	stop     func() error
}

func run(t testing.TB, change func(*app.Parts), environ ...string) *running {
	t.Helper()
	return runOn(t, func(l net.Listener) net.Listener { return l }, change, environ...)
}

// runOn is run with another listener in front of the port.
func runOn(t testing.TB, front func(net.Listener) net.Listener, change func(*app.Parts), environ ...string) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	settings, err := config.Load(config.Sources{Environ: append(environ, "KURZ_BASE_URL="+url)})
	if err != nil {
		t.Fatal(err)
	}
	log, err := journal.Open(filepath.Join(t.TempDir(), "journal"), journal.Options{SegmentSize: 1 << 20, Sync: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	r := &running{url: url, clicks: memory.NewClicks(), accounts: memory.NewAccounts()}
	parts := app.Parts{
		Links: memory.NewLinks(), Codes: link.RandomCodes{Rand: rand.Reader}, Routes: memory.NewRoutes(1000), Accounts: r.accounts,
		Idempotency: memory.NewIdempotency(), Jobs: memory.NewJobs(), Log: log, Sink: r.clicks, Reports: r.clicks, Upkeep: r.clicks,
		Enricher: plainEnricher{}, Locator: plainEnricher{}, Hasher: plainEnricher{},
		Limits:   memory.NewLimits(1000),
		Checks:   []app.Check{{Name: "memory", Run: func(context.Context) (string, error) { return "plenty", nil }}},
		Measures: []app.Measure{{Name: "kurz_test_total", Help: "Test.", Total: true, Read: func() float64 { return 7 }}, {Name: "kurz_test_now", Help: "Test.", Read: func() float64 { return 8 }}},
	}
	if change != nil {
		change(&parts)
	}
	around := app.Surroundings{Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)}
	if r.app, err = app.New(&settings.Settings, parts, around, telemetry.NewMetrics(telemetry.Build{}), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.app.Run(ctx, front(listener)) }()
	r.stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *running) get(t *testing.T, path string) (int, http.Header, string) {
	t.Helper()
	return r.do(t, http.MethodGet, path, "")
}

func (r *running) do(t testing.TB, method, path, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func TestRun(t *testing.T) {
	r := run(t, nil)
	status, _, body := r.do(t, "POST", "/api/v1/urls", `{"long_url":"https://example.org/","custom_alias":"one"}`)
	if status != 201 {
		t.Fatalf("create: %d %s", status, body)
	}
	for range 3 {
		if status, header, _ := r.get(t, "/one"); status != 302 || header.Get("Location") != "https://example.org/" {
			t.Errorf("redirect: %d to %q", status, header.Get("Location"))
		}
	}
	if status, header, body := r.get(t, "/health"); status != 200 || body != "ok\n" || header.Get("Cache-Control") != "no-store" {
		t.Errorf("health: %d %q", status, body)
	}
	if status, _, body := r.get(t, "/health/ready"); status != 200 || !strings.HasPrefix(body, "memory: ok, plenty\nclicks: ok, ") {
		t.Errorf("ready: %d %q", status, body)
	}
	if status, _, _ := r.get(t, "/health/other"); status != 404 {
		t.Errorf("unknown path: %d", status)
	}
	if status, header, _ := r.do(t, "POST", "/health", ""); status != 405 || header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, allowed %q", status, header.Get("Allow"))
	}
	_, _, metrics := r.get(t, "/metrics")
	for _, want := range []string{
		"kurz_test_total 7\n", "kurz_test_now 8\n", `kurz_redirects_total{result="redirected"} 3`, "kurz_cache_hits_total 3\n",
		"kurz_clicks_lag_seconds ", "kurz_store_loads_total ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	// What the journal has is stored before Run returns.
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	report, err := r.clicks.Report(t.Context(), click.Query{
		From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Zone: time.UTC, Interval: click.Daily, Kinds: click.Humans, Top: 1,
	})
	if err != nil || report.TotalClicks != 3 {
		t.Errorf("%d clicks, %v", report.TotalClicks, err)
	}
}

func TestSetupLink(t *testing.T) {
	r := run(t, nil)
	link, err := r.app.SetupLink(t.Context())
	if err != nil || !strings.HasPrefix(link, r.url+"/setup?token=") {
		t.Errorf("link %q, %v", link, err)
	}
	d := account.NewDirectory(r.accounts, time.Now, rand.Reader)
	if _, err := d.AddUser(t.Context(), "ada@example.org", account.Admin, account.Free); err != nil {
		t.Fatal(err)
	}
	if link, err := r.app.SetupLink(t.Context()); err != nil || link != "" {
		t.Errorf("link %q, %v, though there is a user", link, err)
	}
}

func TestClicksOutliveABrokenSink(t *testing.T) {
	mended := make(chan struct{})
	r := run(t, func(p *app.Parts) { p.Sink = brokenSink{p.Sink, mended} })
	r.do(t, "POST", "/api/v1/urls", `{"long_url":"https://example.org/","custom_alias":"one"}`)
	if status, _, _ := r.get(t, "/one"); status != 302 {
		t.Errorf("redirect: %d", status)
	}
	close(mended)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	report, err := r.clicks.Report(t.Context(), click.Query{
		From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour), Zone: time.UTC, Interval: click.Daily, Kinds: click.Humans, Top: 1,
	})
	if err != nil || report.TotalClicks != 1 {
		t.Errorf("%d clicks, %v", report.TotalClicks, err)
	}
}

func TestBlockedAtTheClick(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("evil.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, nil, "KURZ_BLOCKLIST="+list)
	if status, _, body := r.do(t, "POST", "/api/v1/urls", `{"long_url":"https://www.evil.example/"}`); status != 422 {
		t.Errorf("create: %d %s", status, body)
	}
}

func TestReady(t *testing.T) {
	checks := []app.Check{
		{Name: "a", Run: func(context.Context) (string, error) { return "", nil }},
		{Name: "b", Run: func(context.Context) (string, error) {
			return "", fmt.Errorf("secret: %w", fault.New(fault.Unavailable, "full\ndisk"))
		}},
		{Name: "c", Run: func(context.Context) (string, error) { return "", errors.New("secret") }},
		{Name: "d", Run: func(context.Context) (string, error) { return "3 waiting", nil }},
	}
	text, ready := app.Ready(t.Context(), checks)
	if want := "a: ok\nb: failed: full disk\nc: failed: internal error\nd: ok, 3 waiting\n"; text != want || ready {
		t.Errorf("ready %v: %q, want %q", ready, text, want)
	}
	if text, ready := app.Ready(t.Context(), checks[:1]); text != "a: ok\n" || !ready {
		t.Errorf("ready %v: %q", ready, text)
	}
}

func TestProgress(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := app.NewProgress(func() time.Time { return now })
	failed := p.Failed(slog.New(slog.DiscardHandler))
	check := func(want string, bad bool) {
		t.Helper()
		text, err := p.Check(t.Context())
		if text != want || (err != nil) != bad {
			t.Errorf("%q, %v; want %q, error %v", text, err, want, bad)
		}
	}
	check("0.0 s behind", false)
	p.Stored(3, now.Add(-1500*time.Millisecond))
	check("1.5 s behind", false)
	failed(errors.New("locked"))
	now = now.Add(9 * time.Second)
	failed(errors.New("locked"))
	check("9.0 s behind", false) // and growing
	now = now.Add(2 * time.Second)
	check("", true)
	p.Stored(3, now.Add(-12*time.Second))
	check("12.0 s behind", false)
	now = now.Add(11 * time.Second) // in which nobody clicked
	check("0.0 s behind", false)
	p.Stored(0, time.Time{})
	check("0.0 s behind", false)
}

func TestHostname(t *testing.T) {
	for host, want := range map[string]string{
		"go.example": "go.example", "go.example:8080": "go.example", "[::1]:80": "::1", "[::1]": "[::1]", "127.0.0.1:1": "127.0.0.1",
	} {
		if got := app.Hostname(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
