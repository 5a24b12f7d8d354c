package enrich

import (
	"context"
	"net/netip"

	"kurz/internal/click"
)

// Remembered tells how many user agents are remembered.
func Remembered(e *Enricher) int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return len(e.recent) + len(e.older)
}

// Survey reads the bytes of a city database and gives its look-up.
func Survey(data []byte) (func(netip.Addr) click.Place, CityFile, error) {
	a, err := survey(context.Background(), data)
	if err != nil {
		return nil, CityFile{}, err
	}
	return func(addr netip.Addr) click.Place { return *a.place(addr) }, a.file, nil
}
