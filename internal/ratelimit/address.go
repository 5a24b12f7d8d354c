package ratelimit

import "net/netip"

// ByAddress gives the key of a client without a name: its IPv4 address, also
// where that is written as IPv6, or the /64 of its IPv6 address, which is what
// one customer has at least. All clients whose address is not known share one
// key.
func ByAddress(scope Scope, addr netip.Addr) Key {
	k := Key{Scope: scope}
	switch addr = addr.Unmap(); {
	case addr.Is4():
		k.Subject = addr.As16()
	case addr.Is6():
		subject := addr.As16()
		copy(k.Subject[:8], subject[:8])
	}
	return k
}
