package api

import (
	"net/http"
	"strconv"
	"strings"

	"kurz/internal/fault"
)

// etag stands for what can be set of a link: its version. Clicks and status
// change without it, so it guards changes and is no validator for caches.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// condition is an If-Match or If-None-Match field (RFC 9110, section 13.1).
type condition struct {
	sent bool
	any  bool     // "*"
	tags []string // as sent: quoted, "W/" before weak ones
}

// parseCondition reads such a field. Text that is not a list of entity tags is
// refused rather than taken for one that does not match.
func parseCondition(h http.Header, name string) (condition, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return condition{}, nil
	}
	c := condition{sent: true}
	rest := strings.Join(values, ",")
	if strings.Trim(rest, " \t") == "*" {
		c.any = true
		return c, nil
	}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			break
		}
		tag, after, ok := cutTag(rest)
		if !ok {
			return c, fault.Invalid(name, `must be * or entity tags as this API sent them, in quotes: "3"`)
		}
		c.tags = append(c.tags, tag)
		rest = after
	}
	if len(c.tags) == 0 {
		return c, fault.Invalid(name, "is empty")
	}
	return c, nil
}

// cutTag takes one entity tag off the front.
func cutTag(s string) (tag, rest string, ok bool) {
	open := 0
	if strings.HasPrefix(s, "W/") {
		open = len("W/")
	}
	if !strings.HasPrefix(s[open:], `"`) {
		return "", "", false
	}
	n := strings.IndexByte(s[open+1:], '"')
	if n < 0 {
		return "", "", false
	}
	end := open + 1 + n + 1
	rest = strings.TrimLeft(s[end:], " \t")
	return s[:end], rest, rest == "" || rest[0] == ','
}

// matches compares strongly: a weak tag never matches.
func (c condition) matches(version int64) bool {
	for _, tag := range c.tags {
		if tag == etag(version) {
			return true
		}
	}
	return c.any
}

// names compares weakly, as If-None-Match does.
func (c condition) names(current string) bool {
	for _, tag := range c.tags {
		if strings.TrimPrefix(tag, "W/") == current {
			return true
		}
	}
	return c.any
}

func changedMeanwhile() error {
	return fault.New(fault.PreconditionFailed, "The link was changed meanwhile: read it again and repeat the change")
}
