// Package redirect is the hot path: from the code in a request to the
// destination in an answer.
//
// It knows no HTTP library: Answer reads a Request and fills a Response, both
// of which a server keeps and uses again, and for a link in memory nothing is
// allocated. It guarantees that the click is recorded before Answer returns,
// so before a byte of the redirect leaves; that a link that can't be looked up
// is never taken for one that is not there; and what Resolver promises about
// changes. Start reading at Handler.Answer, then Resolver.
package redirect

import (
	"context"
	"net/http"
	"time"

	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/ratelimit"
)

// Recorder notes a visit; see click.Recorder. An error means that the click
// is lost, which the Recorder counts; the redirect goes on.
type Recorder interface {
	Record(v *click.Visit) error
}

// Settings are the parts of a Handler.
type Settings struct {
	Resolver  *Resolver
	Recorder  Recorder
	Domains   *link.Domains
	Blocklist *link.Blocklist  // nil blocks nothing
	Limits    ratelimit.Source // nil: no limit
	Limit     ratelimit.Limit  // of each client
	// HonourDNT keeps nothing but the count of visitors who ask not to be
	// tracked.
	HonourDNT bool
}

// Handler answers requests for short links. It is safe for concurrent use.
type Handler struct{ s Settings }

// New makes a Handler.
func New(s Settings) *Handler {
	if s.Limit.Name == "" {
		s.Limit.Name = "redirect"
	}
	return &Handler{s}
}

// maxAge is for how long a permanent redirect may be kept.
const maxAge = 24 * time.Hour

// Answer fills the response with the redirect that the request gets. A click
// is recorded when it returns nil.
//
// An error is what the visitor is told instead: fault.URLNotFound also for
// what no code can be and for a link whose time has not come, URLExpired,
// URLRevoked, URLBlocked, RateLimitExceeded, Unavailable. The response's
// RateLimit fields hold then too.
func (h *Handler) Answer(ctx context.Context, q *Request, p *Response) error {
	if err := h.Count(ctx, q, p); err != nil {
		return err
	}
	code, err := link.ParseCode(q.Path)
	if err != nil {
		return err
	}
	key := link.Key{Domain: h.s.Domains.OfHost(q.Host), Code: code}
	route, err := h.s.Resolver.resolve(ctx, key, q.Now)
	if err != nil {
		return err
	}
	verdict, target := route.Decide(q.Now)
	switch verdict {
	case link.Redirect, link.RedirectExpired:
	case link.Gone:
		return fault.New(fault.URLExpired, "Short code '%s' has expired", code)
	case link.TakenDown:
		return fault.New(fault.URLRevoked, "Short code '%s' was taken down", code)
	default:
		return fault.New(fault.URLNotFound, "Short code '%s' not found", code)
	}
	if h.s.Blocklist != nil && h.s.Blocklist.Blocks(target.Host()) {
		return fault.New(fault.URLBlocked, "The destination of short code '%s' is blocked", code)
	}
	p.Status, p.code, p.href = http.StatusFound, code, target
	if verdict == link.Redirect {
		p.follow(&route, q)
	}
	h.record(&route, target, q, p)
	return nil
}

// Count begins a response and counts the request against the client's limit;
// Answer does so itself. It is for requests about a link that are no redirect.
func (h *Handler) Count(ctx context.Context, q *Request, p *Response) error {
	p.reset(q.Now)
	if h.s.Limits == nil || h.s.Limit.Off() {
		return nil
	}
	result, err := h.s.Limits.Take(ctx, ratelimit.ByAddress(ratelimit.Redirects, q.Client), h.s.Limit, q.Now, 1)
	if err != nil {
		// A limit protects; one that can't be asked must not shut the door.
		return nil
	}
	p.rated, p.rate = true, result
	return result.Err()
}

// follow adds what an active link has of its own.
func (p *Response) follow(route *link.Route, q *Request) {
	if route.ForwardQuery && q.Query != "" {
		p.location = route.Destination.AppendQuery(p.location[:0], q.Query)
	}
	left := lifeLeft(route, q.Now)
	switch route.Status {
	case http.StatusMovedPermanently, http.StatusPermanentRedirect:
		p.Status, p.maxAge = route.Status, int64(min(maxAge, left)/time.Second)
	case http.StatusTemporaryRedirect:
		p.Status = route.Status
	}
	p.edgeAge = int64(min(route.EdgeTTL, left) / time.Second)
}

// lifeLeft is for how long an active link is certain to stay active, unless
// someone changes it.
func lifeLeft(route *link.Route, now time.Time) time.Duration {
	const long = 1<<63 - 1
	left := time.Duration(long)
	if !route.ExpiresAt.IsZero() {
		left = route.ExpiresAt.Sub(now)
	}
	if !route.RevokedAt.IsZero() {
		left = min(left, route.RevokedAt.Sub(now))
	}
	return max(left, 0)
}

// record notes the click.
func (h *Handler) record(route *link.Route, target link.Href, q *Request, p *Response) {
	p.visit = click.Visit{
		Time: q.Now, Link: route.ID, Owner: route.Owner, Head: q.Head,
		Client: q.Client, Known: q.Known, UserAgent: q.UserAgent, Referer: q.Referer,
		AcceptLanguage: q.AcceptLanguage, Purpose: q.Purpose,
		Query: q.Query, TargetQuery: target.Query(),
		Untracked: h.s.HonourDNT && q.NoTrack,
	}
	// A lost click is counted where it is lost.
	_ = h.s.Recorder.Record(&p.visit)
	// Nothing of a visitor outlives the answer.
	p.visit = click.Visit{}
}
