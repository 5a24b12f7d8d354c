package memory_test

import (
	"testing"

	"kurz/internal/account"
	"kurz/internal/contracttest"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/ratelimit"
)

func TestLinks(t *testing.T) {
	contracttest.Links(t, func(*testing.T) link.Store { return memory.NewLinks() })
}

func TestRoutes(t *testing.T) {
	contracttest.Cache(t, func(*testing.T) link.Cache { return memory.NewRoutes(10_000) })
}

func TestAccounts(t *testing.T) {
	contracttest.Accounts(t, func(*testing.T) account.Store { return memory.NewAccounts() })
}

func TestLimits(t *testing.T) {
	contracttest.Limits(t, func(*testing.T) ratelimit.Source { return memory.NewLimits(10_000) })
}
