// Package flame draws where a program's CPU time goes: as a flame graph, and as
// shares by rules over the names of functions.
//
// It guarantees that every sample of a profile is in the graph and in exactly
// one share, and that the graph is one SVG file that needs no script and nothing
// from elsewhere. Start reading at Parse, then Rules.Shares and Draw.
package flame

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Sample is time spent in one stack.
type Sample struct {
	Nanoseconds int64
	Stack       []string // functions, the outermost first
}

// Profile is what was sampled.
type Profile []Sample

// Total gives the nanoseconds of all samples.
func (p Profile) Total() int64 {
	var sum int64
	for _, s := range p {
		sum += s.Nanoseconds
	}
	return sum
}

var (
	sampleLine   = regexp.MustCompile(`^\s*\d+\s+(\d+):((?: \d+)+)\s*$`)
	locationLine = regexp.MustCompile(`^\s*(?:(\d+): 0x[0-9a-f]+ (?:M=\d+ )?)?(?:\[F\] )?(\S.*?) \S*:\d+:\d+ s=\d+`)
)

// Parse reads what 'go tool pprof -raw' prints of a CPU profile.
func Parse(r io.Reader) (Profile, error) {
	type raw struct {
		nanoseconds int64
		locations   []string // the innermost first
	}
	var samples []raw
	functions := map[string][]string{} // of a location, the innermost first
	section, location := "", ""
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch name := strings.TrimSuffix(line, ":"); name {
		case "Samples", "Locations", "Mappings":
			section = name
			continue
		}
		switch section {
		case "Samples":
			m := sampleLine.FindStringSubmatch(line)
			if m == nil {
				continue // the units
			}
			n, err := strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				return nil, err
			}
			samples = append(samples, raw{n, strings.Fields(m[2])})
		case "Locations":
			m := locationLine.FindStringSubmatch(line)
			if m == nil {
				continue // an address without a name
			}
			if m[1] != "" {
				location = m[1]
			}
			functions[location] = append(functions[location], m[2])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("a profile without samples: %w", io.ErrUnexpectedEOF)
	}
	p := make(Profile, 0, len(samples))
	for _, s := range samples {
		var stack []string
		for i := len(s.locations) - 1; i >= 0; i-- {
			names := functions[s.locations[i]]
			if len(names) == 0 {
				names = []string{unnamed}
			}
			for k := len(names) - 1; k >= 0; k-- {
				stack = append(stack, names[k])
			}
		}
		p = append(p, Sample{s.nanoseconds, stack})
	}
	return p, nil
}

// unnamed is a function that the profile has no name of.
const unnamed = "(no name)"
