//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
	data   string   // the folder with all links, once they are made
	codes  []string // of the links
	server *program.Server
	// load and version are those of the beginning.
	load, version string
	values        map[string]string
	notes         []string
}

func newLab(ctx context.Context, o options) (*lab, error) {
	dir, err := os.MkdirTemp("", "kurz-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, dir: dir, load: loadAverage(), version: version(), values: map[string]string{}}
	l.data = filepath.Join(dir, "data")
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
	o := program.Options{Binary: l.binary, Data: data, Env: append(everythingOn(), env...), Patience: 2 * time.Minute}
	if pinned {
		o.Before = onCore(0)
	}
	s, err := program.Start(ctx, o)
	l.server = s
	return s, err
}

func (l *lab) stop() {
	if l.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := l.server.Stop(ctx); err != nil {
		l.say("stop: %v", err)
	}
	l.server = nil
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

// install makes sure that a program is there, and says so if it has to be
// fetched.
func (l *lab) install(ctx context.Context, name string) error {
	if _, err := exec.LookPath(name); err == nil {
		return nil
	}
	l.say("%s is missing: installing it with apt-get", name)
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", name}} {
		command := exec.CommandContext(ctx, "apt-get", args...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// cpu gives the CPU time that a process and its children have used, so far.
func cpu(pid int) (time.Duration, error) {
	total, err := ticks(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range children(pid) {
		t, err := ticks(child)
		if err != nil {
			return 0, err
		}
		total += t
	}
	return time.Duration(total) * (time.Second / 100), nil // USER_HZ is 100
}

func ticks(pid int) (int64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return user + system, err
}

// cpuTicks are the machine's CPU times, in ticks, since it started.
type cpuTicks struct{ all, stolen float64 }

// machineTicks reads the first line of /proc/stat; see proc_stat(5).
func machineTicks() (cpuTicks, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTicks{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return cpuTicks{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var t cpuTicks
	for i, field := range fields[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return cpuTicks{}, err
		}
		t.all += n
		if i == 7 {
			t.stolen = n
		}
	}
	return t, nil
}

func (t cpuTicks) since(then cpuTicks) cpuTicks {
	return cpuTicks{all: t.all - then.all, stolen: t.stolen - then.stolen}
}

// stolenShare is the part of the time in which a core had work and the host of
// this virtual machine ran somebody else.
func (t cpuTicks) stolenShare() float64 {
	if t.all == 0 {
		return 0
	}
	return t.stolen / t.all
}

// stat gives the fields of /proc/PID/stat from the third, the state, on.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The second field is a name in brackets and may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

func children(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields, err := stat(child); err == nil && fields[1] == strconv.Itoa(pid) {
			found = append(found, child)
		}
	}
	return found
}

// resident gives the memory of a process that is in RAM: all of it, and the
// part that is not backed by files.
func resident(pid int) (all, anonymous float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			all = kb * 1024 / 1e6
		case "RssAnon:":
			anonymous = kb * 1024 / 1e6
		}
	}
	return all, anonymous, nil
}

// metric gives the sum of a metric's series at a server.
func metric(ctx context.Context, s *program.Server, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
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
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		pending, err := metric(ctx, s, pendingClicks)
		if err != nil || pending == 0 {
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

func (l *lab) tools() string {
	var b strings.Builder
	for _, name := range []string{"nginx", "wrk"} {
		out, _ := exec.Command(name, "-v").CombinedOutput() //nolint:noctx // at once; wrk -v has a status of 1
		first, _, _ := strings.Cut(string(out), "\n")
		first = strings.TrimPrefix(first, "nginx version: ")
		first, _, _ = strings.Cut(first, " [")
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(first)
	}
	return b.String()
}
