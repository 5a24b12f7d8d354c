package api

import (
	"net/http"
	"net/netip"
	"strings"

	"kurz/internal/edge"
	"kurz/internal/fault"
)

// authenticate finds out who asks. Without a key that is nobody; a key that is
// not good is refused, also where none is needed.
func (a *API) authenticate(c *call) error {
	secret, err := credentials(c.r.Header)
	if err != nil || secret == "" {
		return err
	}
	c.actor, err = a.Directory.Authenticate(c.ctx(), secret)
	c.secret = secret
	return err
}

// credentials reads the key from Authorization or X-Api-Key; "" is none. Two
// that differ are refused: it is not for us to choose.
func credentials(h http.Header) (string, error) {
	var secret string
	for _, value := range h.Values("Authorization") {
		scheme, rest, _ := strings.Cut(value, " ")
		rest = strings.TrimSpace(rest)
		if !strings.EqualFold(scheme, "Bearer") || rest == "" {
			return "", fault.New(fault.Unauthorized, "The Authorization header must be 'Bearer' and an API key")
		}
		if secret != "" && secret != rest {
			return "", differing()
		}
		secret = rest
	}
	for _, value := range h.Values("X-Api-Key") {
		value = strings.TrimSpace(value)
		if value == "" {
			return "", fault.New(fault.Unauthorized, "The X-Api-Key header is empty")
		}
		if secret != "" && secret != value {
			return "", differing()
		}
		secret = value
	}
	return secret, nil
}

func differing() error {
	return fault.New(fault.Unauthorized, "The request has two different API keys: send one")
}

// client gives what stands for an anonymous client: its IPv4 address, or the
// /64 of its IPv6 address, since who has one address there has all of them.
func (c *call) client() netip.Addr {
	addr := edge.Client(c.ctx()).Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
