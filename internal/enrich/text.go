package enrich

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"kurz/internal/click"
)

// The bounds of what is kept, in bytes, and of what is looked at.
const (
	maxHost     = 253
	maxReferrer = 512
	maxUTM      = 200

	maxAgent   = 1024
	maxInput   = 4096
	maxPurpose = 64
)

// clean makes a stranger's text fit to be kept and shown: valid UTF-8 without
// control, bidirectional or zero-width characters, without space around it, at
// most limit bytes.
func clean(s string, limit int) string {
	if len(s) > maxInput {
		s = s[:maxInput]
	}
	plain := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if !plain {
		s = strings.Map(func(r rune) rune {
			if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
				return -1
			}
			return r
		}, s)
	}
	s = strings.TrimSpace(s)
	if len(s) > limit {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:limit], ""))
	}
	return s
}

// referrer gives what a referrer says: its address and its site. Most are
// addresses as browsers write them, which are kept as they came.
func referrer(raw string) (address, host string) {
	scheme := len("https://")
	switch {
	case raw == "" || len(raw) > maxInput:
		return anyReferrer(raw)
	case strings.HasPrefix(raw, "https://"):
	case strings.HasPrefix(raw, "http://"):
		scheme--
	default:
		return anyReferrer(raw)
	}
	at := scheme
	for at < len(raw) && plainHost[raw[at]] {
		at++
	}
	host, path := raw[scheme:at], raw[at:]
	if host == "" || len(host) > maxHost || host[0] == '.' || host[len(host)-1] == '.' {
		return anyReferrer(raw)
	}
	end := 0
	for end < len(path) && path[end] > ' ' && path[end] < 0x7f && path[end] != '?' && path[end] != '#' {
		end++
	}
	// What comes after the path is left out, unless there is more to clean.
	if end > 0 && path[0] != '/' || end < len(path) && path[end] != '?' && path[end] != '#' {
		return anyReferrer(raw)
	}
	if end == 1 {
		end = 0
	}
	return raw[:min(at+end, maxReferrer)], site(host)
}

// plainHost are the bytes of hosts that need nothing done to them.
var plainHost = func() (plain [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789.-_") {
		plain[c] = true
	}
	return plain
}()

// anyReferrer gives a referrer's address without query, fragment, credentials and
// port, and the site that its host belongs to. An app's host is its name, such
// as com.google.android.gm. What is no address of a page or an app is no
// referrer.
func anyReferrer(raw string) (address, host string) {
	raw = clean(raw, maxInput)
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	scheme, rest, found := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if !found || (scheme != "http" && scheme != "https" && scheme != "android-app" && scheme != "ios-app") {
		return "", ""
	}
	authority, path, _ := strings.Cut(rest, "/")
	host = hostOf(authority)
	if host == "" {
		return "", ""
	}
	address = scheme + "://" + host
	if path != "" {
		address += "/" + path
	}
	return clean(address, maxReferrer), site(host)
}

// sites are those that lead people out by another host.
var sites = map[string]string{
	"l.facebook.com": "facebook.com", "lm.facebook.com": "facebook.com", "l.instagram.com": "instagram.com",
	"l.messenger.com": "messenger.com", "l.threads.com": "threads.com", "l.threads.net": "threads.net",
	"out.reddit.com": "reddit.com", "away.vk.com": "vk.com",
}

// site gives the name that reports know a host by: without "www.", "m." and
// "mobile.", which are views of the same, unless that is the whole name. A host
// that is called as reports call visits from nowhere is not known.
func site(host string) string {
	switch host[0] {
	case 'l', 'o', 'a':
		if name, ok := sites[host]; ok {
			return name
		}
	case 'd':
		if host == click.Direct {
			return click.Unknown
		}
		return host
	case 'w', 'm':
	default:
		return host
	}
	for _, view := range []string{"www.", "m.", "mobile."} {
		if rest, found := strings.CutPrefix(host, view); found && strings.Contains(rest, ".") {
			host = rest
		}
	}
	return host
}

// hostOf gives the host of an authority in lower case, "" if it is none.
func hostOf(authority string) string {
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	if strings.HasPrefix(authority, "[") {
		host, _, found := strings.Cut(authority, "]")
		if !found || strings.Trim(host[1:], "0123456789abcdefABCDEF:.") != "" || len(host) == 1 {
			return ""
		}
		return strings.ToLower(host) + "]"
	}
	host, _, _ := strings.Cut(authority, ":")
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if !ascii(host) {
		var err error
		if host, err = idna.Lookup.ToASCII(host); err != nil {
			return ""
		}
	}
	if len(host) > maxHost || strings.Trim(host, ".") == "" || strings.ContainsAny(host, " <>\"'`\\^{|}%()[],;=!$&*+") {
		return ""
	}
	return host
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// language gives the primary subtag of the language that is liked best.
func language(accept string) string {
	if len(accept) > maxInput {
		accept = accept[:maxInput]
	}
	best, weight := "", -1
	for item := range strings.SplitSeq(accept, ",") {
		tag, params, _ := strings.Cut(item, ";")
		if w := quality(params); w > weight {
			if p := primary(tag); p != "" {
				best, weight = p, w
			}
		}
		if weight == most {
			break // nothing later is liked better
		}
	}
	return best
}

// primary gives the primary subtag of a language tag, "" if it is none.
func primary(tag string) string {
	tag = strings.TrimSpace(tag)
	if i := strings.IndexAny(tag, "-_"); i >= 0 {
		tag = tag[:i]
	}
	if len(tag) < 2 || len(tag) > 3 {
		return ""
	}
	for i := range len(tag) {
		if c := tag[i] | 0x20; c < 'a' || c > 'z' {
			return ""
		}
	}
	return strings.ToLower(tag)
}

// most is the greatest weight of an item of Accept-Language, in thousandths.
const most = 1000

// quality gives the weight of an item of Accept-Language in thousandths.
func quality(params string) int {
	if params == "" {
		return most
	}
	q, found := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
	if !found {
		return most
	}
	whole, part, _ := strings.Cut(q, ".")
	if whole == "1" {
		return most
	}
	w, unit := 0, 100
	for i := 0; i < len(part) && i < 3; i++ {
		if part[i] < '0' || part[i] > '9' {
			break
		}
		w += int(part[i]-'0') * unit
		unit /= 10
	}
	return w
}

// campaign reads the UTM parameters of a query into d, the first of each name,
// and reports whether there were any, and whether a QR code led here.
func campaign(query string, d *click.Details) (found, qr bool) {
	query = bounded(query)
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "qr=1" {
			qr = true
		}
		if !strings.HasPrefix(pair, "utm_") {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		to := utmField(key, d)
		if to == nil {
			continue
		}
		// What reports call all that is not known, or not shown, is no value.
		if value = clean(unescape(value), maxUTM); value == "" || value == click.Unknown || value == click.Other {
			continue
		}
		found = true
		if *to == "" {
			*to = value
		}
	}
	return found, qr
}

func utmField(key string, d *click.Details) *string {
	switch key {
	case "utm_source":
		return &d.UTMSource
	case "utm_medium":
		return &d.UTMMedium
	case "utm_campaign":
		return &d.UTMCampaign
	case "utm_term":
		return &d.UTMTerm
	case "utm_content":
		return &d.UTMContent
	}
	return nil
}

func bounded(s string) string { return s[:min(len(s), maxInput)] }

// unescape undoes form encoding; what is not well-formed stays as it is.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && unhex(s[i+1]) < 16 && unhex(s[i+2]) < 16:
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}
