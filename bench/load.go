//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"kurz/test/wire"
)

// load is what wrk asks for, and how.
type load struct {
	links int
	asked int  // how many of the links are asked for, the first ones; all where 0
	zipf  bool // the k-th link in proportion to 1/k, in place of each alike
	anew  bool // a connection for each request
	tls   bool
}

func (d load) String() string {
	words := []string{thousands(float64(d.links)) + " links", "uniform", "keep-alive"}
	if d.asked > 0 {
		words[0] += fmt.Sprintf(" (%s asked for)", thousands(float64(d.asked)))
	}
	if d.zipf {
		words[1] = "Zipf 1.0"
	}
	if d.anew {
		words[2] = "a new connection each request"
	}
	if d.tls {
		words = append(words, "TLS 1.3")
	}
	return strings.Join(words, ", ")
}

// over is the same load over so many links.
func (d load) over(links int) load {
	d.links = links
	if d.asked >= links {
		d.asked = 0
	}
	return d
}

// script is what makes wrk draw the links of a load; each number begins another
// row of draws.
func (d load) script(number int) string {
	header := ""
	if d.anew {
		header = "wrk.headers['Connection'] = 'close'\n"
	}
	return header + fmt.Sprintf(drawScript, wire.Browser, codeFormat, codeSpread, codeSpace, cmp.Or(d.asked, d.links), d.zipf, number)
}

// drawScript draws links as codeOf makes them.
const drawScript = `
wrk.headers['User-Agent'] = '%s'
wrk.headers['Accept-Language'] = 'de,en;q=0.7'
local format, spread, space = '%s', %d, %d
local links, zipf, seed = %d, %t, %d
local floor, random = math.floor, math.random
local sums, sum, head, tail = {}, 0, nil, nil

math.randomseed(seed)

function draw()
  if not zipf then return random(0, links - 1) end
  local aim, low, high = random() * sum, 1, links
  while low < high do
    local middle = floor((low + high) / 2)
    if sums[middle] < aim then low = middle + 1 else high = middle end
  end
  return low - 1
end

if zipf then
  for k = 1, links do
    sum = sum + 1 / k
    sums[k] = sum
  end
end

function init()
  local whole = wrk.format('GET', '/CODE')
  local from, to = whole:find('CODE', 1, true)
  head, tail = whole:sub(1, from - 1), whole:sub(to + 1)
end

function request()
  return head .. format:format(draw() * spread %% space) .. tail
end
`

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in ([0-9.]+)(m?s|m)`)
	wrkErrors   = regexp.MustCompile(`(?m)^\s*(Non-2xx or 3xx responses|Socket errors).*$`)
)

// wrk runs wrk against a server, on the core for clients where pinned, and says
// how many requests were answered in what time. An answer of status 400 or
// more, or a broken connection, is an error.
func (l *lab) wrk(ctx context.Context, url, script string, length time.Duration, pinned bool) (requests float64, took time.Duration, err error) {
	file := filepath.Join(l.dir, "wrk.lua")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return 0, 0, err
	}
	var args []string
	if pinned {
		args = onCore(1)
	}
	args = append(args, "wrk", "-t1", "-c"+strconv.Itoa(clients), "-d"+strconv.Itoa(max(int(length.Seconds()), 1))+"s", "-s", file, url+"/")
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseWrk(string(out))
}

// parseWrk reads what wrk prints.
func parseWrk(out string) (requests float64, took time.Duration, err error) {
	if bad := wrkErrors.FindString(out); bad != "" {
		return 0, 0, fmt.Errorf("wrk: %s", strings.TrimSpace(bad))
	}
	m := wrkRequests.FindStringSubmatch(out)
	if m == nil {
		return 0, 0, fmt.Errorf("wrk printed %q", out)
	}
	if requests, err = strconv.ParseFloat(m[1], 64); err != nil {
		return 0, 0, err
	}
	if requests == 0 {
		return 0, 0, fmt.Errorf("wrk had no answer: %q", out)
	}
	took, err = time.ParseDuration(m[2] + m[3])
	return requests, took, err
}

// shot is what a server did for a round of wrk.
type shot struct {
	requests  float64
	took, cpu time.Duration
}

func (s shot) cost() float64 { return micros(s.cpu) / s.requests }
func (s shot) rate() float64 { return s.requests / s.took.Seconds() }

// shoot runs wrk against a server for a round.
func (l *lab) shoot(ctx context.Context, url string, pid int, script string, length time.Duration, pinned bool) (shot, error) {
	before, err := cpu(pid)
	if err != nil {
		return shot{}, err
	}
	requests, took, err := l.wrk(ctx, url, script, length, pinned)
	if err != nil {
		return shot{}, err
	}
	after, err := cpu(pid)
	return shot{requests: requests, took: took, cpu: after - before}, err
}
