//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// promise is a row of the product contract's table of numbers.
type promise struct {
	id     string
	what   string
	target string
}

var promises = []promise{
	{"redirect", "server CPU per redirect, everything on, 64 keep-alive connections on one core", "≤ 1.0 × nginx answering one `map`ped 302 with a buffered access log"},
	{"redirect-drained", "the same, and its click brought into the SQLite reports", "–"},
	{"links-10m", "the same with 10,000,000 links", "≤ 1.1 × that with 1,000"},
	{"openloop", "open loop, 5,000/s (each latency measured from its due time)", "p50 ≤ 0.3 ms, p99 ≤ 3 ms, p99.9 ≤ 10 ms"},
	{"openloop-busy", "the same during backup, rollup, checkpoint", "the same"},
	{"openloop-collected", "the same with 10,000,000 links while Go's collector runs", "the same"},
	{"uncached", "link not in the cache, SQLite", "≤ 60 µs of CPU"},
	{"zipf", "answered without the store: Zipf 1.0, cache for 5 % of the links", "≥ 95 %"},
	{"creates", "durable creates (fsync before 201), 64 clients", "≥ 8,000/s"},
	{"creates-busy", "the same while 5,000 redirects/s run", "the same"},
	{"bulk", "bulk rows on SQLite", "≥ 40,000/s"},
	{"drain", "clicks drained into SQLite reports", "≥ 60,000/s"},
	{"fresh", "a click is in the report and on the live stream, at 500/s", "≤ 2 s"},
	{"report", "any report over 10,000,000 clicks, 1,000,000 links", "p95 ≤ 50 ms"},
	{"search", "any listing or search over 1,000,000 links", "p95 ≤ 100 ms"},
	{"disk", "bytes on disk per click, rollups included", "–"},
	{"memory-hot", "links hot in memory, resident", "≤ 250 MB with 1,000,000"},
	{"memory-idle", "idle, resident", "≤ 40 MB"},
	{"start", "start to first redirect", "≤ 200 ms with 10,000,000 links"},
	{"start-killed", "after `kill -9` with a 1 GB journal", "≤ 3 s"},
	{"binary", "binary", "≤ 40 MB, static, no cgo"},
	{"kills", "lost or doubled clicks and creates over `kill -9` under load", "0 over 200, at ≥ 1,000 redirects/s, restarts ≤ 2 s"},
	{"powercut", "the same over power cuts (a disk that drops what was not synced, or keeps it torn)", "0 lost with `strict`, else at most the last 50 ms; 0 doubled; over 50"},
	{"powercut-journal", "power cuts under the journal alone, through many segments", "0 durable records lost over 50"},
	{"damage", "journal truncated at every byte of its last 64 KiB; 10,000 bit flips", "every intact click counted, no other"},
	{"full-disk", "disk full of clicks", "every redirect answered, every lost click counted, as before within 5 s of room"},
}

// sample is what a number was in each round.
type sample []float64

func (s sample) sorted() sample {
	c := slices.Clone(s)
	slices.Sort(c)
	return c
}

func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	c := s.sorted()
	return (c[(len(c)-1)/2] + c[len(c)/2]) / 2
}

// over gives the ratios to another sample of the same rounds.
func (s sample) over(other sample) sample {
	ratios := make(sample, min(len(s), len(other)))
	for i := range ratios {
		ratios[i] = s[i] / other[i]
	}
	return ratios
}

// format gives the median and, in brackets, the least and the most.
func (s sample) format(verb, unit string) string {
	if len(s) == 0 {
		return "not measured"
	}
	c := s.sorted()
	text := fmt.Sprintf(verb, c.median()) + unit
	if len(c) > 1 {
		text += fmt.Sprintf(" ("+verb+"–"+verb+")", c[0], c[len(c)-1])
	}
	return text
}

// thousands writes a count for people.
func thousands(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// report gives the whole document.
func (l *lab) report() string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nWritten by `make bench`; nothing in it is typed in by hand.\n\n")
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	for _, fact := range l.facts() {
		fmt.Fprintf(&b, "| %s | %s |\n", fact[0], fact[1])
	}
	b.WriteString("\n| what | number to reach | measured |\n|---|---|---|\n")
	for _, p := range promises {
		value := l.values[p.id]
		if value == "" {
			value = "not yet"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", p.what, p.target, value)
	}
	b.WriteString("\nMedians, with the least and the most of the rounds in brackets.\n")
	if table := l.contest.markdown(); table != "" {
		fmt.Fprintf(&b, "\n## What a redirect costs, by load\n\nµs of server CPU for each request, and the ratio to nginx.\n\n%s", table)
	}
	if l.codes != "" {
		b.WriteString("\n## What a code costs, by strategy\n\n" + codesExplained + "\n\n" + l.codes)
	}
	for _, table := range l.tables {
		fmt.Fprintf(&b, "\n%s", table)
	}
	if len(l.notes) > 0 {
		if l.codes != "" || l.contest.markdown() != "" {
			b.WriteString("\n## Notes\n")
		}
		b.WriteString("\n")
		for _, n := range l.notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
	}
	return b.String()
}

func (l *lab) facts() [][2]string {
	return append(machine(l.load),
		[2]string{"kurz", l.version},
		[2]string{"beside it", l.tools()},
		[2]string{"links, rounds", fmt.Sprintf("%s, %d of %v", thousands(float64(l.links)), l.rounds, l.length)},
		[2]string{"measured", time.Now().UTC().Format(time.DateOnly)},
	)
}
