package api

import (
	"crypto/sha256"
	_ "embed" // the document
	"encoding/base64"
	"net/http"
	"strconv"
	"sync"
)

//go:embed openapi.json
var document []byte

// page is something that is the same for everyone until the program changes.
type page struct {
	kind, policy string
	body         []byte
	tag          string
	cache        string // Cache-Control
}

func newPage(kind, policy string, body []byte) page {
	sum := sha256.Sum256(body)
	return page{kind, policy, body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, "public, no-cache"}
}

var documentPage = sync.OnceValue(func() page { return newPage(typeJSON, "default-src 'none'", document) })

func (a *API) serveDocument(c *call) error { return c.serve(documentPage()) }

func (a *API) serveDocs(c *call) error {
	p, err := a.docs()
	if err != nil {
		return err
	}
	return c.serve(p)
}

// serve answers with a page, or says that the client has it.
func (c *call) serve(p page) error {
	h := c.w.Header()
	h.Set("Cache-Control", p.cache)
	h.Set("ETag", p.tag)
	h.Set("X-Content-Type-Options", "nosniff")
	unless, err := parseCondition(c.r.Header, "If-None-Match")
	if err == nil && unless.sent && unless.names(p.tag) {
		return c.empty(http.StatusNotModified)
	}
	h.Set("Content-Type", p.kind)
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Content-Length", strconv.Itoa(len(p.body)))
	c.w.WriteHeader(ok)
	_, _ = c.w.Write(p.body)
	return nil
}
