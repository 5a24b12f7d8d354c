package click

import (
	"fmt"
	"slices"
	"strings"

	"kurz/internal/fault"
)

// maxValues bounds what one dimension may be filtered by.
const maxValues = 100

// ParseFilters reads filters as people write them, by the names of dimensions:
// "DE,AT" keeps either, "!DE,AT" neither, and several texts of one dimension
// are as good as one with all the values. A backslash takes a comma, a leading
// exclamation mark or a backslash for itself. Where values have one spelling
// only (countries, languages, devices, hosts), any case will do, and what is
// none of them is refused, since nothing could have it. All that is wrong is
// reported at once, as fault.ValidationFailed; a name that is no dimension is
// told what there is.
func ParseFilters(given map[string][]string) ([]Filter, error) {
	var list []Filter
	var details []fault.Detail
	for _, d := range Dimensions {
		keep, drop := Filter{Dimension: d}, Filter{Dimension: d, Not: true}
		for _, text := range given[string(d)] {
			f := &keep
			rest, not := strings.CutPrefix(text, "!")
			if not {
				f = &drop
			}
			values, reason := d.parse(rest)
			if reason != "" {
				details = append(details, fault.Detail{Field: string(d), Reason: reason})
				continue
			}
			f.Values = append(f.Values, values...)
		}
		for _, f := range []Filter{keep, drop} {
			if len(f.Values) > maxValues {
				details = append(details, fault.Detail{Field: string(d), Reason: fmt.Sprintf("may have at most %d values", maxValues)})
			} else if len(f.Values) > 0 {
				list = append(list, f)
			}
		}
	}
	for name := range given {
		if !slices.Contains(Dimensions[:], Dimension(name)) {
			details = append(details, fault.Detail{Field: name, Reason: "is nothing that clicks can be filtered by: use " + dimensionList()})
		}
	}
	if len(details) == 0 {
		return list, nil
	}
	f := fault.Invalid(details[0].Field, "%s", details[0].Reason)
	f.Details = details
	return nil, f
}

func dimensionList() string {
	names := make([]string, len(Dimensions))
	for i, d := range Dimensions {
		names[i] = string(d)
	}
	return strings.Join(names, ", ")
}

// parse reads the values of one text, or says what is wrong with it.
func (d Dimension) parse(text string) (values []string, reason string) {
	for _, v := range splitValues(text) {
		v, reason := d.normal(v)
		if reason != "" {
			return nil, reason
		}
		values = append(values, v)
	}
	return values, ""
}

// normal gives a value in the spelling of reports, or says what is wrong.
func (d Dimension) normal(v string) (_, reason string) {
	switch {
	case v == "" && d == ByReferrer:
		return "", fmt.Sprintf("is empty: send hosts, or %q for clicks that came from nowhere", Direct)
	case v == "":
		return "", fmt.Sprintf("is empty: send values, or %q", Unknown)
	case v == Other:
		return "", fmt.Sprintf("%q is no value, but all that a list had no room for", Other)
	}
	lower := strings.ToLower(v)
	switch d {
	case ByCountry:
		if lower == Unknown {
			return lower, ""
		}
		if len(v) != 2 || !letters(lower) {
			return "", fmt.Sprintf("must be two-letter codes such as DE (ISO 3166-1), or %q", Unknown)
		}
		return strings.ToUpper(v), ""
	case ByLanguage:
		if lower != Unknown && (len(v) < 2 || len(v) > 3 || !letters(lower)) {
			return "", fmt.Sprintf("must be languages such as de (BCP 47, without what follows a hyphen), or %q", Unknown)
		}
		return lower, ""
	case ByDevice:
		if lower != Unknown && !slices.Contains(Devices[:], lower) {
			return "", fmt.Sprintf("must be %s or %q", strings.Join(Devices[:], ", "), Unknown)
		}
		return lower, ""
	case ByTrigger:
		if lower != ByLink.String() && lower != ByQR.String() && lower != Unknown {
			return "", fmt.Sprintf("must be %q, %q or %q", ByLink, ByQR, Unknown)
		}
		return lower, ""
	case ByReferrer:
		if strings.ContainsAny(v, "/?#@ ") {
			return "", fmt.Sprintf("must be hosts such as news.example, not addresses, or %q", Direct)
		}
		return lower, ""
	}
	return v, ""
}

func letters(lower string) bool { return strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz") == "" }

// splitValues cuts at commas that have no backslash before them.
func splitValues(s string) []string {
	values := []string{""}
	last := &values[0]
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`\,!`, s[i+1]) >= 0:
			i++
			*last += s[i : i+1]
		case s[i] == ',':
			values = append(values, "")
			last = &values[len(values)-1]
		default:
			*last += s[i : i+1]
		}
	}
	return values
}
