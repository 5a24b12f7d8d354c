package memory_test

import (
	"testing"

	"kurz/internal/contracttest"
	"kurz/internal/idempotency"
	"kurz/internal/memory"
)

func TestIdempotency(t *testing.T) {
	contracttest.Idempotency(t, func(*testing.T) idempotency.Store { return memory.NewIdempotency() })
}
