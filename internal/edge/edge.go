// Package edge is the front door: listeners, TLS, the address a request came
// from, its id, the way to the room that answers it, and every error's answer.
//
// It guarantees that every answer, also one to bytes that are no HTTP request,
// carries an X-Request-Id, and every error the form of section 7 of the
// product contract; that no address, secret, query string or user agent gets
// into the log; that X-Forwarded-For is believed only from trusted proxies;
// and that no path is ever answered by a redirect but a link's. Start reading
// at Edge.ServeHTTP, then WriteError, Edge.Serve.
package edge

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kurz/internal/fault"
	"kurz/internal/redirect"
)

// Settings are the parts of an Edge. Rooms that are nil have no pages.
type Settings struct {
	Redirect *redirect.Handler
	Preview  http.Handler // /{code}+
	API      http.Handler // /api and below, /shorten
	Web      http.Handler // /, /setup, /assets/…, /robots.txt, /favicon.ico
	Ops      http.Handler // /health and below, /metrics

	// TrustedProxies are believed about whom they forward for.
	TrustedProxies []netip.Prefix
	// TrustUnixSocket believes whoever connects to a Unix socket.
	TrustUnixSocket bool

	TLS *TLS // nil: plain HTTP
	// NetHTTP has net/http answer everything, also what lanes could.
	NetHTTP bool

	Logger   *slog.Logger // nil: none
	Observer Observer     // nil: none
	// LogRedirects logs one in so many requests for links, refused ones too:
	// 100 if zero. Those that the server fails are all logged.
	LogRedirects int
	// MaxConns is how many connections may be open: as many as files, but for
	// some that are kept back, if zero. Where they are, the one that has waited
	// for a request longest makes room for the next.
	MaxConns int

	Now  func() time.Time // time.Now if nil
	Rand io.Reader        // for request ids, which need not be secret: a source of its own if nil

	Timeouts Timeouts
	// NotifySocket is where systemd is told of start and stop:
	// NOTIFY_SOCKET's value, "" for nobody.
	NotifySocket string
}

// Timeouts bound what a client may take. Those left zero have the given
// defaults. A room that streams may move Read and Write for its own request by
// http.ResponseController.
type Timeouts struct {
	Header time.Duration // a request's header, or a TLS handshake: 5 s
	Read   time.Duration // a whole request: 60 s
	Write  time.Duration // an answer, from the end of the request's header: 60 s
	Idle   time.Duration // between requests: 2 min
	Grace  time.Duration // what runs at a shutdown: 10 s
}

// Observer is told of every request. The route and the method are from closed
// sets, so that they can be a metric's labels.
type Observer interface {
	Request(route, method string, status int, took time.Duration)
}

// The routes an Observer is told of, besides those that rooms name by
// SetRoute.
const (
	RouteRedirect  = "redirect"
	RoutePreview   = "preview"
	RouteAPI       = "api"
	RouteWeb       = "web"
	RouteOps       = "ops"
	RouteNone      = "none"      // no such page
	RouteMalformed = "malformed" // no well-formed request
)

// Bounds of a request.
const (
	maxTarget = 8 << 10  // bytes of the request target
	maxHeader = 32 << 10 // bytes of all header fields
	// readLimit is what the server reads of a request's head, some more so
	// that the bounds above are what clients are told of.
	readLimit = maxTarget + maxHeader + 8<<10
)

// Edge is the front door. It is safe for concurrent use.
type Edge struct {
	s         Settings
	proxies   proxies
	redirects atomic.Uint64 // for sampling
	exchanges sync.Pool
	lanes     lanes
	handover  *handover
	server    *http.Server
	flow      flow
}

// New makes an Edge.
func New(s Settings) *Edge {
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Rand == nil {
		s.Rand = idSource{}
	}
	if s.LogRedirects <= 0 {
		s.LogRedirects = 100
	}
	s.Timeouts.fill()
	e := &Edge{s: s, proxies: proxies{nets: plainPrefixes(s.TrustedProxies), unix: s.TrustUnixSocket}}
	e.exchanges.New = func() any { return new(exchange) }
	e.lanes = lanes{ctx: context.Background(), max: s.MaxConns, all: map[*lane]struct{}{}}
	e.lanes.spaces.New = func() any { return new(workspace) }
	e.handover = newHandover()
	e.server = e.newServer()
	return e
}

// exchange is what a redirect by net/http needs, used again and again. Rooms
// never see it: their handlers may hold on to a request's context.
type exchange struct {
	rec  record
	out  writer
	req  redirect.Request
	resp redirect.Response
	buf  []byte
}

// ServeHTTP answers a request.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := e.s.Now()
	if c := connOf(r.Context()); c != nil {
		c.answering.Store(true)
	}
	path := r.URL.EscapedPath()
	route := routeOf(path, r.URL.Path)
	if route == RouteRedirect {
		x := e.exchanges.Get().(*exchange)
		x.out = writer{ResponseWriter: w}
		e.begin(&x.rec, &x.out, r, route)
		defer e.recycle(x)
		defer e.end(&x.rec, r, began)
		e.redirect(x, r, began)
		return
	}
	rec := new(record)
	e.begin(rec, &writer{ResponseWriter: w}, r, route)
	defer e.end(rec, r, began)
	r = r.WithContext(withRecord(r.Context(), rec))
	e.room(rec, r, path)
}

// recycle keeps an exchange for another request, without what strangers sent.
func (e *Edge) recycle(x *exchange) {
	x.out = writer{}
	x.rec.out, x.rec.id, x.rec.client = nil, "", netip.Addr{}
	x.req = redirect.Request{}
	x.resp.RequestID = ""
	e.exchanges.Put(x)
}

// begin fills the record of a request and heads its answer.
func (e *Edge) begin(rec *record, out *writer, r *http.Request, route string) {
	*rec = record{
		id: givenID(r.Header), client: e.proxies.client(r.RemoteAddr, r.Header["X-Forwarded-For"]),
		route: route, edge: e, out: out, buf: rec.buf,
	}
	if rec.id == "" {
		drawID(e.s.Rand, &rec.buf)
		rec.id = string(rec.buf[:])
	}
	h := out.Header()
	h["X-Request-Id"] = []string{rec.id}
	if r.TLS != nil {
		h["Strict-Transport-Security"] = []string{redirect.HSTS}
	}
	if r.TransferEncoding != nil || !r.ProtoAtLeast(1, 1) || e.lanes.closing.Load() {
		// RFC 9112, section 6.1, wants the connection closed after chunks with
		// a Content-Length, and after HTTP/1.0 with chunks. net/http hides both.
		// At the end every answer is the last.
		h["Connection"] = []string{"close"}
	}
}

// room hands a request that is no redirect to its room.
func (e *Edge) room(rec *record, r *http.Request, path string) {
	if err := refuse(r); err != nil {
		WriteError(rec.out, r, err)
		return
	}
	var room http.Handler
	switch rec.route {
	case RoutePreview:
		e.preview(rec, r)
		return
	case RouteAPI:
		room = e.s.API
	case RouteWeb:
		room = e.s.Web
	case RouteOps:
		room = e.s.Ops
	}
	switch {
	case r.Method == http.MethodOptions && path == "*":
		rec.out.Header().Set("Allow", "GET, HEAD, POST, PATCH, DELETE, OPTIONS")
		rec.out.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodConnect:
		WriteError(rec.out, r, MethodNotAllowed(http.MethodGet, http.MethodHead))
	case room == nil:
		WriteError(rec.out, r, fault.New(fault.NotFound, "There is nothing at this address"))
	default:
		rec.out.Header().Set("X-Content-Type-Options", "nosniff")
		room.ServeHTTP(rec.out, r)
	}
}

// refuse says what is wrong with a request whatever it is for.
func refuse(r *http.Request) error {
	if len(r.RequestURI) > maxTarget {
		return fault.New(fault.URITooLong, "The address may have at most %d bytes", maxTarget)
	}
	size := len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size > maxHeader {
		return fault.New(fault.HeaderTooLarge, "The header may have at most %d bytes", maxHeader)
	}
	return nil
}

// routeOf says which room a path belongs to. Escaped is the path as it was
// sent, decoded what it means. Paths that a mux would clean belong to none:
// only links redirect.
func routeOf(escaped, decoded string) string {
	if len(escaped) == 0 || escaped[0] != '/' || unclean(decoded) {
		return RouteNone
	}
	first, rest, more := strings.Cut(escaped[1:], "/")
	switch first {
	case "":
		if !more {
			return RouteWeb
		}
		return RouteNone
	case "api":
		return RouteAPI
	case "health":
		return RouteOps
	case "assets":
		if rest != "" {
			return RouteWeb
		}
	}
	switch {
	case more:
		return RouteNone
	case first == "shorten":
		return RouteAPI
	case first == "setup", first == "robots.txt", first == "favicon.ico":
		return RouteWeb
	case first == "metrics":
		return RouteOps
	case decoded[len(decoded)-1] == '+':
		return RoutePreview
	}
	return RouteRedirect
}

// unclean reports whether a path of more than one segment has an empty segment
// before its end, or one that is "." or "..".
func unclean(p string) bool {
	if !strings.Contains(p[1:], "/") {
		return false
	}
	if strings.Contains(p, "//") || strings.Contains(p, "/./") || strings.Contains(p, "/../") {
		return true
	}
	return strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")
}
