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
	"hash/maphash"
	"strings"
	"sync/atomic"

	"kurz/internal/click"
)

// Enricher implements click.Enricher. It remembers the user agents that it saw
// last.
type Enricher struct {
	seed   maphash.Seed
	agents [remembered]atomic.Pointer[knownAgent]
}

// remembered is how many user agents are remembered, at most, in pairs of
// places that are chosen by hash. A site of a million visitors a month sees
// some two thousand a day.
const remembered = 8192

type knownAgent struct {
	text string
	agent
}

// New makes an Enricher.
func New() *Enricher { return &Enricher{seed: maphash.MakeSeed()} }

// Enrich implements click.Enricher. It does not allocate for what browsers
// usually send, and blocks nobody.
func (e *Enricher) Enrich(h click.Headers) click.Enrichment {
	a := e.agent(h.UserAgent)
	told := click.Enrichment{Kind: kindOf(&h, a.kind), Trigger: click.ByLink}
	told.Browser, told.OS, told.Device = a.browser, a.os, a.device
	told.Referrer, told.ReferrerHost = referrer(h.Referer)
	told.Language = language(h.AcceptLanguage)
	found, qr := campaign(h.Query, &told.Details)
	if qr {
		told.Trigger = click.ByQR
	}
	if !found {
		campaign(h.TargetQuery, &told.Details)
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
	if purpose == "" {
		return false
	}
	purpose = purpose[:min(len(purpose), maxPurpose)]
	purpose = strings.ToLower(purpose)
	return strings.Contains(purpose, "prefetch") || strings.Contains(purpose, "prerender") ||
		strings.Contains(purpose, "preview")
}

// agent parses a user agent, or remembers it.
func (e *Enricher) agent(text string) *agent {
	text = text[:min(len(text), maxAgent)]
	at := maphash.String(e.seed, text) % remembered &^ 1
	first, second := &e.agents[at], &e.agents[at+1]
	newest := first.Load()
	if newest != nil && newest.text == text {
		return &newest.agent
	}
	if k := second.Load(); k != nil && k.text == text {
		return &k.agent
	}
	k := &knownAgent{strings.Clone(text), parseAgent(text)}
	second.Store(newest)
	first.Store(k)
	return &k.agent
}
