package link

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"kurz/internal/fault"
)

// Code is the part of a short URL after the slash: 3 to 64 of A–Z a–z 0–9 _ -.
type Code string

// Bounds of codes, in characters.
const (
	MinCode          = 3
	MaxCode          = 64
	MinGeneratedCode = 4
	MaxGeneratedCode = 32
	DefaultCode      = 7
)

// reserved are the first path segments that kurz itself answers, or may come to
// answer. They are compared without regard to case.
var reserved = map[string]bool{
	"account": true, "admin": true, "api": true, "app": true, "assets": true,
	"dashboard": true, "docs": true, "favicon": true, "health": true,
	"help": true, "links": true, "login": true, "logout": true, "metrics": true,
	"robots": true, "settings": true, "setup": true, "shorten": true,
	"signup": true, "static": true, "stats": true, "users": true, "well-known": true,
}

// ParseCode checks the code of a request. Anything that no link can have is
// fault.URLNotFound.
func ParseCode(s string) (Code, error) {
	if len(s) < MinCode || len(s) > MaxCode || !codeBytes(s) {
		return "", fault.New(fault.URLNotFound, "Short code '%s' not found", clip(s, MaxCode))
	}
	return Code(s), nil
}

// ParseAlias checks a code that someone asks for. It also refuses reserved
// words, with fault.ValidationFailed.
func ParseAlias(s string) (Code, error) {
	switch {
	case len(s) < MinCode || len(s) > MaxCode:
		return "", fault.Invalid("custom_alias", "must have %d to %d characters", MinCode, MaxCode)
	case !codeBytes(s):
		return "", fault.Invalid("custom_alias", "may contain only letters A-Z a-z, digits, '-' and '_'")
	case Reserved(s):
		return "", fault.Invalid("custom_alias", "%q is a reserved word", s)
	}
	return Code(s), nil
}

// Reserved reports whether a word can't be a code because kurz answers there
// itself.
func Reserved(s string) bool { return reserved[strings.ToLower(s)] }

func codeBytes(s string) bool {
	for i := range len(s) {
		if !codeByte[s[i]] {
			return false
		}
	}
	return true
}

// codeByte is a table because this runs for every redirect.
var codeByte = byteTable(base62 + "-_")

func byteTable(bytes string) (t [256]bool) {
	for i := range len(bytes) {
		t[bytes[i]] = true
	}
	return t
}

// clip makes a stranger's text fit for a message: at most n bytes, printable.
func clip(s string, n int) string {
	more := ""
	if len(s) > n {
		s, more = s[:n], "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s) + more
}
