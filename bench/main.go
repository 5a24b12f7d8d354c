//go:build linux

// Command bench measures the numbers that kurz promises, with others beside it
// where the promise is a ratio, and prints them as tables.
//
// It guarantees that contestants run in turns on the same core, in another
// order each round; that CPU is read from the kernel for all processes of a
// server; and that no number is typed in by hand: what is not measured is marked
// "not yet", and who can't take part is named with the reason. It installs what
// it needs from Debian (nginx, wrk, sqlite3, node, npm), builds the Go programs
// in contestants, a module of their own, and installs Express by npm into the
// user's cache.
//
// Links are written straight into the data folder, by SQL, and read back through
// the API. Start reading at stages, then at lab, then at contest.go for those
// that compete. To add a row, add it to promises and put its value in a stage;
// to add a contestant, add it to entries and columns.
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
	many     int
	hotLinks int
	journal  float64
	rounds   int
	length   time.Duration
	openLoop time.Duration
	kills    int
	clicks   int
	cuts     int
	only     *regexp.Regexp
	out      string
	docs     string
}

// stage measures something and fills rows. Stages share a lab.
type stage struct {
	name string
	run  func(context.Context, *lab) error
}

// Those that use one server stand together.
var stages = []stage{
	{"binary", released},
	{"idle", idle},
	{"creates", creates},
	{"bulk", bulk},
	{"codes", codes},
	{"fresh", freshness},
	{"start", startUp},
	{"killed", killed},
	{"uncached", uncached},
	{"zipf", zipf},
	{"openloop", openLoop},
	{"redirects", redirects},
	{"profile", profile},
	{"peers", peers},
	{"many", many},
	{"collected", collected},
	{"tls", overTLS},
	{"reports", reports},
	{"search", searches},
	{"kills", kills},
	{"powercuts", powerCuts},
	{"damage", damage},
	{"fulldisk", fullDisk},
}

func main() {
	o := options{}
	only := "."
	flag.IntVar(&o.links, "links", 1_000_000, "how many links the server has")
	flag.IntVar(&o.many, "many", mostLinks, "how many links are compared with few")
	flag.IntVar(&o.hotLinks, "hot", 1_000_000, "how many of -many links are in memory and asked for")
	flag.Float64Var(&o.journal, "journal", 1000, "MB of the journal that a server is killed with")
	flag.IntVar(&o.rounds, "rounds", 5, "how many rounds each contestant runs")
	flag.DurationVar(&o.length, "length", 5*time.Second, "how long a round lasts")
	flag.DurationVar(&o.openLoop, "openloop", time.Minute, "how long the open loop lasts")
	flag.IntVar(&o.clicks, "clicks", 10_000_000, "how many clicks reports are over")
	flag.IntVar(&o.kills, "kills", 200, "how many times the server is killed")
	flag.IntVar(&o.cuts, "cuts", 50, "how many times the power is cut in each mode")
	flag.StringVar(&only, "only", only, "regular expression of the stages to run")
	flag.StringVar(&o.out, "out", "", "file to write the report to, such as docs/benchmarks.md")
	flag.StringVar(&o.docs, "profile", "", "folder to write the redirect's profile to, such as docs")
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
	var failed error
	for _, s := range stages {
		if !o.only.MatchString(s.name) {
			continue
		}
		began := time.Now()
		l.say("== %s", s.name)
		if err := s.run(ctx, l); err != nil {
			if ctx.Err() != nil { // what was measured before counts
				l.note("**Interrupted** in stage %s, so that its rows and those of later stages are missing.", s.name)
				failed = errors.Join(failed, ctx.Err())
				break
			}
			// One stage that fails must not cost the others' hour.
			l.say("%s: %v", s.name, err)
			l.note("**Stage %s failed**, so that its rows are missing: %v.", s.name, err)
			failed = errors.Join(failed, fmt.Errorf("stage %s: %w", s.name, err))
		}
		l.say("   took %v", time.Since(began).Round(time.Second))
	}
	report := l.report()
	fmt.Print(report)
	if o.out == "" {
		return failed
	}
	return errors.Join(failed, os.WriteFile(o.out, []byte(report), 0o644))
}
