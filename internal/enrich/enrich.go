// Package enrich tells from a visitor's request what statistics keep of it:
// people from programs, browser, system and device, referrer, language and
// campaign; and from the address, before it is forgotten, country and visitor
// hash.
//
// It guarantees that whatever a stranger sends, what comes out is bounded in
// length, valid UTF-8 and free of control characters; that names of browsers,
// systems and devices come from lists in this package; and that a visitor hash
// can't be turned back once its period is over. Start reading at Enricher,
// Locator, Hasher.
package enrich

import (
	"strings"
	"sync"

	"kurz/internal/click"
)

// Enricher implements click.Enricher. It remembers the user agents that it saw
// last.
type Enricher struct {
	mu sync.RWMutex
	// Agents of two generations: when recent is full it becomes older, and
	// what was in older is forgotten.
	recent, older map[string]agent
	capacity      int
}

// remembered is how many user agents a generation holds.
const remembered = 4096

// New makes an Enricher.
func New() *Enricher {
	return &Enricher{recent: map[string]agent{}, capacity: remembered}
}

// Enrich implements click.Enricher.
func (e *Enricher) Enrich(h click.Headers) click.Enrichment {
	a := e.agent(h.UserAgent)
	told := click.Enrichment{Kind: kindOf(&h, a.kind), Trigger: triggerOf(h.Query)}
	told.Browser, told.OS, told.Device = a.browser, a.os, a.device
	told.Referrer, told.ReferrerHost = referrer(h.Referer)
	told.Language = language(h.AcceptLanguage)
	if !utm(h.Query, &told.Details) {
		utm(h.TargetQuery, &told.Details)
	}
	return told
}

// kindOf tells the kind of a visit by an agent of this kind.
func kindOf(h *click.Headers, agent click.Kind) click.Kind {
	switch {
	case h.Head:
		return click.Head
	case prefetches(h.Purpose):
		return click.Prefetch
	}
	return agent
}

// prefetches reports whether Sec-Purpose, Purpose or X-Moz says that nobody
// has followed the link yet: "prefetch", "prefetch;prerender", "prerender",
// "preview".
func prefetches(purpose string) bool {
	if len(purpose) > maxPurpose {
		purpose = purpose[:maxPurpose]
	}
	purpose = strings.ToLower(purpose)
	return strings.Contains(purpose, "prefetch") || strings.Contains(purpose, "prerender") ||
		strings.Contains(purpose, "preview")
}

// agent parses a user agent, or remembers it.
func (e *Enricher) agent(text string) agent {
	if len(text) > maxAgent {
		text = text[:maxAgent]
	}
	e.mu.RLock()
	a, ok := e.recent[text]
	e.mu.RUnlock()
	if ok {
		return a
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok = e.older[text]
	if !ok {
		a = parseAgent(text)
	}
	if len(e.recent) >= e.capacity {
		e.older, e.recent = e.recent, make(map[string]agent, e.capacity)
	}
	e.recent[strings.Clone(text)] = a
	return a
}
