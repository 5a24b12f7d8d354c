// Package arch says who may import whom, and its test checks that it is so.
//
// It guarantees that the six rules of ARCHITECTURE.md hold for the files as
// they stand, whatever their build constraints: every package has a line in
// Table, and every import, of tests too, is one that its line allows. Start
// reading at Table, then Check.
package arch

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Kind is what a package is, which decides what it may import.
type Kind string

// The kinds.
const (
	Word      Kind = "word"      // what the product is: no I/O
	Mechanism Kind = "mechanism" // how: knows no database and no HTTP
	Front     Kind = "front"     // the front door, edge
	Room      Kind = "room"      // behind the front door: redirect, api, web
	Adapter   Kind = "adapter"   // one outside technology
	Joining   Kind = "joining"   // puts the parts together
	Command   Kind = "command"   // a program
	Test      Kind = "test"      // used by tests only
	Outside   Kind = "outside"   // sees kurz only as its users do
)

// Line is what Table says of one package.
type Line struct {
	Path     string // below the module
	Kind     Kind
	Uses     []string // outside technologies that no other package imports
	TestUses []string // the same, for this package's tests alone
}

// Package is what a package imports.
type Package struct {
	Path        string // below the module
	Name        string // of its package clause, without "_test"
	Imports     []string
	TestImports []string
}

// The kinds of package that a package of each kind may import in what is not a
// test. What stands in exceptions comes on top.
var allowed = map[Kind][]Kind{
	Word:      {Word},
	Mechanism: {Word},
	Front:     {Word, Mechanism},
	Room:      {Word, Mechanism, Front},
	Adapter:   {Word, Mechanism},
	Joining:   {Word, Mechanism, Front, Room, Joining, Outside},
	Command:   {Joining},
	Test:      {Word, Mechanism, Test},
	Outside:   {Outside},
}

// exceptions are single imports beyond allowed.
var exceptions = map[[2]string]bool{
	// The front door answers redirects by itself, without a detour.
	{"internal/edge", "internal/redirect"}: true,
}

// rule words the rule that an import breaks.
func rule(from Line, to Line) string {
	switch {
	case to.Kind == Test:
		return "rule 5: only tests import " + path.Base(to.Path)
	case from.Kind == Word || from.Kind == Mechanism:
		return "rule 1: a " + string(from.Kind) + " imports only words"
	case from.Kind == Adapter:
		return "rule 2: an adapter imports contracts and its driver"
	case from.Kind == Room:
		return "rule 3: rooms import neither one another, nor adapters, nor what joins them"
	case to.Kind == Adapter:
		return "rule 4: only internal/backend names an adapter"
	}
	return fmt.Sprintf("a package of kind %s may not import one of kind %s", from.Kind, to.Kind)
}

// Check gives everything that is wrong with packages of a module, sorted.
func Check(module string, table []Line, packages []Package) []string {
	c := checker{module: module, lines: map[string]Line{}}
	for _, l := range table {
		if _, twice := c.lines[l.Path]; twice {
			c.add("%s has two lines in the table", l.Path)
		}
		c.lines[l.Path] = l
	}
	c.uses()
	seen := map[string]bool{}
	for _, p := range packages {
		seen[p.Path] = true
		c.check(p)
	}
	for _, l := range table {
		if !seen[l.Path] {
			c.add("%s has a line in the table and is not there", l.Path)
		}
	}
	slices.Sort(c.findings)
	return slices.Compact(c.findings)
}

type checker struct {
	module   string
	lines    map[string]Line
	findings []string
}

func (c *checker) add(format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

// uses checks that each technology belongs to one package.
func (c *checker) uses() {
	owner := map[string]string{}
	for _, l := range c.lines {
		for _, t := range l.Uses {
			if other := owner[t]; other != "" {
				c.add("%s is used by two packages, %s and %s", t, min(other, l.Path), max(other, l.Path))
			}
			owner[t] = l.Path
		}
	}
}

func (c *checker) check(p Package) {
	line, ok := c.lines[p.Path]
	if !ok {
		c.add("%s has no line in the table of internal/arch", p.Path)
		return
	}
	for _, name := range []string{path.Base(p.Path), p.Name} {
		if nondescript[name] {
			c.add("rule 6: %s: %q does not say what is inside", p.Path, name)
		}
	}
	for _, i := range p.Imports {
		c.imports(line, i, false)
	}
	for _, i := range p.TestImports {
		c.imports(line, i, true)
	}
}

func (c *checker) imports(from Line, imported string, test bool) {
	if below, ok := strings.CutPrefix(imported, c.module+"/"); ok {
		c.own(from, below, test)
		return
	}
	if standard(imported) {
		return
	}
	mine := slices.ContainsFunc(from.Uses, under(imported)) ||
		test && slices.ContainsFunc(from.TestUses, under(imported)) ||
		(test || from.Kind == Test) && slices.ContainsFunc(testTools, under(imported))
	if !mine {
		c.add("%s imports %s, which its line does not name: one technology is imported by one package", from.Path, imported)
	}
}

// own checks an import within the module. Tests may join what they like, except
// those of packages outside, which see kurz as its users do.
func (c *checker) own(from Line, imported string, test bool) {
	to, ok := c.lines[imported]
	switch {
	case !ok: // found when the package itself is checked
	case imported == "internal/backend" && from.Path != "internal/cli" && !test:
		c.add("%s imports %s: rule 4: only internal/cli names internal/backend", from.Path, imported)
	case from.Kind == Outside && to.Kind != Outside:
		c.add("%s imports %s: what stands outside uses nothing of internal", from.Path, imported)
	case test,
		slices.Contains(allowed[from.Kind], to.Kind),
		exceptions[[2]string{from.Path, imported}],
		from.Path == "internal/backend" && to.Kind == Adapter:
	default:
		c.add("%s imports %s: %s", from.Path, imported, rule(from, to))
	}
}

// standard reports whether an import is the standard library's or counts so.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return true
	}
	return strings.HasPrefix(imported, "golang.org/x/") && !slices.ContainsFunc(technologies, under(imported))
}

// under gives a test for being imported itself or a folder above it.
func under(imported string) func(prefix string) bool {
	return func(prefix string) bool {
		return imported == prefix || strings.HasPrefix(imported, prefix+"/")
	}
}

func byPath(a, b Package) int { return cmp.Compare(a.Path, b.Path) }
