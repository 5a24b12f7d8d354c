//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"kurz/test/program"
)

// nginx is the yardstick: one worker, one map of all links, one return.
type nginx struct {
	addr    string
	command *exec.Cmd
}

const nginxConfig = `daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
  access_log %[1]s/access.log combined buffer=64k flush=1s;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  keepalive_requests 1000000000;
  map_hash_max_size 8388608;
  map_hash_bucket_size 128;
  map $uri $to {
    include %[1]s/links.map;
  }
  server {
    listen %[2]s;
    location / {
      if ($to = "") { return 404; }
      return 302 $to;
    }
  }
}
`

func startNginx(ctx context.Context, l *lab) (*nginx, error) {
	dir := filepath.Join(l.dir, "nginx")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	addr, err := program.FreeAddr()
	if err != nil {
		return nil, err
	}
	if err := writeMap(filepath.Join(dir, "links.map"), l.codes); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, addr), 0o644); err != nil {
		return nil, err
	}
	args := append(onCore(0), "nginx", "-c", config, "-e", filepath.Join(dir, "error.log"))
	n := &nginx{addr: addr, command: exec.Command(args[0], args[1:]...)} //nolint:noctx // ended by stop
	n.command.Stderr = os.Stderr
	if err := n.command.Start(); err != nil {
		return nil, err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for range 1200 { // a map of a million links takes a while
		if conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr); err == nil {
			return n, conn.Close()
		}
		select {
		case <-ctx.Done():
			n.stop()
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
	n.stop()
	return nil, fmt.Errorf("nginx does not listen on %s", addr)
}

// writeMap writes the links for nginx, whose map takes keys that differ only in
// case for one: of such links it knows the first.
func writeMap(name string, codes []string) error {
	known := make(map[string]bool, len(codes))
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for i, code := range codes {
		folded := strings.ToLower(code)
		if known[folded] {
			continue
		}
		known[folded] = true
		fmt.Fprintf(w, "/%s https://example.com/articles/2026/%d/a-title-of-ordinary-length?utm_source=news;\n", code, i)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func (n *nginx) pid() int { return n.command.Process.Pid }

func (n *nginx) stop() {
	n.command.Process.Signal(os.Interrupt) //nolint:errcheck // it may have ended
	n.command.Wait()                       //nolint:errcheck // how does not matter
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in ([0-9.]+)(m?s|m)`)
	wrkErrors   = regexp.MustCompile(`(?m)^\s*(Non-2xx or 3xx responses|Socket errors).*$`)
)

// wrk runs wrk for a round, on the core for clients where pinned, and says how
// many requests were answered in what time. An answer of status 400 or more, or
// a broken connection, is an error.
func (l *lab) wrk(ctx context.Context, addr, script string, pinned bool) (requests float64, took time.Duration, err error) {
	var args []string
	if pinned {
		args = onCore(1)
	}
	args = append(args, "wrk", "-t1", "-c"+strconv.Itoa(clients), "-d"+strconv.Itoa(int(l.length.Seconds()))+"s", "-s", script, "http://"+addr+"/")
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if bad := wrkErrors.Find(out); bad != nil {
		return 0, 0, fmt.Errorf("wrk: %s", bad)
	}
	m := wrkRequests.FindSubmatch(out)
	if m == nil {
		return 0, 0, fmt.Errorf("wrk printed %q", out)
	}
	if requests, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
		return 0, 0, err
	}
	took, err = time.ParseDuration(string(m[2]) + string(m[3]))
	return requests, took, err
}
