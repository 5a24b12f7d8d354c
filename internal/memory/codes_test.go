package memory_test

import (
	"testing"

	"kurz/internal/contracttest"
	"kurz/internal/link"
	"kurz/internal/memory"
)

func TestCodes(t *testing.T) {
	contracttest.Codes(t, func(*testing.T) (contracttest.CodeStore, link.Store) {
		links := memory.NewLinks()
		return memory.NewCodes(links), links
	})
}
