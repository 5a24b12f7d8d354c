//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"kurz/test/program"
	"kurz/test/wire"
)

// hotSet is how many links wrk asks for, drawn from all. Both contestants know
// all of them.
const hotSet = 10_000

// redirects runs nginx and kurz in turns on one core, with every link in
// memory, and measures memory and the draining of clicks on the way.
func redirects(ctx context.Context, l *lab) error {
	for _, tool := range []string{"nginx", "wrk"} {
		if err := l.install(ctx, tool); err != nil {
			return err
		}
	}
	s, err := l.start(ctx, l.data, true)
	if err != nil {
		return err
	}
	l.say("   following each link once")
	if err := follow(ctx, s.Addr, l.codes); err != nil {
		return err
	}
	if err := drained(ctx, s); err != nil {
		return err
	}
	all, anonymous, err := resident(s.Pid())
	if err != nil {
		return err
	}
	l.values["memory-hot"] = fmt.Sprintf("%.0f MB with %s links, %.0f MB of it not backed by files", all, thousands(float64(len(l.codes))), anonymous)
	l.say("   %s", l.values["memory-hot"])

	n, err := startNginx(ctx, l)
	if err != nil {
		return err
	}
	defer n.stop()
	script, err := l.wrkScript(sampleOf(l.codes, hotSet))
	if err != nil {
		return err
	}
	return l.contest(ctx, s, n, script)
}

// contest lets the two run in turns, each round in the other order.
func (l *lab) contest(ctx context.Context, s *program.Server, n *nginx, script string) error {
	var nginxCost, kurzCost, fullCost, ratio, fullRatio, drain, drainCost, nginxRate, kurzRate sample
	for round := range l.rounds {
		var theirs, ours shot
		fire := func(first bool) (err error) {
			if first {
				theirs, err = l.shoot(ctx, n.addr, n.pid(), script)
				return err
			}
			if ours, err = l.shoot(ctx, s.Addr, s.Pid(), script); err != nil {
				return err
			}
			return l.afterwards(ctx, s, &ours)
		}
		if err := fire(round%2 == 0); err != nil {
			return err
		}
		if err := fire(round%2 != 0); err != nil {
			return err
		}
		nginxCost, kurzCost, fullCost = append(nginxCost, theirs.cost()), append(kurzCost, ours.cost()), append(fullCost, ours.fullCost())
		ratio, fullRatio = append(ratio, ours.cost()/theirs.cost()), append(fullRatio, ours.fullCost()/theirs.cost())
		nginxRate, kurzRate = append(nginxRate, theirs.rate()), append(kurzRate, ours.rate())
		if ours.backlog > 0 {
			drain = append(drain, ours.backlog/ours.draining.Seconds())
			drainCost = append(drainCost, micros(ours.drainCPU)/ours.backlog)
		}
		l.say("   nginx %.2f µs at %.0f/s; kurz %.2f µs at %.0f/s while answering, %.2f µs with all of its clicks; %.0f clicks left, drained in %v",
			theirs.cost(), theirs.rate(), ours.cost(), ours.rate(), ours.fullCost(), ours.backlog, ours.draining.Round(time.Millisecond))
	}
	l.values["redirect"] = fmt.Sprintf("**%s×**: kurz %s, nginx %s", ratio.format("%.2f", ""), kurzCost.format("%.1f", " µs"), nginxCost.format("%.1f", " µs"))
	l.values["redirect-drained"] = fmt.Sprintf("%s×: kurz %s", fullRatio.format("%.2f", ""), fullCost.format("%.1f", " µs"))
	if len(drain) > 0 {
		l.values["drain"] = fmt.Sprintf("%s on one core; %s of CPU each", drain.format("%.0f", "/s"), drainCost.format("%.1f", " µs"))
	}
	l.note("Redirects: server on one core, wrk with %d connections on another, uniformly over %s of %s links that both servers know. kurz with journal, country, visitor hash and rate limit (too high to refuse anyone) on; nginx with a `map` of all links, `return 302` and an access log buffered by 64 KB. Requests/s: nginx %s, kurz %s.",
		clients, thousands(hotSet), thousands(float64(len(l.codes))), nginxRate.format("%.0f", ""), kurzRate.format("%.0f", ""))
	l.note("Redirects, \"while answering\": kurz's CPU during the round, including as much of bringing clicks into the reports as fell into it. \"With its clicks\": until the last click of the round was in the reports.")
	l.note("Drained: measured on the clicks that were left when a round ended, with nothing else to do.")
	return nil
}

// shot is one contestant's round.
type shot struct {
	requests           float64
	took               time.Duration
	cpu                time.Duration
	backlog            float64
	draining, drainCPU time.Duration
}

func (s shot) cost() float64     { return micros(s.cpu) / s.requests }
func (s shot) fullCost() float64 { return micros(s.cpu+s.drainCPU) / s.requests }
func (s shot) rate() float64     { return s.requests / s.took.Seconds() }

// shoot runs wrk against a server for a round.
func (l *lab) shoot(ctx context.Context, addr string, pid int, script string) (shot, error) {
	before, err := cpu(pid)
	if err != nil {
		return shot{}, err
	}
	requests, took, err := l.wrk(ctx, addr, script)
	if err != nil {
		return shot{}, err
	}
	after, err := cpu(pid)
	return shot{requests: requests, took: took, cpu: after - before}, err
}

// afterwards measures what it takes to bring the round's last clicks into the
// reports.
func (l *lab) afterwards(ctx context.Context, s *program.Server, r *shot) error {
	before, err := cpu(s.Pid())
	if err != nil {
		return err
	}
	began := time.Now()
	if r.backlog, err = metric(ctx, s, pendingClicks); err != nil {
		return err
	}
	if err := drained(ctx, s); err != nil {
		return err
	}
	r.draining = time.Since(began)
	after, err := cpu(s.Pid())
	r.drainCPU = after - before
	return err
}

// follow follows each code once.
func follow(ctx context.Context, addr string, codes []string) error {
	const connections = 32
	return parallel(connections, func(i int) error {
		conn, err := wire.Dial(ctx, addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		var request []byte
		for ; i < len(codes) && ctx.Err() == nil; i += connections {
			request = wire.AppendGet(request[:0], addr, "/"+codes[i])
			r, err := conn.Do(request)
			if err != nil {
				return err
			}
			if r.Status != 302 {
				return fmt.Errorf("/%s: %d", codes[i], r.Status)
			}
		}
		return ctx.Err()
	})
}

// uncached measures redirects of links that are not in the cache: it has room
// for few, and each link is asked for once.
func uncached(ctx context.Context, l *lab) error {
	s, err := l.start(ctx, l.data, true, fmt.Sprintf("KURZ_CACHE_ENTRIES=%d", smallCache))
	if err != nil {
		return err
	}
	defer l.stop()
	// Those made last are left out: the server may have them from somewhere.
	codes := slices.Clone(l.codes)
	rand.Shuffle(len(codes), func(i, j int) { codes[i], codes[j] = codes[j], codes[i] })
	each := min(len(codes)/l.rounds, 50_000)
	var cost, full sample
	for round := range l.rounds {
		before, err := cpu(s.Pid())
		if err != nil {
			return err
		}
		if err := follow(ctx, s.Addr, codes[round*each:(round+1)*each]); err != nil {
			return err
		}
		middle, err := cpu(s.Pid())
		if err != nil {
			return err
		}
		if err := drained(ctx, s); err != nil {
			return err
		}
		after, err := cpu(s.Pid())
		if err != nil {
			return err
		}
		cost = append(cost, micros(middle-before)/float64(each))
		full = append(full, micros(after-before)/float64(each))
		l.say("   %.1f µs while answering, %.1f µs with all clicks", cost[len(cost)-1], full[len(full)-1])
	}
	l.values["uncached"] = fmt.Sprintf("%s; %s with its clicks brought into the reports", cost.format("%.0f", " µs"), full.format("%.0f", " µs"))
	return nil
}

// smallCache is the least that the setting allows.
const smallCache = 1000

// zipf measures how many redirects are answered without the store where the
// cache has room for 5 % of the links, and the k-th link is asked for with a
// probability in proportion to 1/k.
func zipf(ctx context.Context, l *lab) error {
	room := len(l.codes) / 20
	s, err := l.start(ctx, l.data, false, fmt.Sprintf("KURZ_CACHE_ENTRIES=%d", room))
	if err != nil {
		return err
	}
	defer l.stop()
	sums, sum := make([]float64, len(l.codes)), 0.0
	for k := range sums {
		sum += 1 / float64(k+1)
		sums[k] = sum
	}
	draw := func(n int) []string {
		codes := make([]string, n)
		for i := range codes {
			codes[i] = l.codes[sort.SearchFloat64s(sums, rand.Float64()*sum)]
		}
		return codes
	}
	if err := follow(ctx, s.Addr, draw(3*room)); err != nil { // fills the cache
		return err
	}
	count := func() (hits, misses float64, err error) {
		if hits, err = metric(ctx, s, "kurz_route_cache_hits_total"); err == nil {
			misses, err = metric(ctx, s, "kurz_route_cache_misses_total")
		}
		return hits, misses, err
	}
	hits, misses, err := count()
	if err != nil {
		return err
	}
	if err := follow(ctx, s.Addr, draw(5*room)); err != nil {
		return err
	}
	hits2, misses2, err := count()
	if err != nil {
		return err
	}
	share := (hits2 - hits) / (hits2 - hits + misses2 - misses)
	best := sums[room-1] / sum
	l.values["zipf"] = fmt.Sprintf("%.1f %%; no cache of this size can reach more than %.1f %% of independent draws", 100*share, 100*best)
	return nil
}

// sampleOf draws n of the codes.
func sampleOf(codes []string, n int) []string {
	drawn := make([]string, min(n, len(codes)))
	for i, j := range rand.Perm(len(codes))[:len(drawn)] {
		drawn[i] = codes[j]
	}
	return drawn
}

// wrkScript writes the script that makes wrk ask for these codes in turn.
func (l *lab) wrkScript(codes []string) (string, error) {
	name := filepath.Join(l.dir, "hot.lua")
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(f, "wrk.headers['User-Agent'] = '%s'\nwrk.headers['Accept-Language'] = 'de,en;q=0.7'\nlocal requests, i = {}, 0\nlocal codes = {\n", wire.Browser)
	for _, code := range codes {
		fmt.Fprintf(f, "'%s',\n", code)
	}
	fmt.Fprint(f, `}
function init()
  for n, code in ipairs(codes) do
    requests[n] = wrk.format('GET', '/' .. code)
  end
end
function request()
  i = i % #requests + 1
  return requests[i]
end
`)
	return name, f.Close()
}
