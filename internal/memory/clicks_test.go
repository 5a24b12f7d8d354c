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

func TestUpkeep(t *testing.T) {
	contracttest.Upkeep(t, func(*testing.T) (click.Upkeep, click.Sink, click.Reports) {
		c := memory.NewClicks()
		return c, c, c
	})
}
