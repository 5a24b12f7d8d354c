//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"kurz/test/program"
)

// nginxConfig makes nginx the yardstick: one worker, one map of all links, one
// return, and a buffered access log.
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

// nginxTLS is what stands behind the address of listen with TLS.
const nginxTLS = ` ssl;
    ssl_certificate %s;
    ssl_certificate_key %s;
    ssl_protocols TLSv1.3`

func startNginx(ctx context.Context, l *lab, links int, cert *pair) (contestant, error) {
	if err := l.install(ctx, "nginx", "nginx"); err != nil {
		return contestant{}, err
	}
	dir := filepath.Join(l.dir, fmt.Sprint("nginx-", links))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return contestant{}, err
	}
	addr, err := program.FreeAddr()
	if err != nil {
		return contestant{}, err
	}
	if err := writeLinks(filepath.Join(dir, "links.map"), links, "/%s %s;\n"); err != nil {
		return contestant{}, err
	}
	listen := addr
	if cert != nil {
		listen += fmt.Sprintf(nginxTLS, cert.cert, cert.key)
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, listen), 0o644); err != nil {
		return contestant{}, err
	}
	return l.run(ctx, addr, cert, "nginx", "-c", config, "-e", filepath.Join(dir, "error.log"))
}
