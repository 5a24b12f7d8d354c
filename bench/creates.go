//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kurz/test/program"
)

const clients = 64

// creates measures durable creates by wrk's connections, each of which waits for
// its 201, alone and beside redirects. The clients' share of the cores is not
// bounded.
func creates(ctx context.Context, l *lab) error {
	if err := l.install(ctx, "wrk", "wrk"); err != nil {
		return err
	}
	data, err := l.folder(ctx, "creates", fewLinks)
	if err != nil {
		return err
	}
	s, err := l.start(ctx, data, false)
	if err != nil {
		return err
	}
	defer l.stop()
	var all, quiet creating
	var stolen sample
	for range createRounds * l.rounds {
		machine, err := machineTicks()
		if err != nil {
			return err
		}
		round, err := l.shoot(ctx, s.URL, s.Pid(), createsScript, l.length, false)
		if err != nil {
			return err
		}
		after, err := machineTicks()
		if err != nil {
			return err
		}
		share := after.since(machine).stolenShare()
		stolen = append(stolen, 100*share)
		all.add(round)
		if share <= quietShare {
			quiet.add(round)
		}
		l.say("   %.0f creates/s, %.1f µs of server CPU each; the host gave %.0f %% of the CPU to others", round.rate(), round.cost(), 100*share)
	}
	l.values["creates"] = fmt.Sprintf("%s. In the %d of %d rounds in which the host left us the CPU: %s", all, len(quiet.rate), len(all.rate), quiet)
	l.note("Creates: wrk shares the server's cores, of which the host of this virtual machine gave %s to others; it is said to leave us the CPU where that was %.0f %% or less. Each 201 was sent after an fsync that several creates share.", stolen.format("%.0f", " %"), 100*quietShare)
	return l.createsBesideRedirects(ctx, s)
}

// creating is how fast creates were, and what each cost the server.
type creating struct{ rate, cost sample }

func (c *creating) add(round shot) {
	c.rate, c.cost = append(c.rate, round.rate()), append(c.cost, round.cost())
}

func (c creating) String() string {
	if len(c.rate) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s; %s of server CPU each", c.rate.format("%.0f", "/s"), c.cost.format("%.0f", " µs"))
}

// createsBesideRedirects measures creates while an open loop of redirects runs,
// whose CPU is in what a create is said to cost.
func (l *lab) createsBesideRedirects(ctx context.Context, s *program.Server) error {
	if err := l.heat(ctx, s, allOf(fewLinks)); err != nil {
		return err
	}
	var all creating
	var last asked
	for range l.rounds {
		redirecting := make(chan error, 1)
		// The loop outlasts the creates, so that none goes without it.
		go func() {
			var err error
			last, err = ask(ctx, s.Addr, fewLinks, l.length+2*time.Second)
			redirecting <- err
		}()
		round, err := l.shoot(ctx, s.URL, s.Pid(), createsScript, l.length, false)
		if err := errors.Join(err, <-redirecting); err != nil {
			return err
		}
		all.add(round)
		l.say("   %.0f creates/s beside redirects: %s", round.rate(), last)
	}
	l.values["creates-busy"] = fmt.Sprintf("%s, redirects included; redirects in the last round: %s", all, last)
	return nil
}

// An absolute rate says little where the cores are lent: so there are more
// rounds of it, and those that had the cores are told apart.
const (
	createRounds = 3
	quietShare   = 0.05
)

// createsScript makes wrk create a link by each request, to a destination of
// its own.
const createsScript = `
local n = 0
wrk.headers['Content-Type'] = 'application/json'
function request()
  n = n + 1
  return wrk.format('POST', '/api/v1/urls', nil, '{"long_url":"https://example.com/articles/2026/' .. n .. '/a-title-of-ordinary-length?utm_source=news"}')
end
`

// parallel calls fn n times at once, waits for all, and gives the first error.
func parallel(n int, fn func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- fn(i) }()
	}
	var first error
	for range n {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
