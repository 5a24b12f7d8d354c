package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"kurz/internal/qr"
)

// need says what a route asks of the actor.
type need uint8

const (
	// public routes look neither at the key nor at the query.
	public need = iota
	// optional routes take requests without a key; a bad key is refused.
	optional
	required
)

// route is one operation of the document.
type route struct {
	method string // a GET answers HEAD as well
	// path may have one segment in braces, which stands for any.
	path  string
	auth  need
	query []string // the parameters that are allowed
	do    func(*API, *call) error
}

// routes lists every operation, as the document does.
func routes() []route {
	const urls = "/api/v1/urls"
	domain := []string{"domain"}
	events := append([]string{"from", "to", "tz", "kind"}, dimensionNames()...)
	report := append([]string{"interval", "top", "compare"}, events...)
	watching := append([]string{"kind"}, dimensionNames()...)
	whose := []string{"owner"}
	paging := []string{"limit", "cursor"}
	with := func(more []string, lists ...[]string) []string {
		return append(slices.Concat(lists...), more...)
	}
	listing := with([]string{"q", "tag", "status", "archived", "sort", "domain", "owner"}, paging)
	return []route{
		{"POST", urls, optional, nil, (*API).createLink},
		{"GET", urls, required, listing, (*API).listLinks},
		{"GET", urls + "/{code}", required, domain, (*API).getLink},
		{"PATCH", urls + "/{code}", required, domain, (*API).patchLink},
		{"DELETE", urls + "/{code}", required, domain, (*API).deleteLink},
		{"GET", urls + "/{code}/stats", required, with(domain, report), (*API).linkStats},
		{"GET", urls + "/{code}/stats.csv", required, with(domain, report), (*API).linkStatsCSV},
		{"GET", urls + "/{code}/clicks", required, with(domain, events, paging), (*API).listLinkClicks},
		{"GET", urls + "/{code}/clicks.csv", required, with(domain, events), (*API).exportLinkClicks},
		{"GET", urls + "/{code}/live", required, with(domain, watching), (*API).linkLive},
		{"GET", urls + "/{code}/qr", optional, with(domain, qr.Names()), (*API).linkQR},
		{"GET", "/api/v1/stats", required, with(whose, report), (*API).allStats},
		{"GET", "/api/v1/stats.csv", required, with(whose, report), (*API).allStatsCSV},
		{"GET", "/api/v1/clicks", required, with(whose, events, paging), (*API).listOwnClicks},
		{"GET", "/api/v1/clicks.csv", required, with(whose, events), (*API).exportOwnClicks},
		{"GET", "/api/v1/live", required, with(whose, watching), (*API).allLive},
		{"POST", bulkPath, required, nil, (*API).createBulk},
		{"GET", bulkPath, required, with(whose, paging), (*API).listBulk},
		{"GET", bulkPath + "/{id}", required, nil, (*API).getBulk},
		{"DELETE", bulkPath + "/{id}", required, nil, (*API).cancelBulk},
		{"GET", bulkPath + "/{id}/results.csv", required, nil, (*API).bulkResults},
		{"GET", bulkPath + "/{id}/failures.csv", required, nil, (*API).bulkFailures},
		{"POST", bulkPath + "/{id}/retry", required, nil, (*API).retryBulk},
		{"GET", "/api/v1/me", required, nil, (*API).me},
		{"GET", "/api/v1/keys", required, paging, (*API).listKeys},
		{"POST", "/api/v1/keys", required, nil, (*API).createKey},
		{"DELETE", "/api/v1/keys/{id}", required, nil, (*API).revokeKey},
		{"POST", "/shorten", optional, nil, (*API).shorten},
		{"GET", "/api/openapi.json", public, nil, (*API).serveDocument},
		{"GET", "/api/docs", public, nil, (*API).serveDocs},
	}
}

// match finds the route of a request, what its braces stand for, and the
// methods that the path has. Paths are compared segment by segment as they
// were sent: nothing is cleaned, and an escaped slash is no slash.
func (a *API) match(r *http.Request) (found *route, segment string, allowed []string) {
	sent := strings.Split(r.URL.EscapedPath(), "/")
	for i := range sent {
		var err error
		if sent[i], err = url.PathUnescape(sent[i]); err != nil {
			return nil, "", nil
		}
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range a.routes {
		value, ok := matchPath(a.segments[i], sent)
		if !ok {
			continue
		}
		allowed = append(allowed, a.routes[i].method)
		if a.routes[i].method == method {
			found, segment = &a.routes[i], value
		}
	}
	return found, segment, allowed
}

func matchPath(segments, sent []string) (segment string, ok bool) {
	if len(segments) != len(sent) {
		return "", false
	}
	for i, want := range segments {
		switch got := sent[i]; {
		case strings.HasPrefix(want, "{"):
			if segment = got; got == "" {
				return "", false
			}
		case got != want:
			return "", false
		}
	}
	return segment, true
}
