package ratelimit_test

import (
	"net/netip"
	"testing"

	"kurz/internal/ratelimit"
)

func TestByAddress(t *testing.T) {
	same := [][]string{
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::1%eth0"},
		{"2001:db8:1:3::1"},
		{"192.0.2.2"},
		{""},
	}
	seen := map[ratelimit.Key]int{}
	for group, addrs := range same {
		for _, text := range addrs {
			addr, _ := netip.ParseAddr(text)
			k := ratelimit.ByAddress(ratelimit.Redirects, addr)
			if before, ok := seen[k]; ok && before != group {
				t.Errorf("%q shares a key with %v", text, same[before])
			}
			seen[k] = group
		}
	}
	if len(seen) != len(same) {
		t.Errorf("%d keys for %d clients", len(seen), len(same))
	}
	addr := netip.MustParseAddr("192.0.2.1")
	if ratelimit.ByAddress(ratelimit.Redirects, addr) == ratelimit.ByAddress(ratelimit.Creates, addr) {
		t.Error("scopes are not kept apart")
	}
}
