package main

import (
	"net/http"
	"time"
)

// netHTTP is the standard library's server.
func netHTTP(c contest) error {
	server := &http.Server{Addr: c.addr, Handler: redirects(c), ReadHeaderTimeout: 10 * time.Second}
	if c.cert != "" {
		return server.ListenAndServeTLS(c.cert, c.key)
	}
	return server.ListenAndServe()
}

func redirects(c contest) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusFound
		if to, ok := c.links[r.URL.Path[1:]]; ok {
			http.Redirect(w, r, to, status)
		} else {
			status = http.StatusNotFound
			http.NotFound(w, r)
		}
		note(c.log, r.RemoteAddr, r.Method, r.URL.Path, status, r.Referer(), r.UserAgent())
	})
}
