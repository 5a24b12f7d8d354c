// Command contestants answers redirects as Go programs do that are nothing but
// a redirect: a map of links, an answer, and one line of access log, buffered.
// kurz is measured beside them.
//
//	contestants nethttp|fasthttp -addr ADDR -links FILE -log FILE [-cert FILE -key FILE]
//
// The file of links has a code, a blank and a destination on each line. It is
// a module of its own, so that what it needs stays out of kurz's. Start reading
// at netHTTP and fastHTTP.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// contest is what each contestant is told.
type contest struct {
	addr      string
	cert, key string // "" without TLS
	links     map[string]string
	log       *accessLog
}

// serving has the contestants, by name. Each serves until it fails.
var serving = map[string]func(contest) error{
	"nethttp":  netHTTP,
	"fasthttp": fastHTTP,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "contestants:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || serving[args[0]] == nil {
		return errors.New("name a contestant: nethttp or fasthttp")
	}
	var c contest
	var links, log string
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&c.addr, "addr", "127.0.0.1:0", "address to listen on")
	flags.StringVar(&links, "links", "", "file of links")
	flags.StringVar(&log, "log", "", "file of the access log")
	flags.StringVar(&c.cert, "cert", "", "file with a certificate, for TLS")
	flags.StringVar(&c.key, "key", "", "file with its key")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	var err error
	if c.links, err = readLinks(links); err != nil {
		return err
	}
	if c.log, err = openLog(log); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- serving[args[0]](c) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	select {
	case err = <-failed:
	case <-stop:
	}
	return errors.Join(err, c.log.close())
}

// readLinks reads a file of links.
func readLinks(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	links := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		code, destination, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			return nil, fmt.Errorf("%s: not a link: %q", name, lines.Text())
		}
		links[code] = destination
	}
	return links, lines.Err()
}
