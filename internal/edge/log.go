package edge

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"kurz/internal/fault"
)

// end answers a panic, and tells the log and the Observer of the request. It
// is deferred.
func (e *Edge) end(rec *record, r *http.Request, began time.Time) {
	v := recover()
	if v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a panic value, not wrapped
		v = e.panicked(rec, r, v)
	}
	status := rec.out.status
	if status == 0 && v == nil {
		status = http.StatusOK // net/http's own, for a handler that wrote nothing
	}
	e.told(rec, methodLabel(r.Method), status, e.s.Now().Sub(began))
	if v != nil {
		panic(v) //nolint:forbidigo // on its way to net/http, which ends the connection
	}
}

// panicked logs a handler's panic and answers it with 500, or gives
// http.ErrAbortHandler where another answer had begun.
func (e *Edge) panicked(rec *record, r *http.Request, v any) any {
	rec.code = fault.Internal
	e.s.Logger.Error("panic while answering a request",
		"request_id", rec.id, "panic", v, "stack", string(debug.Stack()))
	if rec.written() {
		return http.ErrAbortHandler
	}
	rec.out.Header().Set("Connection", "close")
	writeFault(rec.out, r, rec.id, fault.New(fault.Internal, "Internal error"), nil)
	return nil
}

// told writes the request's line in the log and tells the Observer.
func (e *Edge) told(rec *record, method string, status int, took time.Duration) {
	e.log(rec, method, status, took)
	if e.s.Observer != nil {
		e.s.Observer.Request(rec.route, method, status, took)
	}
}

// log writes the request's line, unless it is one of many for links.
func (e *Edge) log(rec *record, method string, status int, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case rec.route == RouteMalformed: // whatever the status, the client's doing
	case status >= 500 && status != http.StatusServiceUnavailable || status == 0:
		level = slog.LevelError
	case status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case status < 400 && rec.route == RouteOps:
		level = slog.LevelDebug // asked every few seconds
	case status < 500 && rec.route == RouteRedirect:
		if e.redirects.Add(1)%uint64(e.s.LogRedirects) != 0 {
			return
		}
	}
	if !e.s.Logger.Enabled(context.Background(), level) {
		return
	}
	attrs := [...]slog.Attr{
		slog.String("request_id", rec.id), slog.String("route", rec.route), slog.String("method", method),
		slog.Int("status", status), slog.Duration("took", took), slog.String("code", string(rec.code)),
	}
	n := len(attrs)
	if rec.code == "" {
		n--
	}
	// Where in the program that was is looked up by Logger.LogAttrs, and told
	// nobody.
	line := slog.NewRecord(time.Now(), level, "request", 0)
	line.AddAttrs(attrs[:n]...)
	_ = e.s.Logger.Handler().Handle(context.Background(), line) // a log that can't be written: as LogAttrs
}

// cause logs why a request failed, where the client isn't told. Addresses in
// the texts of network errors are left out.
func (e *Edge) cause(ctx context.Context, rec *record, f *fault.Error, err error) {
	if f.Code != fault.Internal && (f.Code != fault.Unavailable || f.Unwrap() == nil) {
		return
	}
	if ctx.Err() != nil {
		return // the client went away; that is no fault
	}
	level := slog.LevelError
	if f.Code == fault.Unavailable {
		level = slog.LevelWarn
	}
	e.s.Logger.Log(context.Background(), level, "request failed",
		"request_id", rec.id, "error", redact(err.Error()))
}

// methodLabel gives the method if it is a known one.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "OTHER"
}

// serverLog is where net/http writes what it can tell nobody else.
func serverLog(logger *slog.Logger) *log.Logger {
	return log.New(logWriter{logger}, "", 0)
}

type logWriter struct{ logger *slog.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	w.logger.Warn("http server", "message", redact(string(bytes.TrimSpace(line))))
	return len(line), nil
}

// redact replaces the network addresses in a text for the log.
func redact(s string) string {
	words := strings.Split(s, " ")
	changed := false
	for i, word := range words {
		for part := range strings.SplitSeq(word, "->") {
			if isAddress(strings.TrimRight(part, ":,;)")) {
				words[i], changed = "[address]", true
			}
		}
	}
	if !changed {
		return s
	}
	return strings.Join(words, " ")
}

func isAddress(s string) bool {
	if _, err := netip.ParseAddrPort(s); err == nil {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return err == nil
}
