//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kurz/test/program"
)

// lab is what the stages share.
type lab struct {
	options
	dir    string
	binary string
	// folders are those with links, by their paths.
	folders map[string]bool
	server  *program.Server
	// isHot says that server has all links in memory; profiles is then where
	// its profiles can be taken.
	isHot    bool
	profiles string
	contest  contestTable
	codes    string // the table of strategies
	// load and version are those of the beginning.
	load, version string
	values        map[string]string
	notes         []string
	tables        []string // of the stages, in Markdown
}

func newLab(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp("", "kurz-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, dir: dir, load: loadAverage(), version: version(), values: map[string]string{}, folders: map[string]bool{}}
	l.say("building kurz")
	if l.binary, err = program.Build(ctx, dir); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) close() {
	l.stop()
	if err := os.RemoveAll(l.dir); err != nil {
		l.say("%v", err)
	}
}

func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (l *lab) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// noteOnce notes what was not noted yet.
func (l *lab) noteOnce(text string) {
	if !slices.Contains(l.notes, text) {
		l.notes = append(l.notes, text)
	}
}

// everythingOn are the settings of all measurements: nothing is turned off,
// and the limits are so high that they are counted and refuse nobody.
func everythingOn() []string {
	return []string{
		"KURZ_RATE_ANONYMOUS=1000000000/s", "KURZ_RATE_FREE=1000000000/s",
		"KURZ_RATE_PREMIUM=1000000000/s", "KURZ_RATE_REDIRECT=1000000000/s",
	}
}

// start makes a server on a folder the lab's server, on the core for servers
// where pinned. One that runs is stopped first.
func (l *lab) start(ctx context.Context, data string, pinned bool, env ...string) (*program.Server, error) {
	l.stop()
	s, err := l.launch(ctx, program.Options{Data: data, Env: env}, pinned)
	l.server = s
	return s, err
}

// launch starts a server of kurz with everything on.
func (l *lab) launch(ctx context.Context, o program.Options, pinned bool) (*program.Server, error) {
	o.Binary, o.Env, o.Patience = l.binary, append(everythingOn(), o.Env...), 2*time.Minute
	if pinned {
		o.Before = onCore(0)
	}
	return program.Start(ctx, o)
}

// hot gives the lab's server on all links, on the core for servers, when it has
// each of them in memory: the one that runs, if it is that.
func (l *lab) hot(ctx context.Context) (*program.Server, error) {
	if l.server != nil && l.isHot {
		return l.server, nil
	}
	data, err := l.all(ctx)
	if err != nil {
		return nil, err
	}
	if l.profiles, err = program.FreeAddr(); err != nil {
		return nil, err
	}
	s, err := l.start(ctx, data, true, "KURZ_PPROF_LISTEN="+l.profiles, cacheFor(l.links))
	if err != nil {
		return nil, err
	}
	l.isHot = true
	return s, l.heat(ctx, s, allOf(l.links))
}

// cacheFor is the setting that keeps all of so many links in memory: with some
// room to spare, since the cache is divided, and the links not evenly.
func cacheFor(links int) string { return fmt.Sprintf("KURZ_CACHE_ENTRIES=%d", links+links/8+1000) }

// heat follows links once, and waits until their clicks are in the reports.
func (l *lab) heat(ctx context.Context, s *program.Server, p picks) error {
	began := time.Now()
	if err := follow(ctx, s.Addr, p, manyAhead); err != nil {
		return err
	}
	l.say("   %s links followed once in %.0f s", thousands(float64(len(p))), time.Since(began).Seconds())
	if err := drained(ctx, s); err != nil {
		return err
	}
	return acquainted(ctx, s)
}

func (l *lab) stop() {
	if l.server == nil {
		return
	}
	stopServer(l, l.server)
	l.server, l.isHot = nil, false
}

// stopServer ends a server in order.
func stopServer(l *lab, s *program.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		l.say("stop: %v", err)
	}
}

// onCore gives what stands before a command to keep it on a core; nothing on a
// machine with one.
func onCore(n int) []string {
	if runtime.NumCPU() < 2 {
		return nil
	}
	if _, err := exec.LookPath("taskset"); err != nil {
		return nil
	}
	return []string{"taskset", "-c", strconv.Itoa(n)}
}

// install makes sure that a program is there, and says so if its package has to
// be fetched.
func (l *lab) install(ctx context.Context, name, debian string) error {
	if _, err := exec.LookPath(name); err == nil {
		return nil
	}
	l.say("%s is missing: installing %s with apt-get", name, debian)
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", debian}} {
		command := exec.CommandContext(ctx, "apt-get", args...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// metric gives the sum of a metric's series at a server.
func metric(ctx context.Context, s *program.Server, name string) (float64, error) {
	response, err := s.Get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if i := strings.IndexByte(series, '}'); i >= 0 {
			series, value, _ = strings.Cut(lines.Text(), "} ")
			series, _, _ = strings.Cut(series, "{")
		}
		if series == name {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0, err
			}
			sum, found = sum+v, true
		}
	}
	if !found {
		return 0, fmt.Errorf("/metrics has no %s", name)
	}
	return sum, nil
}

// drained waits until every click is in the reports.
func drained(ctx context.Context, s *program.Server) error {
	return await(ctx, s, pendingClicks, func(pending float64) bool { return pending == 0 })
}

// acquainted waits until the server has read all codes that there are, which it
// does in the background of its first seconds.
func acquainted(ctx context.Context, s *program.Server) error {
	return await(ctx, s, knownKeys, func(known float64) bool { return known > 0 })
}

// knownKeys is the metric of how many codes a server knows, 0 while it reads
// them.
const knownKeys = "kurz_known_keys"

// indexing is the metric of whether links are still being indexed.
const indexing = "kurz_search_indexing"

// await waits until a metric is as it should be.
func await(ctx context.Context, s *program.Server, name string, done func(value float64) bool) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		value, err := metric(ctx, s, name)
		if err != nil || done(value) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// holdClicks takes the right to write the clicks' file of a data folder from
// its server, as a process that writes it would, until free is called: the
// lock WAL_WRITE_LOCK of SQLite's file format, section 2.3.
func holdClicks(data string) (free func() error, err error) {
	f, err := os.OpenFile(filepath.Join(data, "clicks.db-shm"), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: 0, Start: 120, Len: 1}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLKW, &lock); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil // which gives the lock back
}

// pendingClicks is the gauge of clicks that are in the journal and not yet in
// the reports.
const pendingClicks = "kurz_clicks_pending"

// loadAverage tells how busy the machine is; numbers of a busy one are of
// little use.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// machine tells what was measured on; nothing that names it.
func machine(load string) [][2]string {
	model := "unknown"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return [][2]string{
		{"CPU", fmt.Sprintf("%s, %d cores", model, runtime.NumCPU())},
		{"system", fmt.Sprintf("%s %s, %s", runtime.GOOS, strings.TrimSpace(string(kernel)), runtime.GOARCH)},
		{"Go", runtime.Version()},
		{"load average before", load},
	}
}

func version() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output() //nolint:noctx // at once
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// tools tells the versions of the other programs, as far as they are there.
func (l *lab) tools() string {
	var known []string
	for _, tool := range []struct {
		name  string
		args  []string
		match string
	}{
		{"nginx", []string{"nginx", "-v"}, `nginx/(\S+)`},
		{"wrk", []string{"wrk", "-v"}, `wrk (?:debian/)?(\S+)`},
		{"SQLite's shell", []string{"sqlite3", "--version"}, `^(\S+)`},
		{"Node", []string{"node", "--version"}, `v(\S+)`},
		{"Express", []string{"cat", "bench/contestants/express/package.json"}, `"express": "(\S+)"`},
		{"fasthttp", []string{"cat", "bench/contestants/go.mod"}, `valyala/fasthttp v(\S+)`},
	} {
		out, _ := exec.Command(tool.args[0], tool.args[1:]...).CombinedOutput() //nolint:noctx // at once; wrk -v has a status of 1
		if m := regexp.MustCompile(tool.match).FindSubmatch(out); m != nil {
			known = append(known, fmt.Sprintf("%s %s", tool.name, m[1]))
		}
	}
	return strings.Join(known, ", ")
}
