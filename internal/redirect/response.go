package redirect

import (
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"kurz/internal/click"
	"kurz/internal/link"
	"kurz/internal/ratelimit"
)

// Request is what a redirect needs of a request. Its strings may lie in a
// buffer that is used again: they are not kept beyond Answer.
type Request struct {
	Head           bool   // HEAD rather than GET
	Host           string // the Host field, with a port if it has one
	Path           string // behind the first '/', percent-decoded
	Query          string // behind the first '?'
	UserAgent      string
	Referer        string
	AcceptLanguage string
	Purpose        string // Sec-Purpose, Purpose or X-Moz
	NoTrack        bool   // DNT: 1 or Sec-GPC: 1
	Client         netip.Addr
	Known          *click.Known // of the connection; see click.Visit
	Now            time.Time
}

// HSTS is the Strict-Transport-Security field of answers over TLS.
const HSTS = "max-age=31536000"

// Response is a redirect ready to be written. It is to be used again and
// again: its buffers grow once. RequestID, Secure and Close are the caller's;
// Answer sets all else.
type Response struct {
	RequestID string
	Secure    bool // came over TLS: adds HSTS
	Close     bool // the connection ends after this answer

	// Status is 301, 302, 307 or 308.
	Status int

	now      time.Time
	code     link.Code
	href     link.Href // where to, unless location holds it
	location []byte    // href with the request's query
	maxAge   int64     // seconds anyone may keep it; negative: nobody may
	edgeAge  int64     // seconds a CDN may keep it; 0: as everybody
	rated    bool
	rate     ratelimit.Result

	visit click.Visit // scratch: here so that it needs no allocation
	date  [len(http.TimeFormat)]byte
	dated int64 // the second that date is for
}

func (p *Response) reset(now time.Time) {
	p.Status, p.now, p.code, p.href, p.location = 0, now, "", "", p.location[:0]
	p.maxAge, p.edgeAge, p.rated = -1, 0, false
}

// AppendTo appends the answer as HTTP/1.1, whole: a redirect has no body.
func (p *Response) AppendTo(b []byte) []byte {
	switch p.Status {
	case http.StatusMovedPermanently:
		b = append(b, "HTTP/1.1 301 Moved Permanently\r\nDate: "...)
	case http.StatusTemporaryRedirect:
		b = append(b, "HTTP/1.1 307 Temporary Redirect\r\nDate: "...)
	case http.StatusPermanentRedirect:
		b = append(b, "HTTP/1.1 308 Permanent Redirect\r\nDate: "...)
	default:
		b = append(b, "HTTP/1.1 302 Found\r\nDate: "...)
	}
	b = p.appendDate(b)
	b = append(b, "\r\nContent-Length: 0\r\nLocation: "...)
	b = p.AppendLocation(b)
	b = append(b, "\r\nCache-Control: "...)
	b = p.AppendCacheControl(b)
	if p.edgeAge > 0 {
		b = append(b, "\r\nCDN-Cache-Control: "...)
		b = p.AppendCDNCacheControl(b)
		b = append(b, "\r\nCache-Tag: "...)
		b = p.AppendCacheTag(b)
	}
	if p.rated {
		b = append(b, "\r\nRateLimit: "...)
		b = p.AppendRateLimit(b)
		b = append(b, "\r\nRateLimit-Policy: "...)
		b = p.AppendRateLimitPolicy(b)
	}
	b = append(b, "\r\nX-Request-Id: "...)
	b = append(b, p.RequestID...)
	if p.Secure {
		b = append(b, "\r\nStrict-Transport-Security: "+HSTS...)
	}
	if p.Close {
		b = append(b, "\r\nConnection: close"...)
	}
	return append(b, "\r\n\r\n"...)
}

// appendDate renders a second once.
func (p *Response) appendDate(b []byte) []byte {
	if second := p.now.Unix(); second != p.dated || p.date[0] == 0 {
		p.dated = second
		p.now.UTC().AppendFormat(p.date[:0], http.TimeFormat)
	}
	return append(b, p.date[:]...)
}

// AppendLocation appends where to.
func (p *Response) AppendLocation(b []byte) []byte {
	if len(p.location) > 0 {
		return append(b, p.location...)
	}
	return append(b, p.href...)
}

// AppendCacheControl appends who may keep the answer for how long.
func (p *Response) AppendCacheControl(b []byte) []byte {
	if p.maxAge < 0 {
		return append(b, "private, no-store"...)
	}
	b = append(b, "public, max-age="...)
	return strconv.AppendInt(b, p.maxAge, 10)
}

// AppendCDNCacheControl appends for how long a CDN may keep the answer (RFC
// 9213), nothing if that is for Cache-Control to say.
func (p *Response) AppendCDNCacheControl(b []byte) []byte {
	if p.edgeAge <= 0 {
		return b
	}
	b = append(b, "max-age="...)
	return strconv.AppendInt(b, p.edgeAge, 10)
}

// AppendCacheTag appends the name by which a CDN forgets the answer, nothing
// where AppendCDNCacheControl has nothing.
func (p *Response) AppendCacheTag(b []byte) []byte {
	if p.edgeAge <= 0 {
		return b
	}
	b = append(b, "kurz-"...)
	return append(b, p.code...)
}

// AppendRateLimit appends the RateLimit field, nothing if the request was not
// counted. It is there for answers with an error too.
func (p *Response) AppendRateLimit(b []byte) []byte {
	if !p.rated {
		return b
	}
	return p.rate.AppendHeader(b)
}

// AppendRateLimitPolicy appends the RateLimit-Policy field, nothing if the
// request was not counted.
func (p *Response) AppendRateLimitPolicy(b []byte) []byte {
	if !p.rated {
		return b
	}
	return p.rate.Limit.AppendPolicy(b)
}
