package link

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	whatwg "github.com/nlnwa/whatwg-url/url"

	"kurz/internal/fault"
)

// MaxURL bounds a destination, as sent and as stored, in bytes.
const MaxURL = 8192

// Policy says which destinations are allowed.
type Policy struct {
	// AllowPrivate lets links lead to loopback and private addresses and to
	// names without a dot.
	AllowPrivate bool
	Domains      *Domains   // kurz's own, which would loop; nil: none
	Blocklist    *Blocklist // the operator's; nil: nothing is blocked
}

// ParseDestination reads a URL as browsers do (WHATWG URL Standard) and gives
// its normalised href. Spaces around it are dropped. A URL that the policy
// refuses is fault.InvalidURL with the reason, or fault.URLBlocked.
func ParseDestination(raw string, p Policy) (Href, error) {
	raw = strings.Trim(raw, " ")
	if err := checkText(raw); err != nil {
		return "", err
	}
	href, hostname, port := plainURL(raw)
	if href == "" {
		u, err := parseURL(raw)
		if err != nil {
			return "", err
		}
		href, hostname, port = Href(u.Href(false)), u.Hostname(), u.Port()
		switch {
		case u.Username() != "" || u.Password() != "":
			return "", invalidURL("must not contain a user name or password")
		case len(href) > MaxURL:
			return "", invalidURL("is longer than %d bytes once normalised", MaxURL)
		case !safeASCII(string(href)):
			return "", invalidURL("has characters that a header can't carry")
		}
	}
	switch {
	case p.Domains.own(hostname, port):
		return "", invalidURL("leads back to this shortener")
	case !p.AllowPrivate && privateHost(hostname):
		return "", invalidURL("leads to a private or local address (the operator can allow it with KURZ_ALLOW_PRIVATE=true)")
	case p.Blocklist.Blocks(hostname):
		return "", fault.New(fault.URLBlocked, "Links to %s are not allowed here", hostname)
	}
	return href, nil
}

// plainURL is a short cut around the parser for what most destinations are: a
// URL that is its own href, without a port. It gives "" for any other, and what
// it gives is what the parser would (fuzzed). It saves an eighth of a create.
func plainURL(raw string) (href Href, hostname, port string) {
	rest, ok := strings.CutPrefix(raw, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(raw, "http://"); !ok {
			return "", "", ""
		}
	}
	end := 0
	for end < len(rest) && plainHostByte[rest[end]] {
		end++
	}
	host := rest[:end]
	if end == len(rest) || rest[end] != '/' || !plainName(host) {
		return "", "", ""
	}
	for i := end; i < len(rest); i++ {
		if !plainByte[rest[i]] {
			return "", "", ""
		}
	}
	path, _, _ := strings.Cut(rest[end:], "?")
	if strings.Contains(path, "/.") || strings.Contains(path, "%") {
		return "", "", "" // dot segments are resolved, also written %2e
	}
	return Href(raw), host, ""
}

// plainName reports whether a host of plain bytes is a name that IDNA leaves as
// it is, and no number.
func plainName(host string) bool {
	last := ""
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			len(label) > 3 && label[2] == '-' && label[3] == '-' {
			return false
		}
		last = label
	}
	return last[0] >= 'a' && len(host) <= 253
}

var (
	plainHostByte = byteTable("abcdefghijklmnopqrstuvwxyz0123456789.-")
	plainByte     = byteTable("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/?=&%+,;:@!$()*")
)

func invalidURL(format string, args ...any) *fault.Error {
	err := fault.Invalid("long_url", format, args...)
	err.Code = fault.InvalidURL
	err.Message = "The URL " + err.Details[0].Reason
	return err
}

// checkText refuses what the URL parser would drop or encode in silence, but
// which has no place in a URL that a person means.
func checkText(raw string) error {
	switch {
	case raw == "":
		return invalidURL("is missing")
	case len(raw) > MaxURL:
		return invalidURL("is longer than %d bytes", MaxURL)
	case !utf8.ValidString(raw):
		return invalidURL("is not valid UTF-8")
	}
	for _, r := range raw {
		switch {
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return invalidURL("contains a control character (U+%04X)", r)
		case unicode.Is(unicode.Bidi_Control, r):
			return invalidURL("contains a bidirectional control character (U+%04X)", r)
		case invisible(r):
			return invalidURL("contains an invisible character (U+%04X)", r)
		}
	}
	return nil
}

// invisible reports characters of no width, by which two URLs can look alike.
func invisible(r rune) bool {
	switch r {
	case '\u00ad', '\u034f', '\u115f', '\u1160', '\u17b4', '\u17b5', '\u180e', '\u3164', '\ufeff', '\uffa0':
		return true
	}
	return r >= '\u200b' && r <= '\u200d' || r >= '\u2060' && r <= '\u2064' || r >= '\u206a' && r <= '\u206f' ||
		r >= 0xe0000 && r <= 0xe0fff
}

// parseURL applies the WHATWG rules and keeps only http and https with a host.
func parseURL(raw string) (*whatwg.Url, error) {
	u, err := whatwg.Parse(raw)
	if err != nil {
		if u, err = punycodeParser.Parse(raw); err != nil {
			if !strings.Contains(raw, ":") {
				return nil, invalidURL("has no scheme: begin it with https://")
			}
			return nil, invalidURL("can't be parsed: check its scheme, host and port")
		}
	}
	switch {
	case u.Protocol() != "http:" && u.Protocol() != "https:":
		return nil, invalidURL("must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, invalidURL("has no host")
	}
	return u, nil
}

// punycodeParser is for a second try. The URL Standard takes an ASCII label
// that begins with xn-- as it is, even where it is no valid Punycode; the
// library refuses it. So such labels wear another prefix while it looks.
var punycodeParser = whatwg.NewParser(
	whatwg.WithPreParseHostFunc(func(_ *whatwg.Url, host string) string {
		for _, c := range []byte(host) {
			if c >= utf8.RuneSelf || c == '%' {
				return host
			}
		}
		labels := strings.Split(strings.ToLower(host), ".")
		for i, label := range labels {
			if strings.HasPrefix(label, maskedPrefix) {
				return host
			}
			if rest, ok := strings.CutPrefix(label, "xn--"); ok {
				labels[i] = maskedPrefix + rest
			}
		}
		return strings.Join(labels, ".")
	}),
	whatwg.WithPostParseHostFunc(func(_ *whatwg.Url, host string) string {
		labels := strings.Split(host, ".")
		for i, label := range labels {
			if rest, ok := strings.CutPrefix(label, maskedPrefix); ok {
				labels[i] = "xn--" + rest
			}
		}
		return strings.Join(labels, ".")
	}),
)

const maskedPrefix = "kurz0masked0"

// safeASCII reports whether s can be a header's value as it is.
func safeASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// privateHost reports whether a normalised host names this machine or a
// private network: such an address, a name without a dot, or a name under a
// domain reserved for local use (RFC 6761, RFC 6762, RFC 8375, RFC 9476).
func privateHost(host string) bool {
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return privateAddr(addr)
	}
	name := strings.TrimRight(host, ".")
	if !strings.Contains(name, ".") {
		return true
	}
	for _, suffix := range []string{".localhost", ".local", ".internal", ".home.arpa"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// privateAddr reports whether an address is not one of the public internet
// (IANA special-purpose registries). IPv4 addresses inside IPv6 ones count as
// what they are.
func privateAddr(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		b := a.As16()
		switch {
		case nat64.Contains(a), v4compatible.Contains(a), siit.Contains(a):
			a = netip.AddrFrom4([4]byte(b[12:16]))
		case sixToFour.Contains(a):
			a = netip.AddrFrom4([4]byte(b[2:6]))
		}
	}
	for _, p := range privateNets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

var (
	nat64        = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	v4compatible = netip.MustParsePrefix("::/96")           // RFC 4291; :: and ::1 too
	siit         = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 7915
	sixToFour    = netip.MustParsePrefix("2002::/16")       // RFC 3056

	privateNets = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("198.18.0.0/15"), // benchmarks
		netip.MustParsePrefix("224.0.0.0/3"),   // multicast and reserved
		netip.MustParsePrefix("64:ff9b:1::/48"),
		netip.MustParsePrefix("100::/64"),  // discard
		netip.MustParsePrefix("2001::/32"), // Teredo
		netip.MustParsePrefix("fc00::/7"),
		netip.MustParsePrefix("fe80::/9"), // link-local and the old site-local
		netip.MustParsePrefix("ff00::/8"),
	}
)

// errBadHost says that a name is no host.
var errBadHost = errors.New("is not a host name")

// normalHost gives the host of a name with an optional port, as the URL
// Standard normalises it for https.
func normalHost(name string) (string, error) {
	u, err := parseURL("https://" + name)
	if err != nil || strings.ContainsAny(name, "/?#@\\") || !safeASCII(u.Host()) {
		return "", errBadHost
	}
	return u.Host(), nil
}
