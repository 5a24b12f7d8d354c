package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

func (t *Timeouts) fill() {
	for _, d := range []struct {
		p     *time.Duration
		value time.Duration
	}{
		{&t.Header, 5 * time.Second},
		{&t.Read, time.Minute},
		{&t.Write, time.Minute},
		{&t.Idle, 2 * time.Minute},
		{&t.Grace, 10 * time.Second},
	} {
		if *d.p == 0 {
			*d.p = d.value
		}
	}
}

func (e *Edge) newServer() *http.Server {
	return &http.Server{
		Handler:           e,
		ReadHeaderTimeout: e.s.Timeouts.Header,
		ReadTimeout:       e.s.Timeouts.Read,
		WriteTimeout:      e.s.Timeouts.Write,
		IdleTimeout:       e.s.Timeouts.Idle,
		MaxHeaderBytes:    readLimit,
		ErrorLog:          serverLog(e.s.Logger),
		ConnContext:       connContext,
		ConnState:         e.connState,
		// "OPTIONS *" gets a request id like everything else.
		DisableGeneralOptionsHandler: true,
	}
}

// Serve answers on the listeners until ctx ends, then stops accepting and
// gives what runs Timeouts.Grace to finish. It closes the listeners. It
// returns nil after such an end, also if something had to be cut off, and an
// error if it could not begin or a listener broke. An Edge serves once.
func (e *Edge) Serve(ctx context.Context, listeners ...net.Listener) error {
	if len(listeners) == 0 {
		return errors.New("no listener to serve on")
	}
	wrap := e.plain
	if e.s.TLS != nil {
		config, err := e.s.TLS.config(e.s.Now, e.s.Logger)
		if err != nil {
			return err
		}
		wrap = func(l net.Listener) net.Listener { return e.secure(l, config) }
	}
	served := make(chan error, len(listeners))
	wrapped := make([]net.Listener, 0, len(listeners))
	for _, l := range listeners {
		l = wrap(l)
		wrapped = append(wrapped, l)
		go func() { served <- e.server.Serve(l) }()
	}
	e.notify("READY=1")
	var broken error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case err := <-served:
		broken, running = fmt.Errorf("serve: %w", err), running-1
	}
	e.notify("STOPPING=1")
	// Accepting ends before Shutdown begins, which answers no request that it
	// has not read yet.
	for _, l := range wrapped {
		_ = l.Close()
	}
	for range running {
		<-served //nolint:errcheck // that it was closed
	}
	e.stop(context.WithoutCancel(ctx))
	return broken
}

// stop ends the server with grace: what was accepted is answered, then the
// connections are closed.
func (e *Edge) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.s.Timeouts.Grace)
	defer cancel()
	// Idle connections are closed, the others after their next answer.
	e.server.SetKeepAlivesEnabled(false)
	e.flow.wait(ctx)
	if err := e.server.Shutdown(ctx); err != nil {
		e.s.Logger.Warn("requests cut off at the end of the grace period", "error", redact(err.Error()))
		// What can't be closed is closed with the process.
		_ = e.server.Close()
	}
}

// silence is for how long a connection without a byte of a request is waited
// for at the end: its request may be on the way.
const silence = time.Second

// flow counts the connections that wait for an answer, which net/http's own
// Shutdown would drop where it has not yet read the request.
type flow struct{ fresh, busy atomic.Int64 }

// move is told of a connection's states.
func (f *flow) move(from, to http.ConnState) {
	for _, m := range [...]struct {
		state http.ConnState
		by    int64
	}{{from, -1}, {to, 1}} {
		switch m.state {
		case http.StateNew:
			f.fresh.Add(m.by)
		case http.StateActive:
			f.busy.Add(m.by)
		}
	}
}

// wait waits until nothing waits for an answer, or ctx ends.
func (f *flow) wait(ctx context.Context) {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	patient := true
	for f.busy.Load() > 0 || patient && f.fresh.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			patient = false
		case <-tick.C:
		}
	}
}

func (e *Edge) notify(state string) {
	if err := Notify(e.s.NotifySocket, state); err != nil {
		e.s.Logger.Warn("service manager not told", "state", state, "error", err)
	}
}
