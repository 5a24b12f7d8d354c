package edge

import (
	"net/http"
	"strconv"
	"strings"
)

// wantsPage reports whether an error is better told by a page: the request is
// for a path that people visit, and its Accept header prefers HTML to JSON.
func wantsPage(r *http.Request) bool {
	p := r.URL.Path
	if p == "/api" || p == "/shorten" || strings.HasPrefix(p, "/api/") {
		return false
	}
	return prefersHTML(r.Header["Accept"])
}

// prefersHTML reports whether the Accept fields (RFC 9110, section 12.5.1) name
// HTML, and give nothing that JSON can satisfy more weight. JSON wins a tie
// if it is named, and loses to a named HTML if only a wildcard stands for it.
func prefersHTML(accept []string) bool {
	html, json, wild := -1, -1, -1
	for _, line := range accept {
		for item := range strings.SplitSeq(line, ",") {
			kind, params, _ := strings.Cut(item, ";")
			q := weight(params)
			switch kind = strings.ToLower(strings.TrimSpace(kind)); {
			case kind == "text/html" || kind == "application/xhtml+xml":
				html = max(html, q)
			case kind == "application/json" || strings.HasSuffix(kind, "+json"):
				json = max(json, q)
			case kind == "*/*" || kind == "application/*":
				wild = max(wild, q)
			}
		}
	}
	if html <= 0 {
		return false
	}
	if json >= 0 {
		return html > json
	}
	return html >= wild
}

// weight gives the q parameter in thousandths; 1000 if there is none, 0 if it
// can't be read.
func weight(params string) int {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return int(q * 1000)
	}
	return 1000
}
