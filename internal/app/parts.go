package app

import (
	"context"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/idempotency"
	"kurz/internal/job"
	"kurz/internal/link"
	"kurz/internal/ratelimit"
)

// Parts are what a kurz is made of, each behind its contract. All are needed.
type Parts struct {
	Links       link.Store
	Index       link.Upkeep // of Links; nil: it has none
	Codes       link.Codes
	Routes      link.Cache // of this node
	Accounts    account.Store
	Idempotency idempotency.Store
	Jobs        job.Queue
	Secret      []byte // of this installation, kept apart from the stores
	Log         click.Log
	Sink        click.Sink
	Reports     click.Reports
	Upkeep      click.Upkeep // of Sink and Reports
	Enricher    click.Enricher
	Locator     click.Locator
	Hasher      click.Hasher
	Limits      ratelimit.Source
	// Checks say whether what the parts need is there.
	Checks []Check
	// Measures are numbers of the parts that operators see.
	Measures []Measure
	// Work is what the parts do in the background.
	Work []Work
}

// Work is done in the background for as long as the server runs.
type Work struct {
	Name string
	// Run returns nil once ctx ends, and an error only where kurz can't go on.
	Run func(ctx context.Context) error
}

// Check says whether a dependency can be used.
type Check struct {
	Name string
	// Run gives a few words on how it is, or why it can't be used.
	Run func(ctx context.Context) (string, error)
}

// Measure is a number that is read when it is asked for.
type Measure struct {
	Name, Help string
	// Total says that the number only grows; its name ends in _total then.
	Total bool
	Read  func() float64
}
