package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"kurz/internal/fault"
)

// query is a request's query string, all of whose names are allowed.
type query url.Values

// maxQuery bounds a query string, in bytes.
const maxQuery = 16 << 10

// repeatable are the parameters that may stand more than once.
func repeatable(name string) bool { return slices.Contains(dimensionNames(), name) }

// parseQuery reads a query string strictly: names that are not allowed, names
// given twice and broken escapes are refused, since a filter that is dropped
// makes an answer that is wrong without a sign.
func parseQuery(raw string, allowed []string) (query, error) {
	if len(raw) > maxQuery {
		return nil, fault.Invalid("query", "is longer than %d bytes", maxQuery)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fault.Invalid("query", "is not well-formed: write 'name=value&name=value', other characters percent-encoded")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	var details []fault.Detail
	for _, name := range names {
		var reason string
		switch {
		case !slices.Contains(allowed, name):
			reason = unknown(allowed)
		case len(values[name]) > 1 && !repeatable(name):
			reason = "is given more than once"
		case slices.ContainsFunc(values[name], func(v string) bool { return !utf8.ValidString(v) }):
			reason = "is not valid UTF-8"
		default:
			continue
		}
		if details = append(details, fault.Detail{Field: clip(strings.ToValidUTF8(name, "�")), Reason: reason}); len(details) == maxMembers {
			break
		}
	}
	return query(values), invalid(details)
}

// unknown says what can be asked where something else was.
func unknown(allowed []string) string {
	if len(allowed) == 0 {
		return "is not known: nothing can be asked for here"
	}
	return "is not known here: what is known is " + strings.Join(slices.Sorted(slices.Values(allowed)), ", ")
}

func (q query) has(name string) bool { return len(q[name]) > 0 }

// text gives the value of a parameter, "" where it is missing.
func (q query) text(name string) string {
	if len(q[name]) == 0 {
		return ""
	}
	return q[name][0]
}

// bounded gives a value of at most the given number of bytes.
func (q query) bounded(name string, most int) (string, error) {
	s := q.text(name)
	if len(s) > most {
		return "", fault.Invalid(name, "may have at most %d bytes", most)
	}
	return s, nil
}

// number gives a whole number within bounds, or otherwise where it is missing.
func (q query) number(name string, otherwise, least, most int) (int, error) {
	if !q.has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(q.text(name))
	if err != nil || n < least || n > most {
		return 0, fault.Invalid(name, "must be a whole number from %d to %d", least, most)
	}
	return n, nil
}

// oneOf gives one of the values, the first where the parameter is missing.
func oneOf[T ~string](q query, name string, values ...T) (T, error) {
	if !q.has(name) {
		return values[0], nil
	}
	if v := T(q.text(name)); slices.Contains(values, v) {
		return v, nil
	}
	names := make([]string, 0, len(values))
	for _, v := range values {
		if v != "" {
			names = append(names, fmt.Sprintf("%q", string(v)))
		}
	}
	return "", fault.Invalid(name, "must be one of %s", strings.Join(names, ", "))
}

// limit gives the size of a page.
func (q query) limit() (int, error) { return q.number("limit", 50, 1, 500) }

// gather collects what several parameters have wrong into one fault. Faults
// that are not about fields come first, alone.
func gather(errs ...error) error {
	var details []fault.Detail
	for _, err := range errs {
		if err == nil {
			continue
		}
		f := fault.Of(err)
		if f.Code != fault.ValidationFailed {
			return err
		}
		details = append(details, f.Details...)
	}
	return invalid(details)
}
