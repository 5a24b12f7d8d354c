package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kurz/internal/fault"
	"kurz/internal/telemetry"
)

// progress follows how clicks come from the log into the statistics.
type progress struct {
	now func() time.Time

	mu      sync.Mutex
	clicks  uint64        // stored since the start
	last    time.Time     // when the last batch was stored
	lag     time.Duration // of its oldest click
	failing time.Time     // since when storing fails; zero: it doesn't
	told    time.Time
	err     error
}

func newProgress(now func() time.Time) *progress { return &progress{now: now} }

// stored is told of a batch.
func (p *progress) stored(n int, oldest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clicks += uint64(max(n, 0))
	p.last, p.lag = p.now(), 0
	if !oldest.IsZero() {
		p.lag = max(p.now().Sub(oldest), 0)
	}
	p.failing, p.err = time.Time{}, nil
}

// failed is told of attempts that failed; the log hears of it every minute.
func (p *progress) failed(logger *slog.Logger) func(error) {
	return func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		now := p.now()
		if p.failing.IsZero() {
			p.failing = now
		}
		p.err = err
		if now.Sub(p.told) >= time.Minute {
			p.told = now
			logger.Error("clicks wait in the journal: they can't be stored", "error", err)
		}
	}
}

// patience is for how long storing may fail before it counts as broken: a
// locked database passes.
const patience = 10 * time.Second

func (p *progress) check(context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failing.IsZero() {
		if since := p.now().Sub(p.failing); since > patience {
			return "", fault.Wrap(fault.Unavailable, p.err, "not stored for %d s; they wait in the journal", int(since.Seconds()))
		}
	}
	return fmt.Sprintf("%.1f s behind", p.behind().Seconds()), nil
}

// behind tells by how much reports are behind: as the last batch was, for a
// while, and while clicks can't be stored longer and longer.
func (p *progress) behind() time.Duration {
	now := p.now()
	switch {
	case !p.failing.IsZero():
		return max(now.Sub(p.failing), p.lag)
	case now.Sub(p.last) > lagShown:
		return 0
	}
	return p.lag
}

// lagShown is how long a batch tells how far behind reports are.
const lagShown = 10 * time.Second

func (p *progress) read(value func(*progress) float64) func() float64 {
	return func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return value(p)
	}
}

// measure shows what the parts count.
func (a *App) measure(m *telemetry.Metrics, p Parts, g *progress) {
	m.Counter("kurz_clicks_stored_total", "Clicks brought from the journal into the statistics.",
		g.read(func(g *progress) float64 { return float64(g.clicks) }))
	m.Gauge("kurz_clicks_lag_seconds", "By how much reports are behind: the age of the oldest click of a batch stored within 10 s, or since when clicks can't be stored.",
		g.read(func(g *progress) float64 { return g.behind().Seconds() }))
	m.Gauge("kurz_live_streams", "Live streams of clicks that are open.", func() float64 { return float64(a.live.Watching()) })
	m.Counter("kurz_links_archived_total", "Links archived since the start: they had ended long enough ago.", func() float64 { return float64(a.archived.Load()) })
	a.measureBulk(m)
	for _, x := range p.Measures {
		if x.Total {
			m.Counter(x.Name, x.Help, x.Read)
		} else {
			m.Gauge(x.Name, x.Help, x.Read)
		}
	}
	routes := func(name, help string, value func() uint64) {
		m.Counter(name, help, func() float64 { return float64(value()) })
	}
	routes("kurz_cache_hits_total", "Redirects whose link was in memory, found or known as absent.", func() uint64 {
		s := a.resolver.Stats()
		return s.Hits + s.Absent
	})
	routes("kurz_cache_excluded_total", "Requests for codes that no link has, answered without the store.", func() uint64 { return a.resolver.Stats().Excluded })
	m.Gauge("kurz_known_keys", "Links whose codes are known in memory, about; 0 while they are being read.", func() float64 { return float64(a.resolver.Stats().Keys) })
	m.Gauge("kurz_known_keys_bytes", "Memory that they take.", func() float64 { return float64(a.resolver.Stats().KeyBytes) })
	routes("kurz_cache_misses_total", "Redirects whose link was not in memory.", func() uint64 { return a.resolver.Stats().Misses })
	routes("kurz_store_loads_total", "Links read from the store for redirects.", func() uint64 { return a.resolver.Stats().Loads })
	routes("kurz_store_load_errors_total", "Links that could not be read from the store.", func() uint64 { return a.resolver.Stats().LoadErrors })
	routes("kurz_store_loads_refused_total", "Reads not begun because too many were under way.", func() uint64 { return a.resolver.Stats().Refused })
	routes("kurz_link_changes_total", "Changed links that this process made or heard of.", func() uint64 { return a.resolver.Stats().Changes })
}
