//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kurz/test/program"
)

// score is what a contestant did in the rounds of a load.
type score struct {
	cost, rate sample
	// With each click brought into the reports; of kurz alone.
	full, drainCost, drainRate sample
	// loads is how many links were read from the store for 100 redirects; of
	// kurz alone.
	loads sample
}

// play lets contestants run in turns under a load, each over its own links, in
// another order each round, and gives their scores in the contestants' order.
//
// While kurz answers, nobody may write its clicks' file, so that its clicks stay
// in the journal: what answering costs and what the reports cost are told
// apart, and both are measured whole.
func (l *lab) play(ctx context.Context, contestants crowd, d load, rounds int, length time.Duration) ([]score, error) {
	scores := make([]score, len(contestants))
	for round := range rounds {
		turns := make([]turn, len(contestants))
		for k := range contestants {
			i := (round + k) % len(contestants)
			var err error
			if turns[i], err = l.turn(ctx, contestants[i], d.over(contestants[i].links).script(round), length); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", d, contestants[i].name, err)
			}
		}
		var said strings.Builder
		for i, t := range turns {
			s := &scores[i]
			s.cost, s.rate = append(s.cost, t.cost()), append(s.rate, t.rate())
			fmt.Fprintf(&said, "; %s %.1f µs at %.0f/s", contestants[i].name, t.cost(), t.rate())
			if contestants[i].kurz != nil {
				s.drainCost, s.drainRate = append(s.drainCost, t.drain.cost()), append(s.drainRate, t.drain.rate())
				s.full, s.loads = append(s.full, t.cost()+t.drain.cost()), append(s.loads, 100*t.loads/t.requests)
				fmt.Fprintf(&said, " with %.1f %% from the store, and %.1f µs to bring a click into the reports", 100*t.loads/t.requests, t.drain.cost())
			}
		}
		l.say("   %s", said.String()[2:])
	}
	return scores, nil
}

// turn is a contestant's round.
type turn struct {
	shot
	drain drain
	loads float64 // of links from the store
}

func (l *lab) turn(ctx context.Context, c contestant, script string, length time.Duration) (t turn, err error) {
	if c.kurz == nil {
		t.shot, err = l.shoot(ctx, c.url, c.pid, script, length, true)
		return t, err
	}
	before, err := metric(ctx, c.kurz, storeLoads)
	if err != nil {
		return t, err
	}
	free, err := holdClicks(c.kurz.Data)
	if err != nil {
		return t, err
	}
	t.shot, err = l.shoot(ctx, c.url, c.pid, script, length, true)
	if err := errors.Join(err, free()); err != nil {
		return t, err
	}
	if t.drain, err = l.drain(ctx, c.kurz); err != nil {
		return t, err
	}
	after, err := metric(ctx, c.kurz, storeLoads)
	t.loads = after - before
	return t, err
}

// storeLoads counts links read from the store, be it that they were not in
// memory or that they had been there for long.
const storeLoads = "kurz_store_loads_total"

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

// The tables beside the headline have fewer and shorter rounds.
const (
	sideRounds = 3
	sideLength = 3 * time.Second
)

func (l *lab) sideRounds() int           { return min(l.rounds, sideRounds) }
func (l *lab) sideLength() time.Duration { return min(l.length, sideLength) }

// contestTable has what a redirect costs each contestant under each load.
type contestTable struct {
	loads []load
	cells map[load]map[string]string
}

// columns are the table's; withReports is kurz with its clicks in the reports.
var columns = []string{isNginx, isKurz, withReports, isStandard, isNetHTTP, isFastHTTP, isExpress}

const withReports = "kurz, its click in the reports too"

// enter notes the scores of those contestants under a load that have as many
// links as it says.
func (t *contestTable) enter(d load, contestants crowd, scores []score) {
	var yardstick sample
	for i, c := range contestants {
		if c.name == isNginx && c.links == d.links {
			yardstick = scores[i].cost
		}
	}
	for i, c := range contestants {
		if c.links != d.links {
			continue
		}
		t.put(d, c.name, cell(scores[i].cost, yardstick))
		if c.name == isKurz {
			t.put(d, withReports, cell(scores[i].full, yardstick))
		}
	}
}

// put notes what stands in one cell.
func (t *contestTable) put(d load, name, text string) {
	if t.cells == nil {
		t.cells = map[load]map[string]string{}
	}
	if t.cells[d] == nil {
		t.cells[d] = map[string]string{}
		t.loads = append(t.loads, d)
	}
	t.cells[d][name] = text
}

// cell has a cost and, where there is a yardstick, the ratio to it.
func cell(cost, yardstick sample) string {
	text := cost.format("%.1f", "")
	if len(yardstick) > 0 {
		text += fmt.Sprintf("<br>%.2f ×", cost.over(yardstick).median())
	}
	return text
}

// markdown gives the table, without columns that nobody filled; "" where there
// is nothing.
func (t *contestTable) markdown() string {
	var names []string
	for _, name := range columns {
		if slices.ContainsFunc(t.loads, func(d load) bool { return t.cells[d][name] != "" }) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| load | %s |\n|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, d := range t.loads {
		fmt.Fprintf(&b, "| %s |", d)
		for _, name := range names {
			text := t.cells[d][name]
			if text == "" {
				text = "–"
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	return b.String()
}
