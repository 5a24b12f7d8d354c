//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"kurz/test/program"
	"kurz/test/wire"
)

// redirects runs nginx and kurz in turns on one core, with every link in
// memory, and measures memory and the draining of clicks on the way.
func redirects(ctx context.Context, l *lab) error {
	if err := l.install(ctx, "wrk", "wrk"); err != nil {
		return err
	}
	s, err := l.hot(ctx)
	if err != nil {
		return err
	}
	if l.values["memory-hot"], err = memory(ctx, s, l.links); err != nil {
		return err
	}
	l.say("   %s", l.values["memory-hot"])
	contestants, err := l.enter(ctx, l.links, nil, isNginx)
	if err != nil {
		return err
	}
	defer contestants.end()
	contestants = append(contestants, kurzOn(s, l.links, func() {}))
	scores, err := l.play(ctx, contestants, load{links: l.links}, l.rounds, l.length)
	if err != nil {
		return err
	}
	theirs, ours := scores[0], scores[1]
	l.values["redirect"] = fmt.Sprintf("**%s ×**: kurz %s, nginx %s", ours.cost.over(theirs.cost).format("%.2f", ""), ours.cost.format("%.1f", " µs"), theirs.cost.format("%.1f", " µs"))
	l.values["redirect-drained"] = fmt.Sprintf("%s ×: kurz %s", ours.full.over(theirs.cost).format("%.2f", ""), ours.full.format("%.1f", " µs"))
	l.values["drain"] = fmt.Sprintf("%s on one core; %s of CPU each", ours.drainRate.format("%.0f", "/s"), ours.drainCost.format("%.1f", " µs"))
	l.note("Redirects: the server on one core, wrk with %d connections on another, uniformly over all %s links, which both servers have in memory. kurz with journal, country, visitor hash, metrics and rate limit (too high to refuse anyone); nginx with a `map` of all links, `return 302` and an access log buffered by 64 KB. Requests/s: nginx %s, kurz %s. For %s of its redirects kurz read a link from the store: it does so too when one was in memory for five minutes.",
		clients, thousands(float64(l.links)), theirs.rate.format("%.0f", ""), ours.rate.format("%.0f", ""), ours.loads.format("%.1f", " %"))
	l.note("Redirects and their clicks are measured apart: while kurz answers, the clicks' file is locked, and the clicks wait in the journal; then they are drained with nothing else to do.")
	return nil
}

// settling is how long joining the last clicks, and giving back what that took,
// may last.
const settling = 8 * time.Second

func memory(ctx context.Context, s *program.Server, links int) (string, error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(settling):
	}
	all, anonymous, most, err := resident(s.Pid())
	return fmt.Sprintf("%.0f MB with %s links, %.0f MB of it not backed by files; %.0f MB at most, while their clicks were joined", all, thousands(float64(links)), anonymous, most), err
}

// manyAhead is how many requests follow sends before it reads the first answer,
// where what they cost does not matter.
const manyAhead = 16

// follow follows each of the links once; ahead is how many requests are sent
// at once on a connection.
func follow(ctx context.Context, addr string, p picks, ahead int) error {
	return followWith(ctx, addr, p, ahead, "")
}

// followWith is follow with more header lines, each ended by "\r\n".
func followWith(ctx context.Context, addr string, p picks, ahead int, header string) error {
	const connections = 32
	return parallel(connections, func(i int) error {
		conn, err := wire.Dial(ctx, addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		share := p[len(p)*i/connections : len(p)*(i+1)/connections]
		var requests []byte
		for len(share) > 0 && ctx.Err() == nil {
			some := share[:min(ahead, len(share))]
			share = share[len(some):]
			requests = requests[:0]
			for _, link := range some {
				requests = wire.AppendGet(requests, addr, "/"+codeOf(int(link)))
				requests = append(requests[:len(requests)-len("\r\n")], header+"\r\n"...)
			}
			if _, err := conn.Write(requests); err != nil {
				return err
			}
			for _, link := range some {
				r, err := conn.Read(false)
				if err != nil {
					return err
				}
				if r.Status != 302 || string(r.Location) != destinationOf(int(link)) {
					return fmt.Errorf("/%s: %d to %q", codeOf(int(link)), r.Status, r.Location)
				}
			}
		}
		return ctx.Err()
	})
}

// uncached measures redirects of links that are not in the cache: it has room
// for few, and each link is asked for once.
func uncached(ctx context.Context, l *lab) error {
	data, err := l.all(ctx)
	if err != nil {
		return err
	}
	s, err := l.start(ctx, data, true, fmt.Sprintf("KURZ_CACHE_ENTRIES=%d", smallCache))
	if err != nil {
		return err
	}
	defer l.stop()
	if err := acquainted(ctx, s); err != nil {
		return err
	}
	once := sampleOf(l.links, l.links)
	each := min(len(once)/l.rounds, 50_000)
	var cost, full sample
	for round := range l.rounds {
		before, err := cpu(s.Pid())
		if err != nil {
			return err
		}
		if err := follow(ctx, s.Addr, once[round*each:(round+1)*each], 1); err != nil {
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
	l.note("Not in the cache, and with 10,000,000 links: measured once the server has read all codes, which it does in the background of its first seconds.")
	l.values["uncached"] = fmt.Sprintf("%s; %s with its clicks brought into the reports", cost.format("%.0f", " µs"), full.format("%.0f", " µs"))
	return nil
}

// smallCache is the least that the setting allows.
const smallCache = 1000

// zipf measures how many redirects are answered without the store where the
// cache has room for 5 % of the links, and the k-th link is asked for with a
// probability in proportion to 1/k.
func zipf(ctx context.Context, l *lab) error {
	data, err := l.all(ctx)
	if err != nil {
		return err
	}
	room := max(l.links/20, 1)
	s, err := l.start(ctx, data, false, fmt.Sprintf("KURZ_CACHE_ENTRIES=%d", room))
	if err != nil {
		return err
	}
	defer l.stop()
	sums, sum := make([]float64, l.links), 0.0
	for k := range sums {
		sum += 1 / float64(k+1)
		sums[k] = sum
	}
	draw := func(n int) picks {
		drawn := make(picks, n)
		for i := range drawn {
			drawn[i] = int32(sort.SearchFloat64s(sums, rand.Float64()*sum))
		}
		return drawn
	}
	if err := follow(ctx, s.Addr, draw(3*room), manyAhead); err != nil { // fills the cache
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
	if err := follow(ctx, s.Addr, draw(5*room), manyAhead); err != nil {
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
