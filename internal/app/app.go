package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/edge"
	"kurz/internal/idempotency"
	"kurz/internal/job"
	"kurz/internal/link"
	"kurz/internal/redirect"
	"kurz/internal/telemetry"
	"kurz/internal/web"
)

// App is a kurz that can run once.
type App struct {
	settings  *config.Settings
	logger    *slog.Logger
	now       func() time.Time
	core      *Core
	directory *account.Directory
	resolver  *redirect.Resolver
	answers   idempotency.Store
	pump      *click.Pump
	upkeep    click.Upkeep
	index     link.Upkeep
	archived  atomic.Int64 // links put away since the start
	work      []Work
	live      *click.Live
	edge      *edge.Edge
	jobs      job.Queue
	worker    *job.Worker
	bulk      *job.Bulk
	setup     string // the secret of the set-up link
}

// New joins the parts under the settings.
func New(s *config.Settings, p Parts, w Surroundings, m *telemetry.Metrics, certs string) (*App, error) {
	core, err := NewCore(s, p.Links, p.Codes, w)
	if err != nil {
		return nil, err
	}
	a := &App{
		settings: s, logger: w.Logger, now: w.Now, core: core, answers: p.Idempotency,
		upkeep: p.Upkeep, index: p.Index, work: p.Work, live: click.NewLive(w.Now), setup: rand.Text(),
	}
	a.directory = account.NewDirectory(p.Accounts, w.Now, w.Rand)
	a.resolver = redirect.NewResolver(redirect.ResolverSettings{
		Memory: p.Routes, Store: p.Links, Now: w.Now, Logger: w.Logger,
	})
	core.changed = a.resolver.Changed
	a.newWorker(p, w)
	progress := newProgress(w.Now)
	recorder := click.NewRecorder(click.RecorderSettings{
		Log: p.Log, Locator: p.Locator, Hasher: p.Hasher, Enricher: p.Enricher, Lost: a.lost(),
	})
	a.pump = click.NewPump(click.PumpSettings{
		Log: p.Log, Sink: p.Sink, Enricher: p.Enricher, Interval: s.PumpInterval, Now: w.Now,
		Error: progress.failed(w.Logger), Stored: progress.stored, Show: a.live.Show,
		Breathe: w.Breathe,
	})
	handler := redirect.New(redirect.Settings{
		Resolver: a.resolver, Recorder: recorder, Domains: core.Domains,
		Blocklist: core.Blocklist.Blocklist, Limits: p.Limits, Limit: s.RateRedirect,
		HonourDNT: s.HonourDNT,
	})
	a.measure(m, p, progress)
	a.edge = edge.New(a.door(p, w, handler, m, progress, certs))
	return a, nil
}

// settings are those of the Registry.
func (c *Core) settings(s *config.Settings, links link.Store, codes link.Codes, w Surroundings) link.Settings {
	return link.Settings{
		Store: links, Codes: codes, IDs: link.NewIDs(w.Now, w.Rand),
		Domains:    c.Domains,
		Policy:     link.Policy{AllowPrivate: s.AllowPrivate, Domains: c.Domains, Blocklist: c.Blocklist.Blocklist},
		CodeLength: s.CodeLength, AnonymousCreate: s.AnonymousCreate, Now: w.Now,
		Changed: func(ctx context.Context, change link.Change) {
			if c.changed != nil {
				c.changed(ctx, change)
			}
		},
		Warn: w.Logger.Warn,
	}
}

// door makes the front door's settings, with the rooms behind it.
func (a *App) door(p Parts, w Surroundings, h *redirect.Handler, m *telemetry.Metrics, progress *progress, certs string) edge.Settings {
	s := a.settings
	rooms := api.New(api.Settings{
		Registry: a.core.Registry, Directory: a.directory, Reports: p.Reports,
		Once:    idempotency.NewOnce(p.Idempotency, w.Now, w.Rand, p.Secret),
		Bulk:    a.bulk,
		Domains: a.core.Domains, Limits: p.Limits,
		Rates: api.Rates{
			Anonymous: s.RateAnonymous, Free: s.RateFree, Premium: s.RatePremium,
			BulkFree: s.RateBulkFree, BulkPremium: s.RateBulkPremium, Redirect: s.RateRedirect,
		},
		Logo: a.core.Logo,
		Live: a.live, Streams: api.Streams{All: s.LiveStreams, PerUser: s.LiveStreamsPerUser},
		VisitorPeriod: VisitorPeriod(s), Now: w.Now,
		Warn: func(ctx context.Context, msg string, err error) {
			w.Logger.WarnContext(ctx, "answered without a part", "what", msg, "error", err, "request_id", edge.RequestID(ctx))
		},
	})
	pages := web.New(web.Settings{
		Directory: a.directory, Registry: a.core.Registry, Domains: a.core.Domains,
		Blocklist: a.core.Blocklist.Blocklist, SetupToken: a.setup, Now: w.Now,
	})
	o := &ops{checks: append([]Check{}, p.Checks...), metrics: m.Handler()}
	o.checks = append(o.checks, Check{Name: "clicks", Run: progress.check})
	logged := s.LogRedirects
	if logged == 0 {
		logged = math.MaxInt // none, but errors
	}
	return edge.Settings{
		Redirect: h, API: edge.HandlerFunc(rooms.Handle), Web: edge.HandlerFunc(pages.Handle),
		Preview: edge.HandlerFunc(pages.Preview), Ops: edge.HandlerFunc(o.handle),
		TrustedProxies: s.TrustedProxies.Ranges, TrustUnixSocket: s.TrustedProxies.Unix, TLS: a.tls(certs),
		Logger: w.Logger, Observer: m, LogRedirects: logged, Now: w.Now,
		NetHTTP: !s.FastPath, Timeouts: edge.Timeouts{Grace: s.ShutdownGrace}, NotifySocket: w.NotifySocket,
	}
}

// tls says where certificates come from; nil without TLS. Those that ACME gave
// are kept in the folder certs.
func (a *App) tls(certs string) *edge.TLS {
	s := a.settings
	switch {
	case s.ACME:
		var hosts []string
		for _, host := range a.core.Domains.Hosts() {
			hosts = append(hosts, hostname(host))
		}
		return &edge.TLS{ACME: &edge.ACME{
			Domains: hosts, CacheDir: certs, Email: s.ACMEEmail, DirectoryURL: s.ACMEDirectory,
			HTTPClient: &http.Client{Timeout: time.Minute},
		}}
	case s.TLSCert != "":
		return &edge.TLS{CertFile: s.TLSCert, KeyFile: s.TLSKey}
	}
	return nil
}

// SetupLink gives the link under which the first admin is made; "" if there is
// an admin already. It works until this App ends.
func (a *App) SetupLink(ctx context.Context) (string, error) {
	headless, err := a.directory.Headless(ctx)
	if err != nil || !headless {
		return "", err
	}
	return a.settings.BaseURL.String() + "/setup?token=" + a.setup, nil
}

// The rhythms of the work in the background.
const (
	sweepInterval  = time.Minute
	sweepBatch     = 1000
	blocklistCheck = 2 * time.Second
	// drainTime bounds what is left to do once the front door is closed.
	drainTime = 15 * time.Second
)

// Run answers on the listeners, which it closes, until ctx ends, and then ends
// in order. It returns nil after such an end.
func (a *App) Run(ctx context.Context, listeners ...net.Listener) error {
	// The work in the background goes on until the front door is closed.
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	var mu sync.Mutex
	var broken error
	for _, w := range append([]Work{
		{"following changes", a.resolver.Watch},
		{"clicks", a.pump.Run},
		{"sweep", a.sweep},
		{"upkeep", a.keepUp},
		{"index", a.keepIndex},
		{"archive", a.keepArchive},
		{"bulk jobs", a.worker.Run},
		{"old bulk jobs", a.sweepJobs},
		{"block list", func(ctx context.Context) error { return a.core.Blocklist.watch(ctx, blocklistCheck) }},
	}, a.work...) {
		work.Go(func() {
			if err := w.Run(background); err != nil && background.Err() == nil {
				mu.Lock()
				broken = errors.Join(broken, fmt.Errorf("%s: %w", w.Name, err))
				mu.Unlock()
				// Without one of these the answers would be wrong.
				stop()
			}
		})
	}
	// Live streams would not end by themselves; their clients come back.
	defer context.AfterFunc(serving, a.live.Close)()
	err := a.edge.Serve(serving, listeners...)
	a.live.Close()
	end()
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(drainTime):
		a.logger.Warn("work in the background did not end in time; the journal keeps its clicks for the next start")
	}
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(err, broken)
}

// sweep drops answers that are kept long enough.
func (a *App) sweep(ctx context.Context) error {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for {
			n, err := a.answers.Sweep(ctx, a.now(), sweepBatch)
			if err != nil {
				if ctx.Err() == nil {
					a.logger.Warn("old answers not swept", "error", err)
				}
				break
			}
			if n < sweepBatch {
				break
			}
		}
	}
}

// lost tells the log of lost clicks, at most once a second.
func (a *App) lost() func(error) {
	var mu sync.Mutex
	var told time.Time
	untold := 0
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		untold++
		if now := a.now(); now.Sub(told) >= time.Second {
			a.logger.Error("clicks lost: they were redirected but are not counted", "count", untold, "error", err)
			told, untold = now, 0
		}
	}
}
