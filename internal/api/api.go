// Package api is the REST room of kurz: what programs ask for under /api and
// at /shorten, described by the OpenAPI document beside it.
//
// It guarantees that the document and the routes say the same (a test compares
// them both ways), that every answer carries CORS headers without credentials,
// that nothing unknown in a body or a query is silently dropped, and that a
// POST with an Idempotency-Key is done once. Rules about links are not here
// but in link.Registry; statuses of errors are not here but in edge: handlers
// return faults. Start reading at routes, then API.Handle, then links.go.
package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/edge"
	"kurz/internal/fault"
	"kurz/internal/idempotency"
	"kurz/internal/job"
	"kurz/internal/link"
	"kurz/internal/qr"
	"kurz/internal/ratelimit"
)

// Rates bound creates, by who makes them, rows of bulk uploads, and what is
// asked for a link without a key, QR codes, together with its redirects. A zero
// Limit is off.
type Rates struct {
	Anonymous, Free, Premium ratelimit.Limit
	BulkFree, BulkPremium    ratelimit.Limit
	Redirect                 ratelimit.Limit
}

// Settings are the parts that the room is made of. All but Logo and Warn are
// needed; Limits may be nil if every rate is off.
type Settings struct {
	Registry  *link.Registry
	Directory *account.Directory
	Reports   click.Reports
	Once      *idempotency.Once
	Bulk      *job.Bulk
	Domains   *link.Domains
	Limits    ratelimit.Source
	Rates     Rates
	// Logo is what QR codes may have in the middle; nil is kurz's own.
	Logo *qr.Logo
	// Live shows clicks as they are counted, on as many Streams.
	Live    *click.Live
	Streams Streams
	// VisitorPeriod is within what unique visitors are exact: day, week, month
	// or ever. Reports say it.
	VisitorPeriod string
	Now           func() time.Time
	// Warn is told of what an answer hides: a limit that could not be asked,
	// click counts that could not be read.
	Warn func(ctx context.Context, msg string, err error)
}

// API answers the requests of its room. It is safe for concurrent use.
type API struct {
	Settings
	routes   []route
	segments [][]string // of their paths
	docs     func() (page, error)
	streams  streams
	uploads  uploads
	recalled recalled
}

// New joins the room from its parts.
func New(s Settings) *API {
	if s.Warn == nil {
		s.Warn = func(context.Context, string, error) {}
	}
	if s.VisitorPeriod == "" {
		s.VisitorPeriod = "day"
	}
	for _, r := range []struct {
		limit *ratelimit.Limit
		name  string
	}{
		{&s.Rates.Anonymous, "anonymous"},
		{&s.Rates.Free, "free"},
		{&s.Rates.Premium, "premium"},
		{&s.Rates.BulkFree, "bulk-free"},
		{&s.Rates.BulkPremium, "bulk-premium"},
		{&s.Rates.Redirect, "redirect"},
	} {
		if r.limit.Name == "" {
			r.limit.Name = r.name
		}
	}
	s.Streams.fill()
	a := &API{Settings: s, routes: routes(), docs: sync.OnceValues(renderDocs)}
	for _, r := range a.routes {
		a.segments = append(a.segments, strings.Split(r.path, "/"))
	}
	a.streams = streams{limits: &a.Streams, users: map[account.ID]int{}}
	a.uploads.users = map[account.ID][]string{}
	a.recalled.users = map[account.ID]bool{}
	return a
}

// call is one request on its way through a route.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	actor   account.Actor
	secret  string // the key that the actor showed; "" for none
	segment string // what {code} or {id} stood for
	query   query
}

func (c *call) ctx() context.Context { return c.r.Context() }

// Handle answers one request, or returns the fault to answer it with. Headers
// that belong to errors too are set before it returns.
func (a *API) Handle(w http.ResponseWriter, r *http.Request) error {
	allowOrigin(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	found, segment, allowed := a.match(r)
	switch {
	case len(allowed) == 0:
		return fault.New(fault.NotFound, "There is nothing at this path; /api/docs lists what there is")
	case r.Method == http.MethodOptions:
		preflight(w, allowed)
		return nil
	case found == nil:
		return edge.MethodNotAllowed(methods(allowed)...)
	}
	edge.SetRoute(r.Context(), found.path)
	return a.serve(found, &call{w: w, r: r, segment: segment})
}

// serve does what every route has in common: who asks, and with what query.
func (a *API) serve(rt *route, c *call) error {
	if rt.auth != public {
		if err := a.authenticate(c); err != nil {
			return err
		}
		if rt.auth == required && c.actor.Anonymous() {
			return c.actor.MayManage(0)
		}
		var err error
		if c.query, err = parseQuery(c.r.URL.RawQuery, rt.query); err != nil {
			return err
		}
	}
	return rt.do(a, c)
}

var _ edge.HandlerFunc = (*API)(nil).Handle
