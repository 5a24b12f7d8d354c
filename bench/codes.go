//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// The creates of each strategy at each fill of the space, and the codes that are
// timed.
const (
	fillCreates = "2000x"
	codeTime    = "500ms"
)

const codesExplained = "The time of a code of seven characters is without that of a store. The other columns are for a space of three characters, 238,328 codes, of which a part is taken by links of the same strategy: how often a create waits for the store; how many codes it draws that are taken; and how many links get a fourth character (those of `snowflake` have ten, always)."

// codes runs the benchmarks of the strategies: what a code costs, without a
// store's time, and how often a create asks the store where a space of three
// characters is filled.
func codes(ctx context.Context, l *lab) error {
	costs, err := l.goBench(ctx, "./internal/link", "^BenchmarkNext$", codeTime)
	if err != nil {
		return err
	}
	fills, err := l.goBench(ctx, "./internal/link", "^BenchmarkFill$", fillCreates)
	if err != nil {
		return err
	}
	l.codes = codeTable(costs, fills)
	l.say("%s", l.codes)
	return nil
}

// benchmark is a line of go test -bench: its name, without what it begins with,
// and its numbers by their units.
type benchmark struct {
	name    string
	numbers map[string]float64
}

var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark\w+/(\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

func (l *lab) goBench(ctx context.Context, folder, pattern, time string) (list []benchmark, err error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "NONE", "-bench", pattern, "-benchtime", time, folder).CombinedOutput()
	if err != nil {
		return nil, errors.Join(err, fmt.Errorf("%s", out))
	}
	for _, m := range benchmarkLine.FindAllStringSubmatch(string(out), -1) {
		b := benchmark{m[1], map[string]float64{}}
		fields := strings.Fields(m[2])
		for i := 0; i+1 < len(fields); i += 2 {
			if b.numbers[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, err
			}
		}
		list = append(list, b)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no benchmark %s in %s: %s", pattern, folder, out)
	}
	return list, nil
}

// codeTable has a row for each strategy, in the order of the benchmarks.
func codeTable(costs, fills []benchmark) string {
	var b strings.Builder
	b.WriteString("| strategy | a code | at 1 % | at 50 % | at 90 % |\n|---|---|---|---|---|\n")
	for _, c := range costs {
		fmt.Fprintf(&b, "| `%s` | %.2f µs |", c.name, c.numbers["ns/op"]/1000)
		for _, f := range fills {
			if strategy, _, _ := strings.Cut(f.name, "/"); strategy == c.name {
				fmt.Fprintf(&b, " %.3f; %.3f; %.1f %% |", f.numbers["trips/create"], f.numbers["again/create"], f.numbers["%longer"])
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
