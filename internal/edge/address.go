package edge

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"kurz/internal/redirect"
)

// proxies are whom X-Forwarded-For is believed from.
type proxies struct {
	nets []netip.Prefix
	unix bool
}

// plainPrefixes gives the networks as addresses are compared with them: those
// of IPv4 in IPv6's form as IPv4.
func plainPrefixes(nets []netip.Prefix) []netip.Prefix {
	plain := make([]netip.Prefix, len(nets))
	for i, n := range nets {
		if n.Addr().Is4In6() && n.Bits() >= 96 {
			n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
		plain[i] = n
	}
	return plain
}

// client gives the address that a request came from. The list of
// X-Forwarded-For (over all its lines) is walked from its end, where the
// nearest proxy wrote: each address is believed if the one that reported it is
// trusted, and the first that is not trusted itself is the client. Where the
// list ends, or can't be read, it is the last address believed. A peer on a
// Unix socket, which has no address, is trusted only if p.unix.
func (p proxies) client(peer string, forwarded []string) netip.Addr {
	addr, known := parseAddress(peer)
	return p.behind(addr, known, forwarded)
}

// behind is client for an address that was read before.
func (p proxies) behind(addr netip.Addr, known bool, forwarded []string) netip.Addr {
	if !known && !p.unix || known && !p.trusts(addr) {
		return addr
	}
	for i := len(forwarded) - 1; i >= 0; i-- {
		for rest, more := forwarded[i], true; more; {
			var item string
			item, rest, more = cutLast(rest)
			if item == "" {
				continue
			}
			next, ok := parseAddress(item)
			if !ok {
				return addr
			}
			if addr = next; !p.trusts(addr) {
				return addr
			}
		}
	}
	return addr
}

// cutLast cuts the last element, trimmed, off a comma-separated list.
func cutLast(list string) (item, rest string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		item, rest, more = list[i+1:], list[:i], true
	} else {
		item = list
	}
	return strings.Trim(item, " \t"), rest, more
}

// trusts reports whether the address is a proxy's.
func (p proxies) trusts(addr netip.Addr) bool {
	for _, n := range p.nets {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// parseAddress reads an IP address with or without a port, brackets and zone,
// unmapped to IPv4 where it is one.
func parseAddress(s string) (netip.Addr, bool) {
	var addr netip.Addr
	var err error
	switch {
	case s == "":
		return netip.Addr{}, false
	case s[0] == '[' && s[len(s)-1] == ']':
		addr, err = netip.ParseAddr(s[1 : len(s)-1])
		if err == nil && !addr.Is6() {
			return netip.Addr{}, false
		}
	case s[0] == '[' || strings.Count(s, ":") == 1:
		var ap netip.AddrPort
		ap, err = netip.ParseAddrPort(s)
		addr = ap.Addr()
	default:
		addr, err = netip.ParseAddr(s)
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.WithZone("").Unmap(), true
}

// fill makes a redirect's request of net/http's.
func fill(q *redirect.Request, r *http.Request, path string, client netip.Addr, now time.Time) {
	h := r.Header
	*q = redirect.Request{
		Head: r.Method == http.MethodHead, Host: r.Host, Path: path, Query: r.URL.RawQuery,
		UserAgent: first(h["User-Agent"]), Referer: first(h["Referer"]),
		AcceptLanguage: first(h["Accept-Language"]),
		NoTrack:        first(h["Dnt"]) == "1" || first(h["Sec-Gpc"]) == "1",
		Client:         client, Now: now,
	}
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if q.Purpose = first(h[name]); q.Purpose != "" {
			return
		}
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
