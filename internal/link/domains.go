package link

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"kurz/internal/fault"
)

// Domains are the hosts that kurz answers for: the default one, of
// KURZ_BASE_URL, and others. It does not change.
type Domains struct {
	scheme string // of every short URL
	base   string // the default domain's host, with its port if not the scheme's
	others []string
}

// NewDomains makes them of the base URL (http or https, a host, no path) and
// the hosts of the other domains.
func NewDomains(base *url.URL, others []string) (*Domains, error) {
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" ||
		strings.Trim(base.Path, "/") != "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, fmt.Errorf("base URL %q: must be http:// or https:// and a host, with nothing behind it", base.Redacted())
	}
	u, err := parseURL(base.Scheme + "://" + base.Host)
	if err != nil || !safeASCII(u.Host()) {
		return nil, fmt.Errorf("base URL %q: %w", base.Redacted(), errBadHost)
	}
	d := &Domains{scheme: base.Scheme, base: plainHost(u.Host())}
	for _, name := range others {
		other, err := parseURL(base.Scheme + "://" + name)
		if err != nil || strings.ContainsAny(name, "/?#@\\") {
			return nil, fmt.Errorf("domain %q: %w", name, errBadHost)
		}
		if host := plainHost(other.Host()); host != d.base && !slices.Contains(d.others, host) {
			d.others = append(d.others, host)
		}
	}
	return d, nil
}

// plainHost gives a normalised host without the root's dot.
func plainHost(host string) string {
	name, port := splitPort(host)
	return strings.TrimRight(name, ".") + port
}

// splitPort gives a host and its port with the colon, "" if it has none.
func splitPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i], host[i:]
	}
	return host, ""
}

// Named gives the domain that a client names, in any spelling that browsers
// take for it; "" and the base URL's host are the default one. One that is not
// configured is fault.ValidationFailed.
func (d *Domains) Named(name string) (Domain, error) {
	if name == "" {
		return "", nil
	}
	if host, err := normalHost(name); err == nil {
		host = plainHost(host)
		if host == d.base {
			return "", nil
		}
		if slices.Contains(d.others, host) {
			return Domain(host), nil
		}
	}
	return "", fault.Invalid("domain", "is not one of this server's: %s", strings.Join(d.Hosts(), ", "))
}

// OfHost gives the domain of a request's Host field: the one with this host and
// port, else the one with this host, whatever the port, as proxies add and drop
// it. A host that is not configured (an address, a name that a proxy put there)
// is answered as the default domain. It does not allocate.
func (d *Domains) OfHost(host string) Domain {
	if len(d.others) == 0 || host == d.base {
		return ""
	}
	name, port := splitPort(host)
	name = strings.TrimRight(name, ".")
	if port != "" {
		if domain, ok := d.match(host); ok {
			return domain
		}
	}
	domain, _ := d.match(name)
	return domain
}

func (d *Domains) match(host string) (domain Domain, ok bool) {
	if strings.EqualFold(d.base, host) {
		return "", true
	}
	for _, o := range d.others {
		if strings.EqualFold(o, host) {
			return Domain(o), true
		}
	}
	return "", false
}

// Host gives the host of a domain.
func (d *Domains) Host(domain Domain) string {
	if domain == "" {
		return d.base
	}
	return string(domain)
}

// Hosts gives all hosts, the default one first.
func (d *Domains) Hosts() []string { return append([]string{d.base}, d.others...) }

// ShortURL gives the address at which a link answers.
func (d *Domains) ShortURL(k Key) string {
	return d.scheme + "://" + d.Host(k.Domain) + "/" + string(k.Code)
}

// own reports whether a destination's host and port are kurz's own. A domain
// configured without a port is answered at any, so it is own at any.
func (d *Domains) own(hostname, port string) bool {
	if d == nil {
		return false
	}
	hostname = strings.TrimRight(hostname, ".")
	for _, own := range d.Hosts() {
		name, ownPort := splitPort(own)
		if hostname == name && (ownPort == "" || ownPort == ":"+port) {
			return true
		}
	}
	return false
}
