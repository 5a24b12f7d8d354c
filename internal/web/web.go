// Package web is the room for people: the page at a domain's root, the preview
// of a link, the one-time set-up of the first admin, and what browsers fetch
// beside them.
//
// It guarantees that no page has a script or anything from elsewhere (its
// Content-Security-Policy says so too), that the set-up makes one admin however
// many ask at once, and that a preview is neither a click nor a way to see a
// link before its time. Errors are edge's to answer. Start reading at
// Web.Handle, then Web.Preview, setup.go.
package web

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kurz/internal/account"
	"kurz/internal/edge"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// Settings are the parts that the room is made of. All but SetupToken and
// Blocklist are needed.
type Settings struct {
	Registry  *link.Registry
	Directory *account.Directory
	Domains   *link.Domains
	// Blocklist names destinations that a preview does not lead to.
	Blocklist *link.Blocklist
	// SetupToken opens /setup while there is no admin; "" keeps it closed.
	SetupToken string
	Now        func() time.Time
}

// Web answers the requests of its room. It is safe for concurrent use.
type Web struct {
	Settings
	assets assets

	setup   sync.Mutex
	pending *account.User // the first admin, until they have their key
}

// New joins the room from its parts.
func New(s Settings) *Web { return &Web{Settings: s, assets: newAssets()} }

// Handle answers all paths of the room but previews.
func (w *Web) Handle(out http.ResponseWriter, r *http.Request) error {
	var do edge.HandlerFunc
	path, methods := r.URL.EscapedPath(), []string{http.MethodGet, http.MethodHead}
	switch path {
	case "/":
		do = w.home
	case "/setup":
		do, methods = w.setUp, append(methods, http.MethodPost)
	case "/robots.txt":
		do = robots
	case "/favicon.ico":
		do = w.favicon
	default:
		if do = w.assets.handler(path); do == nil {
			return fault.New(fault.NotFound, "There is nothing at this address")
		}
		path = "/assets"
	}
	edge.SetRoute(r.Context(), path)
	if !slices.Contains(methods, r.Method) {
		return edge.MethodNotAllowed(methods...)
	}
	return do(out, r)
}

var _, _ edge.HandlerFunc = (*Web)(nil).Handle, (*Web)(nil).Preview

// frame is what every page's template is given.
type frame struct {
	Title  string
	Host   string // of the domain
	Style  string // addresses of assets
	Icon   string
	Hidden bool // from search engines
	Page   any
}

// pageHeader says what a page may do and how long it is kept.
type pageHeader struct {
	status     int
	cache      string
	formAction string
	referrer   string
}

// show renders a page.
func (w *Web) show(out http.ResponseWriter, r *http.Request, name string, f frame, p pageHeader) error {
	f.Host, f.Style, f.Icon = w.host(r), w.assets.style, w.assets.icon
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, f); err != nil {
		return err
	}
	h := out.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	h.Set("Cache-Control", p.cache)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action "+
		p.formAction+"; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", p.referrer)
	if f.Hidden {
		h.Set("X-Robots-Tag", "noindex, nofollow")
	}
	out.WriteHeader(p.status)
	_, _ = out.Write(b.Bytes()) // a client that has gone: nobody is left to tell
	return nil
}

// host names the domain that was asked.
func (w *Web) host(r *http.Request) string { return w.Domains.Host(w.Domains.OfHost(r.Host)) }

// home says what this is.
func (w *Web) home(out http.ResponseWriter, r *http.Request) error {
	return w.show(out, r, "home.html", frame{Title: "Short links"}, pageHeader{
		status: http.StatusOK, cache: "public, max-age=300", formAction: "'none'", referrer: "no-referrer",
	})
}

// robots keeps crawlers from what is for programs, and from nothing else. Who
// may not fetch a short link can't see where it leads: search engines would
// list the bare address, and chats and networks, which obey this file, would
// show no picture of the destination. Previews say themselves that they are not
// for the index, which only a crawler that may fetch them reads.
func robots(out http.ResponseWriter, _ *http.Request) error {
	h := out.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=86400")
	_, _ = out.Write([]byte("User-agent: *\nDisallow: /api/v1/\nDisallow: /setup\n"))
	return nil
}

// previewPage is what a preview shows.
type previewPage struct {
	ShortURL    string
	Title       string
	Before      string // of the destination's host
	Site        string // the host
	After       string
	Destination string
	State       string // active, expired, revoked or blocked
	Leads       bool   // to the destination
	Created     time.Time
	Ends        time.Time
	QR, Picture string // addresses of its QR code; "" where there is none
}

// Preview shows where a link leads: /{code}+. A link whose time has not come
// is not there yet, as for its redirect.
func (w *Web) Preview(out http.ResponseWriter, r *http.Request) error {
	code, err := link.ParseCode(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), "+"))
	if err != nil {
		return err
	}
	key := link.Key{Domain: w.Domains.OfHost(r.Host), Code: code}
	l, err := w.Registry.Peek(r.Context(), key)
	if err != nil && !fault.Is(err, fault.URLNotFound) {
		return err
	}
	now := w.Now()
	status := l.Status(now)
	if err != nil || status == link.Scheduled {
		return fault.New(fault.URLNotFound, "Short code '%s' not found", code)
	}
	route := l.Route()
	verdict, target := route.Decide(now)
	leads := verdict == link.Redirect || verdict == link.RedirectExpired
	if !leads {
		target = l.Destination
	}
	p := previewPage{
		ShortURL: w.Domains.ShortURL(key), Title: l.Title, Destination: string(target),
		State: string(status), Leads: leads, Created: l.CreatedAt, Ends: l.ExpiresAt,
	}
	if leads && w.Blocklist.Blocks(target.Host()) {
		p.State, p.Leads = "blocked", false
	}
	if p.Leads {
		query := url.Values{}
		if key.Domain != "" {
			query.Set("domain", string(key.Domain))
		}
		path := "/api/v1/urls/" + string(code) + "/qr?"
		query.Set("size", "288")
		p.QR = path + query.Encode()
		query.Set("format", "png")
		query.Set("size", "1024")
		p.Picture = path + query.Encode()
	}
	p.Before, p.Site, p.After = cut(target)
	return w.show(out, r, "preview.html", frame{Title: "Where " + w.host(r) + "/" + string(code) + " leads", Hidden: true, Page: p}, pageHeader{
		status: http.StatusOK, cache: "no-store", formAction: "'none'", referrer: "no-referrer",
	})
}

// cut parts a destination around its host, which is what people should look at.
func cut(h link.Href) (before, site, after string) {
	scheme, rest, _ := strings.Cut(string(h), "://")
	site = h.Host()
	return scheme + "://", site, strings.TrimPrefix(rest, site)
}

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"day":     func(t time.Time) string { return t.UTC().Format("2 January 2006") },
	"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
}).ParseFS(sources, "*.html"))
