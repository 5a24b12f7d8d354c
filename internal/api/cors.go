package api

import (
	"net/http"
	"slices"
	"strings"
)

// Any origin may call with a key, and none with cookies: there is no
// Access-Control-Allow-Credentials, so what a browser keeps is never sent.
const (
	corsHeaders = "Authorization, Content-Encoding, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Api-Key, X-Request-Id"
	corsExposed = "Allow, Content-Disposition, ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
	corsMaxAge  = "86400"
)

// allowOrigin marks an answer, an error too, as readable from any origin.
func allowOrigin(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", corsExposed)
}

// preflight answers OPTIONS, whether a browser asks or a person.
func preflight(w http.ResponseWriter, allowed []string) {
	h := w.Header()
	list := strings.Join(methods(allowed), ", ")
	h.Set("Allow", list)
	h.Set("Access-Control-Allow-Methods", list)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
}

// methods lists the methods of a path with those that come for nothing.
func methods(routed []string) []string {
	all := slices.Clone(routed)
	if slices.Contains(all, http.MethodGet) {
		all = append(all, http.MethodHead)
	}
	all = append(all, http.MethodOptions)
	slices.Sort(all)
	return slices.Compact(all)
}
