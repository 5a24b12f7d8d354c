//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

var (
	filledLine  = regexp.MustCompile(`(?m)^filled: .*, ([0-9.]+) bytes a click on disk$`)
	queryLine   = regexp.MustCompile(`(?m)^report: (.*): (p50 .*), (\d+) clicks each$`)
	reportsLine = regexp.MustCompile(`(?m)^reports: (.*)$`)
)

// reports measures reports over many clicks: by a benchmark of the store, since
// a server takes clicks of now only.
func reports(ctx context.Context, l *lab) error {
	command := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=^BenchmarkReports$", "-benchtime=1x", "-timeout=1h", "./internal/sqlite")
	command.Env = append(os.Environ(), fmt.Sprintf("KURZ_CLICKS=%d", l.clicks))
	var out bytes.Buffer
	command.Stdout, command.Stderr = io.MultiWriter(&out, os.Stderr), os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	filled, all := filledLine.FindStringSubmatch(out.String()), reportsLine.FindStringSubmatch(out.String())
	if filled == nil || all == nil {
		return fmt.Errorf("go test told no numbers: %q", out.String())
	}
	clicks := thousands(float64(l.clicks))
	l.values["report"] = all[1] + ", " + clicks + " clicks"
	l.values["disk"] = filled[1] + " with " + clicks + " clicks"
	var list []string
	for _, q := range queryLine.FindAllStringSubmatch(out.String(), -1) {
		list = append(list, q[1]+": "+q[2])
	}
	l.note("Reports, of the store alone (40 of each kind, each of another link, owner or value; clicks of 14 months on 1,000,000 links by Zipf's law, 1,000 owners, two clicks a visitor and day): %s.", strings.Join(list, "; "))
	return nil
}
