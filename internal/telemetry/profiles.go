package telemetry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// ListenProfiles listens for those who profile the running program. An address
// without a host, such as :6060, is one of this machine alone.
func ListenProfiles(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen for profiles: %w", err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listen for profiles on %s: %w", addr, err)
	}
	return l, nil
}

// ServeProfiles answers go tool pprof on a listener, which it closes, until ctx
// ends. A profile that is being taken then ends with it.
func ServeProfiles(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           profiles(),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	err := server.Serve(l)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end, not a failure
	}
	return fmt.Errorf("profiles: %w", err)
}

// profiles is what the standard library offers under http.DefaultServeMux,
// which nothing here serves.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
