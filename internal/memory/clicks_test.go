package memory_test

import (
	"testing"

	"kurz/internal/click"
	"kurz/internal/contracttest"
	"kurz/internal/memory"
)

func TestClicks(t *testing.T) {
	contracttest.Clicks(t, func(*testing.T) (click.Sink, click.Reports) {
		c := memory.NewClicks()
		return c, c
	})
}
