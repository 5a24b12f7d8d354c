package edge

import (
	"net/http"
	"time"

	"kurz/internal/fault"
	"kurz/internal/redirect"
)

// redirect answers a request for a link.
func (e *Edge) redirect(x *exchange, r *http.Request, now time.Time) {
	err := refuse(r)
	if err == nil {
		err = onlyRead(r)
	}
	if err == nil {
		fill(&x.req, r, r.URL.Path[1:], x.rec.client, now)
		x.resp.RequestID = x.rec.id
		err = e.s.Redirect.Answer(r.Context(), &x.req, &x.resp)
		x.rate(x.out.Header())
	}
	if err != nil {
		WriteError(&x.out, r.WithContext(withRecord(r.Context(), &x.rec)), err)
		return
	}
	x.write()
}

// preview counts a request for a link's preview page as one for the link, and
// hands it to its room.
func (e *Edge) preview(rec *record, r *http.Request) {
	err := onlyRead(r)
	if err == nil && e.s.Preview == nil {
		err = fault.New(fault.URLNotFound, "There is no such link")
	}
	if err == nil {
		var x exchange
		fill(&x.req, r, "", rec.client, e.s.Now())
		err = e.s.Redirect.Count(r.Context(), &x.req, &x.resp)
		x.rate(rec.out.Header())
	}
	if err != nil {
		WriteError(rec.out, r, err)
		return
	}
	rec.out.Header().Set("X-Content-Type-Options", "nosniff")
	e.s.Preview.ServeHTTP(rec.out, r)
}

// onlyRead refuses methods that a link doesn't have.
func onlyRead(r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return MethodNotAllowed(http.MethodGet, http.MethodHead)
	}
	return nil
}

// write sends the redirect: what redirect.Response.AppendTo says, through
// net/http.
func (x *exchange) write() {
	h := x.out.Header()
	x.field(h, "Location", (*redirect.Response).AppendLocation)
	x.field(h, "Cache-Control", (*redirect.Response).AppendCacheControl)
	// Not "CDN-…": the canonical form, which both versions of HTTP accept.
	x.field(h, "Cdn-Cache-Control", (*redirect.Response).AppendCDNCacheControl)
	x.field(h, "Cache-Tag", (*redirect.Response).AppendCacheTag)
	h["Content-Length"] = []string{"0"}
	x.out.WriteHeader(x.resp.Status)
}

// rate adds the fields of a counted request.
func (x *exchange) rate(h http.Header) {
	x.field(h, "Ratelimit", (*redirect.Response).AppendRateLimit)
	x.field(h, "Ratelimit-Policy", (*redirect.Response).AppendRateLimitPolicy)
}

// field sets a header field unless there is nothing to say. The name is in its
// canonical form.
func (x *exchange) field(h http.Header, name string, appendTo func(*redirect.Response, []byte) []byte) {
	if x.buf = appendTo(&x.resp, x.buf[:0]); len(x.buf) > 0 {
		h[name] = []string{string(x.buf)}
	}
}
