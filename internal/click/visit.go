package click

import (
	"net/netip"
	"time"

	"kurz/internal/account"
	"kurz/internal/link"
)

// Visit is a redirect that is about to be answered, with all that the request
// tells. It lives in memory only: the Recorder turns Client into a place and a
// hash and lets go of it.
type Visit struct {
	Time  time.Time
	Link  link.ID
	Owner account.ID
	Head  bool // a HEAD request
	// Client is the visitor's address. It is never written anywhere.
	Client netip.Addr
	// Known remembers the visitor of the connection; nil: nobody does.
	Known          *Known
	UserAgent      string
	Referer        string
	AcceptLanguage string
	// Purpose is the value of Sec-Purpose, Purpose or X-Moz.
	Purpose string
	// Query is the request's, TargetQuery the destination's; UTM parameters
	// are taken from the first that has any.
	Query, TargetQuery string
	// Untracked is set where the visitor asks not to be tracked and the
	// operator honours it: the click counts, and nothing else is kept.
	Untracked bool
}

// Place is where an address is, as far as known.
type Place struct {
	Country string // ISO 3166-1 alpha-2, upper case
	Region  string
	City    string
}

// Locator finds the place of an address. It is called for every redirect: it
// neither blocks nor allocates, and is safe for concurrent use. An unknown
// address is the zero Place.
type Locator interface {
	Locate(addr netip.Addr) Place
}

// Hasher gives the visitor hash of an address and user agent at a time: equal
// for equal visitors within a rotation period, unlinkable across them, never
// 0. It neither blocks nor allocates, and is safe for concurrent use.
type Hasher interface {
	Hash(addr netip.Addr, userAgent string, at time.Time) uint64
	// Epoch gives a number that is another as soon as Hash may give the same
	// visitor another hash.
	Epoch(at time.Time) uint64
}

// Enricher tells from a request's headers who or what made it. It is called by
// the pump, after the journal, and is safe for concurrent use.
type Enricher interface {
	Enrich(h Headers) Enrichment
}

// Headers are what a visit's request said of its sender.
type Headers struct {
	Head               bool
	UserAgent          string
	Referer            string
	AcceptLanguage     string
	Purpose            string
	Query, TargetQuery string
}

// Enrichment is what Headers mean. Country, Region and City stay empty.
type Enrichment struct {
	Kind    Kind
	Trigger Trigger
	Details
}
