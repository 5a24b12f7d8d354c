package enrich

import (
	"slices"
	"strings"

	"kurz/internal/click"
)

// spellings are the names of browsers and of systems by their lower case.
var spellings = map[click.Dimension]map[string]string{
	click.ByBrowser: spelled(slices.Concat(browsers.names, []string{androidBrowser, safari, iosWebView})),
	click.ByOS:      spelled(systems.names),
}

func spelled(names []string) map[string]string {
	by := make(map[string]string, len(names))
	for _, name := range names {
		by[strings.ToLower(name)] = name
	}
	return by
}

// Spell writes what filters name as clicks have it: browsers and systems whatever
// their case was, hosts as the sites that they belong to. What it does not know
// stays as it is: another version of kurz may have known it.
func Spell(filters []click.Filter) {
	for _, f := range filters {
		for i, value := range f.Values {
			if name, ok := spellings[f.Dimension][strings.ToLower(value)]; ok {
				f.Values[i] = name
			} else if host := hostOf(value); f.Dimension == click.ByReferrer && host != "" && host != click.Direct {
				f.Values[i] = site(host)
			}
		}
	}
}
