package enrich

import (
	"net/netip"

	"github.com/phuslu/iploc"

	"kurz/internal/click"
)

// Locator implements click.Locator with the database inside the binary, which
// knows countries only.
type Locator struct{}

// NewLocator makes a Locator.
func NewLocator() Locator { return Locator{} }

// Locate implements click.Locator. Addresses that are nobody's on the Internet
// (private, loopback, link-local …) have no place.
func (Locator) Locate(addr netip.Addr) click.Place {
	addr = addr.Unmap().WithZone("")
	if !onInternet(addr) {
		return click.Place{}
	}
	country := iploc.IPCountry(addr)
	if len(country) != 2 || country == "ZZ" {
		return click.Place{}
	}
	return click.Place{Country: country}
}

// onInternet reports whether an address can be someone's there.
func onInternet(addr netip.Addr) bool {
	return addr.IsValid() && addr.IsGlobalUnicast() && !addr.IsPrivate()
}
