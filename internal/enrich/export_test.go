package enrich

import (
	"context"
	"net/netip"

	"kurz/internal/click"
)

// Remembered tells how many user agents are remembered.
func Remembered(e *Enricher) int {
	n := 0
	for i := range e.agents {
		if e.agents[i].Load() != nil {
			n++
		}
	}
	return n
}

// The two ways to read a referrer: the quick one for most, and the one for all.
var (
	Referrer    = referrer
	AnyReferrer = anyReferrer
)

// First is what a finder of these marks finds first.
func First(marks []string, text string) (first int, found bool) {
	f := newFinder(marks)
	return f.first(text), f.any(text)
}

// ParseAgent parses a user agent as the first time that it is seen.
func ParseAgent(text string) { parseAgent(text) }

// Survey reads the bytes of a city database and gives its look-up.
func Survey(data []byte) (func(netip.Addr) click.Place, CityFile, error) {
	a, err := survey(context.Background(), data)
	if err != nil {
		return nil, CityFile{}, err
	}
	return func(addr netip.Addr) click.Place { return *a.place(addr) }, a.file, nil
}
