// Package link is the heart of the product: links, their codes and
// destinations, their life cycle, and the rules under which they are made and
// changed.
//
// It guarantees that a code belongs to one link of one domain for ever, that a
// stored destination is a normalised ASCII href safe to send in a header, and
// that a change is announced before it is acknowledged. Start reading at Link,
// then Registry (the rules), Store (the contract), Route (what a redirect
// needs).
package link

import (
	"hash/maphash"
	"math/bits"
	"time"

	"kurz/internal/account"
)

// ID names a link in clicks and indexes. IDs grow with the time of creation
// and are never 0; see IDs.
type ID int64

// Domain is the lower-case host (with a port where it is not the scheme's own)
// that a code belongs to. The default domain, that of KURZ_BASE_URL, is "", so
// that moving to another base URL keeps every link.
type Domain string

// Key is where a link is found: codes of different domains are different links.
type Key struct {
	Domain Domain
	Code   Code
}

// Hash mixes a key into 64 bits, for tables in memory.
func (k Key) Hash(seed maphash.Seed) uint64 {
	hash := maphash.String(seed, string(k.Code))
	if k.Domain != "" {
		hash ^= bits.RotateLeft64(maphash.String(seed, string(k.Domain)), 23)
	}
	return hash
}

// Operation names one attempt to create, the same for every retry of it; the
// zero Operation names none. See Store.Insert.
type Operation [16]byte

// Status is where a link is in its life at one moment.
type Status string

// The statuses. A revoked link is revoked even where it has expired too.
const (
	Scheduled Status = "scheduled"
	Active    Status = "active"
	Expired   Status = "expired"
	Revoked   Status = "revoked"
)

// Link is a short link with everything known of it. Times are UTC, to the
// millisecond; a zero time is none.
type Link struct {
	Key
	ID          ID
	Owner       account.ID // 0: nobody
	Destination Href
	// Alias reports that the code was asked for rather than generated.
	Alias          bool
	ContentID      string
	Title          string
	Notes          string
	Tags           []string // sorted, without doubles
	RedirectStatus int      // 301, 302, 307 or 308
	EdgeTTL        time.Duration
	ForwardQuery   bool
	StartsAt       time.Time
	ExpiresAt      time.Time
	RevokedAt      time.Time
	ArchivedAt     time.Time // when it was put away, having ended; see Registry.Archive
	ExpiredURL     Href
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Version        int64 // 1 when made, one more with each change
	Operation      Operation
	// PriorClicks is how often it was followed before kurz had it: a number that
	// an import brought, of which nothing else is known.
	PriorClicks int64
}

// Status tells where the link is in its life at now.
func (l *Link) Status(now time.Time) Status {
	return statusAt(now, l.StartsAt, l.ExpiresAt, l.RevokedAt)
}

func statusAt(now, starts, expires, revoked time.Time) Status {
	switch {
	case !revoked.IsZero() && !now.Before(revoked):
		return Revoked
	case !expires.IsZero() && !now.Before(expires):
		return Expired
	case !starts.IsZero() && now.Before(starts):
		return Scheduled
	}
	return Active
}
