//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kurz/test/wire"
)

const clients = 64

// creates measures durable creates by wrk's connections, each of which waits for
// its 201. The clients' share of the cores is not bounded.
func creates(ctx context.Context, l *lab) error {
	if err := l.install(ctx, "wrk"); err != nil {
		return err
	}
	s, err := l.start(ctx, filepath.Join(l.dir, "creates"), false)
	if err != nil {
		return err
	}
	defer l.stop()
	script := filepath.Join(l.dir, "creates.lua")
	if err := os.WriteFile(script, []byte(createsScript), 0o600); err != nil {
		return err
	}
	var all, quiet struct{ rate, cost sample }
	var stolen sample
	for range createRounds * l.rounds {
		machine, err := machineTicks()
		if err != nil {
			return err
		}
		round, err := l.shoot(ctx, s.Addr, s.Pid(), script, false)
		if err != nil {
			return err
		}
		after, err := machineTicks()
		if err != nil {
			return err
		}
		share := after.since(machine).stolenShare()
		stolen = append(stolen, 100*share)
		all.rate, all.cost = append(all.rate, round.rate()), append(all.cost, round.cost())
		if share <= quietShare {
			quiet.rate, quiet.cost = append(quiet.rate, round.rate()), append(quiet.cost, round.cost())
		}
		l.say("   %.0f creates/s, %.1f µs of server CPU each; the host gave %.0f %% of the CPU to others", round.rate(), round.cost(), 100*share)
	}
	l.values["creates"] = fmt.Sprintf("%s; %s of server CPU each. In the %d of %d rounds in which the host left us the CPU: %s; %s",
		all.rate.format("%.0f", "/s"), all.cost.format("%.0f", " µs"), len(quiet.rate), len(all.rate), quiet.rate.format("%.0f", "/s"), quiet.cost.format("%.0f", " µs"))
	l.note("Creates: wrk shares the server's cores, of which the host of this virtual machine gave %s to others; it is said to leave us the CPU where that was %.0f %% or less. Each 201 was sent after an fsync that several creates share.", stolen.format("%.0f", " %"), 100*quietShare)
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

// seed makes the links for the stages to come.
func seed(ctx context.Context, l *lab) error {
	s, err := l.start(ctx, l.data, false)
	if err != nil {
		return err
	}
	defer l.stop()
	var mu sync.Mutex
	l.codes = make([]string, 0, l.links)
	_, err = createFor(ctx, s.Addr, func(n int64) bool { return n <= int64(l.links) }, func(code string) {
		mu.Lock()
		l.codes = append(l.codes, code)
		mu.Unlock()
	})
	l.say("   %d links", len(l.codes))
	return err
}

// createFor creates links over 64 connections as long as more says so of the
// number of the next, and says how many it made.
func createFor(ctx context.Context, addr string, more func(n int64) bool, each func(code string)) (int64, error) {
	var next, made atomic.Int64
	err := parallel(clients, func(int) error {
		conn, err := wire.Dial(ctx, addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		var request []byte
		for ctx.Err() == nil {
			n := next.Add(1)
			if !more(n) {
				return nil
			}
			body := fmt.Appendf(nil, `{"long_url":"https://example.com/articles/2026/%d/a-title-of-ordinary-length?utm_source=news"}`, n)
			request = wire.AppendPost(request[:0], addr, "/api/v1/urls", "", body)
			r, err := conn.Do(request)
			if err != nil {
				return err
			}
			if r.Status != 201 {
				return fmt.Errorf("create: %d %s", r.Status, r.Body)
			}
			made.Add(1)
			if each != nil {
				var link struct {
					Code string `json:"short_code"`
				}
				if err := json.Unmarshal(r.Body, &link); err != nil {
					return err
				}
				each(link.Code)
			}
		}
		return ctx.Err()
	})
	return made.Load(), err
}

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
