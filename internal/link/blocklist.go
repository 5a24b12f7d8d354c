package link

import (
	"strings"
	"sync/atomic"
)

// Blocklist is a set of domains that links must not lead to. A domain stands
// for its subdomains too. It can be replaced while it is asked; a nil Blocklist
// blocks nothing.
type Blocklist struct {
	domains atomic.Pointer[map[string]struct{}]
}

// NewBlocklist makes a list; see Replace.
func NewBlocklist(domains []string) *Blocklist {
	b := new(Blocklist)
	b.Replace(domains)
	return b
}

// Replace puts another set in place. Names may be written in Unicode and in
// any case; those that are no host names are left out and given back.
func (b *Blocklist) Replace(domains []string) (unusable []string) {
	set := make(map[string]struct{}, len(domains))
	for _, d := range domains {
		host, err := normalHost(strings.TrimPrefix(strings.TrimSpace(d), "*."))
		if err != nil {
			unusable = append(unusable, d)
			continue
		}
		set[strings.TrimRight(host, ".")] = struct{}{}
	}
	b.domains.Store(&set)
	return unusable
}

// Blocks reports whether a normalised host is in the set or under one of its
// domains. It does not allocate.
func (b *Blocklist) Blocks(host string) bool {
	if b == nil {
		return false
	}
	set := *b.domains.Load()
	if len(set) == 0 {
		return false
	}
	for host = strings.TrimRight(host, "."); host != ""; {
		if _, found := set[host]; found {
			return true
		}
		_, parent, ok := strings.Cut(host, ".")
		if !ok {
			return false
		}
		host = parent
	}
	return false
}

// Len gives how many domains are in the set.
func (b *Blocklist) Len() int {
	if b == nil {
		return 0
	}
	return len(*b.domains.Load())
}
