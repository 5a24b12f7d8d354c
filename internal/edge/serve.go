package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
	welcome := e.welcome
	if e.s.TLS != nil {
		config, err := e.s.TLS.config(e.s.Now, e.s.Logger)
		if err != nil {
			return err
		}
		welcome = func(c net.Conn) (serve func()) { return e.secured(c, config) }
	}
	go e.server.Serve(e.handover) //nolint:errcheck // it ends with the handover
	if e.lanes.max == 0 {
		e.lanes.max = maxConns()
	}
	accepting, enough := context.WithCancel(context.WithoutCancel(ctx))
	defer enough()
	accepted := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { accepted <- e.accept(accepting, l, welcome) }()
	}
	e.notify("READY=1")
	var broken error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case err := <-accepted:
		broken, running = fmt.Errorf("serve: %w", err), running-1
	}
	e.notify("STOPPING=1")
	// From now on each answer says that it is its connection's last.
	e.lanes.closing.Store(true)
	e.lastCall(listeners)
	enough()
	for range running {
		<-accepted //nolint:errcheck // that it was closed
	}
	e.stop(context.WithoutCancel(ctx))
	return broken
}

// lastCallTime is for how long, at the end, what the system has taken for this
// program is still accepted and answered, on new connections and on idle ones.
const lastCallTime = 100 * time.Millisecond

// lastCall ends accepting: before all else, so that nobody comes who is not
// answered.
func (e *Edge) lastCall(listeners []net.Listener) {
	patient := false
	for _, l := range listeners {
		if d, ok := l.(interface{ SetDeadline(t time.Time) error }); ok {
			patient = d.SetDeadline(time.Now().Add(lastCallTime)) == nil || patient
		}
	}
	if patient {
		<-time.After(lastCallTime)
	}
	for _, l := range listeners {
		_ = l.Close()
	}
}

// stop ends with grace: what was accepted is answered, then the connections
// are closed.
func (e *Edge) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, e.s.Timeouts.Grace)
	defer cancel()
	// Idle connections are closed, the others after their next answer.
	e.lanes.closed.Store(true)
	e.lanes.close(laneIdle)
	e.server.SetKeepAlivesEnabled(false)
	e.settle(ctx)
	err := e.server.Shutdown(ctx)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		e.s.Logger.Warn("requests cut off at the end of the grace period", "error", redact(err.Error()))
		// What can't be closed is closed with the process.
		_ = e.server.Close()
	}
	e.lanes.close(laneFresh, laneBusy)
}

func (e *Edge) notify(state string) {
	if err := Notify(e.s.NotifySocket, state); err != nil {
		e.s.Logger.Warn("service manager not told", "state", state, "error", err)
	}
}
