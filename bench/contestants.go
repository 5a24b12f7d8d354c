//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kurz/test/program"
)

// contestant is a server that redirects links.
type contestant struct {
	name string
	url  string
	pid  int
	// links is how many it has.
	links int
	kurz  *program.Server // nil where it is another
	end   func()
}

// Names of contestants, as tables have them.
const (
	isNginx    = "nginx"
	isKurz     = "kurz"
	isStandard = "kurz through net/http only"
	isNetHTTP  = "net/http"
	isFastHTTP = "fasthttp"
	isExpress  = "Express"
)

// crowd are contestants that run at once, and give their names in the order in
// which tables have them.
type crowd []contestant

func (c crowd) end() {
	for _, one := range c {
		one.end()
	}
}

// pair is a certificate and its key; files as servers read them.
type pair struct{ cert, key string }

// entry is how a contestant is started for so many links; with TLS unless cert
// is nil.
type entry struct {
	name  string
	start func(ctx context.Context, l *lab, links int, cert *pair) (contestant, error)
}

// entries are the contestants besides the lab's own server.
var entries = []entry{
	{isNginx, startNginx},
	{isStandard, startStandard},
	{isNetHTTP, startGo("nethttp")},
	{isFastHTTP, startGo("fasthttp")},
	{isExpress, startExpress},
}

// errAbsent says that a contestant can't be had here, which is told and fails
// nothing.
var errAbsent = errors.New("not here")

// enter starts contestants by their names. What can't be had is left out, and
// its reason is in the report.
func (l *lab) enter(ctx context.Context, links int, cert *pair, names ...string) (crowd, error) {
	var c crowd
	for _, e := range entries {
		for _, name := range names {
			if e.name != name {
				continue
			}
			one, err := e.start(ctx, l, links, cert)
			if errors.Is(err, errAbsent) {
				l.say("   %s: %v", name, err)
				l.noteOnce(fmt.Sprintf("%s with %s links: %v.", name, thousands(float64(links)), err))
				continue
			}
			if err != nil {
				c.end()
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			one.name, one.links = name, links
			c = append(c, one)
		}
	}
	return c, nil
}

// kurzOn makes a server of kurz a contestant.
func kurzOn(s *program.Server, links int, end func()) contestant {
	return contestant{name: isKurz, url: s.URL, pid: s.Pid(), links: links, kurz: s, end: end}
}

// startKurz starts a server of its own, with the first hot of its links in
// memory.
func (l *lab) startKurz(ctx context.Context, folder string, links, hot int, cert *pair, env ...string) (contestant, error) {
	data, err := l.folder(ctx, folder, links)
	if err != nil {
		return contestant{}, err
	}
	o := program.Options{Data: data, Env: append(env, cacheFor(hot))}
	if cert != nil {
		o.TLS = &tls.Config{InsecureSkipVerify: true} // its certificate is made for this run
		o.Env = append(o.Env, "KURZ_TLS_CERT="+cert.cert, "KURZ_TLS_KEY="+cert.key)
	}
	s, err := l.launch(ctx, o, true)
	if err != nil {
		return contestant{}, err
	}
	c := kurzOn(s, links, func() { stopServer(l, s) })
	if cert != nil {
		return c, nil // few links, which wrk follows soon enough
	}
	if err := l.heat(ctx, s, allOf(hot)); err != nil {
		c.end()
		return contestant{}, err
	}
	return c, nil
}

// startStandard starts kurz without its fast path, where it has one.
func startStandard(ctx context.Context, l *lab, links int, cert *pair) (contestant, error) {
	help, err := exec.CommandContext(ctx, l.binary, "serve", "--help").CombinedOutput()
	if err != nil {
		return contestant{}, err
	}
	if !strings.Contains(string(help), "--fast-path") {
		return contestant{}, fmt.Errorf("%w: kurz has no KURZ_FAST_PATH yet, so it is kurz itself", errAbsent)
	}
	return l.startKurz(ctx, fmt.Sprint("standard-", links), links, links, cert, "KURZ_FAST_PATH=false")
}

// startGo starts one of the Go programs in contestants.
func startGo(name string) func(context.Context, *lab, int, *pair) (contestant, error) {
	return func(ctx context.Context, l *lab, links int, cert *pair) (contestant, error) {
		binary := filepath.Join(l.dir, "contestants")
		if _, err := os.Stat(binary); err != nil {
			build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, ".")
			build.Dir = filepath.Join("bench", "contestants")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				return contestant{}, fmt.Errorf("%w: it can't be built: %s", errAbsent, lastLine(out))
			}
		}
		addr, file, err := l.place(links)
		if err != nil {
			return contestant{}, err
		}
		args := []string{binary, name, "-addr", addr, "-links", file, "-log", filepath.Join(l.dir, name+".log")}
		if cert != nil {
			args = append(args, "-cert", cert.cert, "-key", cert.key)
		}
		return l.run(ctx, addr, cert, args...)
	}
}

// startExpress installs Express into the user's cache, once, and starts it.
func startExpress(ctx context.Context, l *lab, links int, cert *pair) (contestant, error) {
	if cert != nil {
		return contestant{}, fmt.Errorf("%w: it is not measured with TLS", errAbsent)
	}
	dir, err := installExpress(ctx, l)
	if err != nil {
		return contestant{}, fmt.Errorf("%w: %w", errAbsent, err)
	}
	addr, file, err := l.place(links)
	if err != nil {
		return contestant{}, err
	}
	return l.run(ctx, addr, nil, "env", "NODE_ENV=production", "node", filepath.Join(dir, "server.js"), addr, file, filepath.Join(l.dir, "express.log"))
}

func installExpress(ctx context.Context, l *lab) (dir string, err error) {
	for _, tool := range [][2]string{{"node", "nodejs"}, {"npm", "npm"}} {
		if err := l.install(ctx, tool[0], tool[1]); err != nil {
			return "", err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "kurz-bench", "express")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	same := true
	for _, name := range []string{".npmrc", "package.json", "package-lock.json", "server.js"} {
		text, err := os.ReadFile(filepath.Join("bench", "contestants", "express", name))
		if err != nil {
			return "", err
		}
		old, _ := os.ReadFile(filepath.Join(dir, name))
		same = same && (name == "server.js" || string(old) == string(text))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "express")); err == nil && same {
		return dir, nil
	}
	l.say("   installing Express with npm")
	install := exec.CommandContext(ctx, "npm", "ci", "--silent", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, lastLine(out))
	}
	return dir, nil
}

// lastLine is what a program said at the end.
func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// place gives an address, and the file of links that peers read.
func (l *lab) place(links int) (addr, file string, err error) {
	if addr, err = program.FreeAddr(); err != nil {
		return "", "", err
	}
	file = filepath.Join(l.dir, fmt.Sprint("links-", links))
	if _, err := os.Stat(file); err == nil {
		return addr, file, nil
	}
	return addr, file, writeLinks(file, links, "%s %s\n")
}

// writeLinks writes code and destination of each link by a format.
func writeLinks(name string, links int, format string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range links {
		fmt.Fprintf(w, format, codeOf(i), destinationOf(i))
	}
	return errors.Join(w.Flush(), f.Close())
}

// startPatience bounds how long a contestant may read its links. nginx compares
// each of a map with a ten-thousandth of the others, so ten million take it too
// long.
const startPatience = 90 * time.Second

// run starts a process on the core for servers and waits until it listens.
func (l *lab) run(ctx context.Context, addr string, cert *pair, args ...string) (contestant, error) {
	args = append(onCore(0), args...)
	command := exec.Command(args[0], args[1:]...) //nolint:noctx // ended by end
	said, err := os.CreateTemp(l.dir, "contestant-*.log")
	if err != nil {
		return contestant{}, err
	}
	defer said.Close()
	command.Stderr = said
	if err := command.Start(); err != nil {
		return contestant{}, err
	}
	ended := make(chan struct{})
	var how error
	go func() {
		how = command.Wait()
		close(ended)
	}()
	c := contestant{url: "http://" + addr, pid: command.Process.Pid, end: func() {
		command.Process.Signal(os.Interrupt) //nolint:errcheck // it may have ended
		<-ended
	}}
	if cert != nil {
		c.url = "https://" + addr
	}
	until := time.Now().Add(startPatience)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr); err == nil {
			return c, conn.Close()
		}
		select {
		case <-ctx.Done():
			c.end()
			return contestant{}, ctx.Err()
		case <-ended:
			text, _ := os.ReadFile(said.Name())
			return contestant{}, fmt.Errorf("it ended: %w: %s", how, lastLine(text))
		case <-ticker.C:
		}
		if time.Now().After(until) {
			c.end()
			return contestant{}, fmt.Errorf("%w: it did not listen within %v", errAbsent, startPatience)
		}
	}
}
