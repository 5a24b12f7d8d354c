package app

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"kurz/internal/edge"
	"kurz/internal/fault"
)

// checkTime bounds a check of readiness.
const checkTime = 2 * time.Second

// ops is the room of those who run kurz: /health, /health/ready, /metrics.
type ops struct {
	checks  []Check
	metrics http.Handler
}

// handle answers in plain text: a line for each dependency.
func (o *ops) handle(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return edge.MethodNotAllowed(http.MethodGet, http.MethodHead)
	}
	w.Header().Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case "/health":
		return writeText(w, http.StatusOK, []byte("ok\n"))
	case "/health/ready":
		text, ready := o.ready(r.Context())
		if !ready {
			return writeText(w, http.StatusServiceUnavailable, text)
		}
		return writeText(w, http.StatusOK, text)
	case "/metrics":
		o.metrics.ServeHTTP(w, r)
		return nil
	}
	return fault.New(fault.NotFound, "There is nothing here: /health, /health/ready and /metrics are")
}

func writeText(w http.ResponseWriter, status int, text []byte) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	// A client that went away needs no answer.
	_, _ = w.Write(text)
	return nil
}

// ready runs all checks at once and gives a line for each.
func (o *ops) ready(ctx context.Context) (text []byte, ready bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	lines := make([]string, len(o.checks))
	failed := make([]bool, len(o.checks))
	var all sync.WaitGroup
	for i, c := range o.checks {
		all.Go(func() {
			detail, err := c.Run(ctx)
			switch {
			case err != nil:
				failed[i] = true
				lines[i] = c.Name + ": failed: " + reason(err)
			case detail != "":
				lines[i] = c.Name + ": ok, " + detail
			default:
				lines[i] = c.Name + ": ok"
			}
		})
	}
	all.Wait()
	ready = true
	var b bytes.Buffer
	for i, line := range lines {
		ready = ready && !failed[i]
		fmt.Fprintln(&b, strings.ReplaceAll(line, "\n", " "))
	}
	return b.Bytes(), ready
}

// reason is what strangers may read of why a dependency can't be used: the log
// has the rest.
func reason(err error) string {
	if f := fault.Of(err); f.Code != fault.Internal {
		return f.Message
	}
	return "internal error"
}
