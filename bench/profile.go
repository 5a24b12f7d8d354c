//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kurz/bench/flame"
)

const (
	profileLength = 10 * time.Second
	graphName     = "redirect-profile.svg"
)

// profile takes a CPU profile of the hot server while wrk asks it for redirects,
// with its clicks' file locked as in the contest, and writes it as a flame
// graph and a table.
func profile(ctx context.Context, l *lab) error {
	if err := l.install(ctx, "wrk", "wrk"); err != nil {
		return err
	}
	s, err := l.hot(ctx)
	if err != nil {
		return err
	}
	free, err := holdClicks(s.Data)
	if err != nil {
		return err
	}
	file := filepath.Join(l.dir, "cpu.pprof")
	taken := make(chan error, 1)
	go func() { taken <- takeProfile(ctx, l.profiles, file) }()
	d := load{links: l.links}
	round, err := l.shoot(ctx, s.URL, s.Pid(), d.script(0), profileLength+2*time.Second, true)
	if err := errors.Join(err, <-taken, free(), drained(ctx, s)); err != nil {
		return err
	}
	raw, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-raw", file).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	p, err := flame.Parse(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	var graph bytes.Buffer
	rules := flame.Redirect()
	title := fmt.Sprintf("A redirect of kurz %s: %s, one core, %.1f µs of CPU each", l.version, d, round.cost())
	if err := flame.Draw(&graph, title, p, rules); err != nil {
		return err
	}
	page := l.profilePage(d, round, p, rules.Shares(p))
	l.say("%s", page)
	if l.docs == "" {
		return nil
	}
	return errors.Join(
		os.WriteFile(filepath.Join(l.docs, graphName), graph.Bytes(), 0o644),
		os.WriteFile(filepath.Join(l.docs, "redirect-profile.md"), []byte(page), 0o644))
}

// takeProfile saves a CPU profile of a running server.
func takeProfile(ctx context.Context, addr, file string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", addr, profileLength.Seconds())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", response.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, response.Body)
	return errors.Join(err, f.Close())
}

// profilePage says what each share is.
func (l *lab) profilePage(d load, round shot, p flame.Profile, shares []flame.Share) string {
	var b strings.Builder
	b.WriteString("# What a redirect is made of\n\nWritten by `make profile`; nothing in it is typed in by hand.\n\n| | |\n|---|---|\n")
	for _, fact := range append(machine(l.load), [2]string{"kurz", l.version}, [2]string{"load", d.String()}) {
		fmt.Fprintf(&b, "| %s | %s |\n", fact[0], fact[1])
	}
	fmt.Fprintf(&b, "\n![flame graph](%s)\n\n", graphName)
	fmt.Fprintf(&b, "%.1f µs of CPU for a redirect, by the kernel's accounts; %s samples over %v of the server on one core, at %s redirects a second. Its clicks stay in the journal meanwhile. The graph, opened by itself, tells each box's function and time.\n\n",
		round.cost(), thousands(float64(p.Total())/1e7), profileLength, thousands(round.rate()))
	b.WriteString("| share | of the time | µs | what it is | mostly in |\n|---|---|---|---|---|\n")
	for _, s := range shares {
		part := float64(s.Nanoseconds) / float64(p.Total())
		var inner []string
		for _, f := range s.Inner[:min(3, len(s.Inner))] {
			inner = append(inner, fmt.Sprintf("`%s` %.1f %%", flame.Short(f.Function), 100*float64(f.Nanoseconds)/float64(p.Total())))
		}
		fmt.Fprintf(&b, "| %s | %.1f %% | %.2f | %s | %s |\n", s.Share, 100*part, part*round.cost(), s.Says, strings.Join(inner, ", "))
	}
	b.WriteString("\nA sample belongs to the share of the innermost of its functions that a rule names; the rules are in `bench/flame`.\n")
	return b.String()
}
