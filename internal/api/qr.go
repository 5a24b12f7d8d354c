package api

import (
	"net/url"

	"kurz/internal/link"
	"kurz/internal/qr"
	"kurz/internal/ratelimit"
)

// linkQR draws the QR code of a link that leads somewhere. There is none of a
// code that does not: a printed one could not be mended. Whoever may manage a
// link gets it before its time, to have it printed.
func (a *API) linkQR(c *call) error {
	look, lookErr := qr.ParseLook(url.Values(c.query))
	key, keyErr := a.key(c)
	if err := a.countQR(c, look); err != nil {
		return err
	}
	if err := gather(lookErr, keyErr); err != nil {
		return err
	}
	l, err := a.Registry.Reach(c.ctx(), c.actor, key)
	if err != nil {
		return err
	}
	b, err := qr.Draw(a.Domains.ScanURL(key), look, a.Logo)
	if err != nil {
		return err
	}
	p := newPage(look.Format.Type(), qrPolicy, b)
	// Not for ever: a link can be taken down, and its code with it.
	p.cache = "public, max-age=300"
	if l.Status(a.Now()) == link.Scheduled {
		p.cache = "private, no-store"
	}
	h := c.w.Header()
	h.Set("Content-Disposition", `inline; filename="`+string(key.Code)+"."+string(look.Format)+`"`)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Robots-Tag", "noindex")
	return c.serve(p)
}

// qrPolicy lets an SVG that is opened by itself do nothing but show its logo.
const qrPolicy = "default-src 'none'; img-src data:; sandbox"

// megapixel is what is drawn for one request of the client's limit.
const megapixel = 1 << 20

// countQR counts a picture against the client's limit for redirects, as a
// preview is: one, and for a large PNG as many as it takes the work of.
func (a *API) countQR(c *call, look qr.Look) error {
	limit := a.Rates.Redirect
	if limit.Off() {
		return nil
	}
	cost := 1
	if look.Format == qr.PNG {
		cost = max(min(cost+look.Size*look.Size/megapixel, limit.Quota), 1)
	}
	result, err := a.Limits.Take(c.ctx(), ratelimit.ByAddress(ratelimit.Redirects, c.client()), limit, a.Now(), cost)
	if err != nil {
		a.Warn(c.ctx(), "QR codes are not limited: the source can't be asked", err)
		return nil
	}
	c.w.Header().Set("RateLimit", result.Header())
	c.w.Header().Set("RateLimit-Policy", limit.PolicyHeader())
	return result.Err()
}
