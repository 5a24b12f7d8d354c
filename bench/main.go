//go:build linux

// Command bench measures the numbers that kurz promises, with nginx beside it
// where the promise is a ratio, and prints them as a table.
//
// It guarantees that contestants run in turns on the same core, that CPU is
// read from the kernel for all processes of a server, and that no number is
// typed in by hand: what is not measured is marked "not yet". Start reading at
// stages, then at lab. To add a row, add it to promises and put its value in a
// stage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	links    int
	rounds   int
	length   time.Duration
	openLoop time.Duration
	kills    int
	clicks   int
	cuts     int
	only     *regexp.Regexp
	out      string
}

// stage measures something and fills rows. Stages share a lab: those that need
// the links come after the one that makes them.
type stage struct {
	name string
	run  func(context.Context, *lab) error
	// needs names a stage without which this one can't run.
	needs string
}

var stages = []stage{
	{name: "binary", run: binary},
	{name: "idle", run: idle},
	{name: "creates", run: creates},
	{name: "fresh", run: freshness},
	{name: "seed", run: seed},
	{name: "start", run: startUp, needs: "seed"},
	{name: "uncached", run: uncached, needs: "seed"},
	{name: "zipf", run: zipf, needs: "seed"},
	{name: "redirects", run: redirects, needs: "seed"},
	{name: "openloop", run: openLoop, needs: "seed"},
	{name: "reports", run: reports},
	{name: "kills", run: kills},
	{name: "powercuts", run: powerCuts},
	{name: "damage", run: damage},
	{name: "fulldisk", run: fullDisk},
}

func main() {
	o := options{}
	only := "."
	flag.IntVar(&o.links, "links", 1_000_000, "how many links the server has")
	flag.IntVar(&o.rounds, "rounds", 5, "how many rounds each contestant runs")
	flag.DurationVar(&o.length, "length", 5*time.Second, "how long a round lasts")
	flag.DurationVar(&o.openLoop, "openloop", time.Minute, "how long the open loop lasts")
	flag.IntVar(&o.clicks, "clicks", 10_000_000, "how many clicks reports are over")
	flag.IntVar(&o.kills, "kills", 200, "how many times the server is killed")
	flag.IntVar(&o.cuts, "cuts", 50, "how many times the power is cut in each mode")
	flag.StringVar(&only, "only", only, "regular expression of the stages to run (and those that they need)")
	flag.StringVar(&o.out, "out", "", "file to write the report to, such as docs/benchmarks.md")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(only); err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	l, err := newLab(ctx, o)
	if err != nil {
		return err
	}
	defer l.close()
	wanted := map[string]bool{}
	for i := len(stages) - 1; i >= 0; i-- {
		if s := stages[i]; wanted[s.name] || o.only.MatchString(s.name) {
			wanted[s.name], wanted[s.needs] = true, true
		}
	}
	var failed error
	for _, s := range stages {
		if !wanted[s.name] {
			continue
		}
		began := time.Now()
		l.say("== %s", s.name)
		if err := s.run(ctx, l); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// One stage that fails must not cost the others' hour.
			l.say("%s: %v", s.name, err)
			failed = errors.Join(failed, fmt.Errorf("stage %s: %w", s.name, err))
		}
		l.say("   took %v", time.Since(began).Round(time.Second))
	}
	report := l.report()
	fmt.Print(report)
	if o.out == "" || failed != nil {
		return failed
	}
	return os.WriteFile(o.out, []byte(report), 0o644)
}
