//go:build linux

package main

import (
	"context"
	"errors"
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

// contest lets the two run in turns, each round in the other order. While kurz
// answers, nobody may write its clicks' file, so that its clicks stay in the
// journal: what answering costs and what the reports cost are told apart, and
// both are measured whole.
func (l *lab) contest(ctx context.Context, s *program.Server, n *nginx, script string) error {
	var theirs, ours, draining, full, ratio, fullRatio, drained, theirRate, ourRate sample
	for round := range l.rounds {
		var a, b shot
		var d drain
		fire := func(first bool) (err error) {
			if first {
				a, err = l.shoot(ctx, n.addr, n.pid(), script, true)
				return err
			}
			free, err := holdClicks(l.data)
			if err != nil {
				return err
			}
			b, err = l.shoot(ctx, s.Addr, s.Pid(), script, true)
			if err := errors.Join(err, free()); err != nil {
				return err
			}
			d, err = l.drain(ctx, s)
			return err
		}
		for turn := range 2 {
			if err := fire((round+turn)%2 == 0); err != nil {
				return err
			}
		}
		theirs, ours, draining = append(theirs, a.cost()), append(ours, b.cost()), append(draining, d.cost())
		full, ratio, fullRatio = append(full, b.cost()+d.cost()), append(ratio, b.cost()/a.cost()), append(fullRatio, (b.cost()+d.cost())/a.cost())
		theirRate, ourRate, drained = append(theirRate, a.rate()), append(ourRate, b.rate()), append(drained, d.rate())
		l.say("   nginx %.2f µs at %.0f/s; kurz %.2f µs at %.0f/s, and %.2f µs to bring a click into the reports, at %.0f/s",
			a.cost(), a.rate(), b.cost(), b.rate(), d.cost(), d.rate())
	}
	l.values["redirect"] = fmt.Sprintf("**%s ×**: kurz %s, nginx %s", ratio.format("%.2f", ""), ours.format("%.1f", " µs"), theirs.format("%.1f", " µs"))
	l.values["redirect-drained"] = fmt.Sprintf("%s ×: kurz %s", fullRatio.format("%.2f", ""), full.format("%.1f", " µs"))
	l.values["drain"] = fmt.Sprintf("%s on one core; %s of CPU each", drained.format("%.0f", "/s"), draining.format("%.1f", " µs"))
	l.note("Redirects: the server on one core, wrk with %d connections on another, uniformly over %s of %s links that both servers know. kurz with journal, country, visitor hash, metrics and rate limit (too high to refuse anyone); nginx with a `map` of all links, `return 302` and an access log buffered by 64 KB. Requests/s: nginx %s, kurz %s.",
		clients, thousands(hotSet), thousands(float64(len(l.codes))), theirRate.format("%.0f", ""), ourRate.format("%.0f", ""))
	l.note("Redirects and their clicks are measured apart: while kurz answers, the clicks' file is locked, and the clicks wait in the journal; then they are drained with nothing else to do.")
	return nil
}

// shot is one contestant's round.
type shot struct {
	requests  float64
	took, cpu time.Duration
}

func (s shot) cost() float64 { return micros(s.cpu) / s.requests }
func (s shot) rate() float64 { return s.requests / s.took.Seconds() }

// shoot runs wrk against a server for a round.
func (l *lab) shoot(ctx context.Context, addr string, pid int, script string, pinned bool) (shot, error) {
	before, err := cpu(pid)
	if err != nil {
		return shot{}, err
	}
	requests, took, err := l.wrk(ctx, addr, script, pinned)
	if err != nil {
		return shot{}, err
	}
	after, err := cpu(pid)
	return shot{requests: requests, took: took, cpu: after - before}, err
}

// drain is what it took to bring clicks from the journal into the reports.
type drain shot

func (d drain) cost() float64 { return shot(d).cost() }
func (d drain) rate() float64 { return shot(d).rate() }

func (l *lab) drain(ctx context.Context, s *program.Server) (drain, error) {
	began := time.Now()
	before, err := cpu(s.Pid())
	if err != nil {
		return drain{}, err
	}
	pending, err := metric(ctx, s, pendingClicks)
	if err != nil {
		return drain{}, err
	}
	if err := drained(ctx, s); err != nil {
		return drain{}, err
	}
	took := time.Since(began)
	after, err := cpu(s.Pid())
	return drain{requests: pending, took: took, cpu: after - before}, err
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
		if hits, err = metric(ctx, s, "kurz_cache_hits_total"); err == nil {
			misses, err = metric(ctx, s, "kurz_cache_misses_total")
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
