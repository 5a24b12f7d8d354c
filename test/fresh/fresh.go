// Package fresh measures how long a click takes from its answer into the report
// and onto the live stream, for e2e and bench.
//
// Start reading at Measure.
package fresh

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kurz/client"
	"kurz/test/wire"
)

// Load says what is measured, where.
type Load struct {
	URL, Addr string // of the server
	Key       string // an API key of the link's owner
	Code      string // of a link that nobody clicks but this
	Rate      int    // redirects a second
	Length    time.Duration
	// Patience bounds the wait for clicks that do not come.
	Patience time.Duration
}

// Result is what was measured: for each click the time from when its answer was
// read, shortest first. A report's is until the end of the first report that
// counts as many clicks as were answered up to then.
type Result struct {
	Clicks       int
	Report, Live []time.Duration
}

// At gives the time that this share of the clicks took at most.
func At(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// referrers are how clicks are told apart.
const referrers = "https://fresh.example/"

// gauge is a measurement under way.
type gauge struct {
	Load
	client *client.Client

	mu       sync.Mutex
	answered []time.Time // by number, zero: not yet
	shown    []time.Time
	warm     int // clicks before the first that counts
	ready    bool
}

// Measure follows a link at a steady rate. It is an error if a click is not in
// the report, or not on the stream, in the end.
func Measure(ctx context.Context, load Load) (Result, error) {
	g := &gauge{Load: load}
	n := int(load.Length.Seconds() * float64(load.Rate))
	g.answered, g.shown = make([]time.Time, n), make([]time.Time, n)
	var err error
	if g.client, err = client.New(load.URL, client.WithKey(load.Key)); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, load.Length+load.Patience)
	defer cancel()
	watched := make(chan error, 1)
	go func() { watched <- g.watch(ctx) }()
	if err := g.warmUp(ctx); err != nil {
		return Result{}, err
	}
	type polled struct {
		report []time.Duration
		err    error
	}
	told := make(chan polled, 1)
	go func() {
		report, err := g.poll(ctx)
		told <- polled{report, err}
	}()
	if err := g.send(ctx); err != nil {
		return Result{}, err
	}
	report := <-told
	if err := errors.Join(report.err, <-watched); err != nil {
		return Result{}, err
	}
	r := Result{Clicks: n, Report: report.report}
	for i := range g.shown {
		r.Live = append(r.Live, max(g.shown[i].Sub(g.answered[i]), 0))
	}
	slices.Sort(r.Live)
	slices.Sort(r.Report)
	return r, nil
}

// watch reads the live stream until every click was on it.
func (g *gauge) watch(ctx context.Context) error {
	left := len(g.shown)
	for e, err := range g.client.Live(ctx, g.Code, client.Watch{Kind: "all"}) {
		now := time.Now()
		switch {
		case err != nil:
			return fmt.Errorf("%d clicks are not on the stream: %w", left, err)
		case e.Click == nil:
			return fmt.Errorf("the stream left out %d clicks", e.Missed)
		}
		number, err := strconv.Atoi(strings.TrimPrefix(e.Click.ReferrerURL, referrers))
		g.mu.Lock()
		if g.ready = true; err == nil {
			if !g.shown[number].IsZero() {
				g.mu.Unlock()
				return fmt.Errorf("click %d is on the stream twice", number)
			}
			g.shown[number] = now
			left--
		}
		g.mu.Unlock()
		if left == 0 {
			return nil
		}
	}
	return errors.New("the stream ended")
}

// warmUp follows the link until the stream shows it.
func (g *gauge) warmUp(ctx context.Context) error {
	conn, err := wire.Dial(ctx, g.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		g.mu.Lock()
		ready := g.ready
		g.mu.Unlock()
		if ready {
			return nil
		}
		if err := follow(conn, g.request(nil, "warm")); err != nil {
			return err
		}
		g.warm++
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing comes over the stream: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (g *gauge) request(dst []byte, number string) []byte {
	return fmt.Appendf(dst, "GET /%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nReferer: %s%s\r\n\r\n", url.PathEscape(g.Code), g.Addr, wire.Browser, referrers, number)
}

func follow(conn *wire.Conn, request []byte) error {
	r, err := conn.Do(request)
	if err == nil && r.Status != 302 {
		err = fmt.Errorf("redirect: status %d", r.Status)
	}
	return err
}

// send follows the link, each click when it is due.
func (g *gauge) send(ctx context.Context) error {
	const senders = 4
	began := time.Now()
	failed := make(chan error, senders)
	for s := range senders {
		go func() {
			failed <- func() error {
				conn, err := wire.Dial(ctx, g.Addr)
				if err != nil {
					return err
				}
				defer conn.Close()
				var request []byte
				for i := s; i < len(g.answered); i += senders {
					due := began.Add(time.Duration(i) * time.Second / time.Duration(g.Rate))
					timer := time.NewTimer(time.Until(due))
					select {
					case <-ctx.Done():
						timer.Stop()
						return ctx.Err()
					case <-timer.C:
					}
					request = g.request(request[:0], strconv.Itoa(i))
					if err := follow(conn, request); err != nil {
						return err
					}
					g.mu.Lock()
					g.answered[i] = time.Now()
					g.mu.Unlock()
				}
				return nil
			}()
		}()
	}
	var all error
	for range senders {
		all = errors.Join(all, <-failed)
	}
	return all
}

// poll reads the report until it counts every click.
func (g *gauge) poll(ctx context.Context) ([]time.Duration, error) {
	var took []time.Duration
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		report, err := g.client.Stats(ctx, g.Code, client.Stats{Kind: "all", Top: 1})
		if err != nil {
			return nil, fmt.Errorf("%d clicks are not in the report: %w", len(g.answered)-len(took), err)
		}
		now := time.Now()
		counted := int(report.TotalClicks) - g.warm
		g.mu.Lock()
		times := slices.DeleteFunc(slices.Clone(g.answered), time.Time.IsZero)
		g.mu.Unlock()
		slices.SortFunc(times, time.Time.Compare)
		for len(took) < min(counted, len(times)) {
			took = append(took, max(now.Sub(times[len(took)]), 0))
		}
		switch {
		case len(took) == len(g.answered):
			return took, nil
		case counted > len(g.answered):
			return nil, fmt.Errorf("%d clicks are counted, of %d", counted, len(g.answered))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d clicks are not in the report: %w", len(g.answered)-len(took), ctx.Err())
		case <-tick.C:
		}
	}
}
