package arch_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/arch"
)

// TestRules is the build's check: the packages as they stand, against Table.
func TestRules(t *testing.T) {
	module, packages, err := arch.Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 10 {
		t.Fatalf("only %d packages found: the check looks in the wrong place", len(packages))
	}
	for _, finding := range arch.Check(module, arch.Table(), packages) {
		t.Error(finding)
	}
}

// TestCheckFails shows for each rule a graph that breaks it alone.
func TestCheckFails(t *testing.T) {
	table := []arch.Line{
		{Path: "internal/link", Kind: arch.Word, Uses: []string{"example.org/url"}},
		{Path: "internal/click", Kind: arch.Word},
		{Path: "internal/journal", Kind: arch.Mechanism},
		{Path: "internal/enrich", Kind: arch.Mechanism},
		{Path: "internal/edge", Kind: arch.Front},
		{Path: "internal/redirect", Kind: arch.Room},
		{Path: "internal/api", Kind: arch.Room},
		{Path: "internal/memory", Kind: arch.Adapter},
		{Path: "internal/sqlite", Kind: arch.Adapter, Uses: []string{"example.org/sqlite"}, TestUses: []string{"example.org/oracle"}},
		{Path: "internal/contracttest", Kind: arch.Test},
		{Path: "internal/app", Kind: arch.Joining},
		{Path: "internal/backend", Kind: arch.Joining},
		{Path: "internal/cli", Kind: arch.Joining},
		{Path: "cmd/kurz", Kind: arch.Command},
		{Path: "client", Kind: arch.Outside},
		{Path: "e2e", Kind: arch.Outside},
	}
	for _, c := range []struct {
		name, from, to string
		test           bool
		want           string // "" allows it
	}{
		{name: "a word imports a word", from: "internal/click", to: "m/internal/link"},
		{name: "a word imports a mechanism", from: "internal/link", to: "m/internal/journal", want: "rule 1"},
		{name: "a word imports an adapter", from: "internal/link", to: "m/internal/sqlite", want: "rule 1"},
		{name: "a mechanism imports a word", from: "internal/journal", to: "m/internal/click"},
		{name: "a mechanism imports a mechanism", from: "internal/journal", to: "m/internal/enrich", want: "rule 1"},
		{name: "an adapter imports its driver", from: "internal/sqlite", to: "example.org/sqlite/sqlitex"},
		{name: "an adapter imports an adapter", from: "internal/sqlite", to: "m/internal/memory", want: "rule 2"},
		{name: "an adapter imports the front", from: "internal/sqlite", to: "m/internal/edge", want: "rule 2"},
		{name: "a room imports the front", from: "internal/api", to: "m/internal/edge"},
		{name: "the front imports redirect", from: "internal/edge", to: "m/internal/redirect"},
		{name: "the front imports another room", from: "internal/edge", to: "m/internal/api", want: "kind front may not import one of kind room"},
		{name: "a room imports a room", from: "internal/api", to: "m/internal/redirect", want: "rule 3"},
		{name: "a room imports an adapter", from: "internal/redirect", to: "m/internal/memory", want: "rule 3"},
		{name: "backend imports an adapter", from: "internal/backend", to: "m/internal/sqlite"},
		{name: "app imports an adapter", from: "internal/app", to: "m/internal/sqlite", want: "rule 4"},
		{name: "cli imports backend", from: "internal/cli", to: "m/internal/backend"},
		{name: "app imports backend", from: "internal/app", to: "m/internal/backend", want: "rule 4"},
		{name: "a command imports backend", from: "cmd/kurz", to: "m/internal/backend", want: "rule 4"},
		{name: "a test imports contracttest", from: "internal/sqlite", to: "m/internal/contracttest", test: true},
		{name: "contracttest outside a test", from: "internal/sqlite", to: "m/internal/contracttest", want: "rule 5"},
		{name: "a test imports an adapter", from: "internal/link", to: "m/internal/memory", test: true},
		{name: "cli imports the client", from: "internal/cli", to: "m/client"},
		{name: "the client imports a word", from: "client", to: "m/internal/link", want: "what stands outside"},
		{name: "a black-box test imports a word", from: "e2e", to: "m/internal/link", test: true, want: "what stands outside"},
		{name: "a black-box test imports the client", from: "e2e", to: "m/client", test: true},
		{name: "another's driver", from: "internal/memory", to: "example.org/sqlite", want: "one technology"},
		{name: "another's driver in a test", from: "internal/memory", to: "example.org/sqlite", test: true, want: "one technology"},
		{name: "a driver that only tests may use", from: "internal/sqlite", to: "example.org/oracle", want: "one technology"},
		{name: "the same in a test", from: "internal/sqlite", to: "example.org/oracle", test: true},
		{name: "a name that only begins alike", from: "internal/sqlite", to: "example.org/sqlite2", want: "one technology"},
		{name: "a test tool in a test", from: "internal/link", to: "github.com/google/go-cmp/cmp", test: true},
		{name: "a test tool in the program", from: "internal/link", to: "github.com/google/go-cmp/cmp", want: "one technology"},
		{name: "the extended standard library", from: "internal/journal", to: "golang.org/x/sys/unix"},
		{name: "a technology within it", from: "internal/edge", to: "golang.org/x/crypto/acme/autocert", want: "one technology"},
	} {
		t.Run(c.name, func(t *testing.T) {
			packages := make([]arch.Package, 0, len(table))
			for _, l := range table {
				p := arch.Package{Path: l.Path, Name: "x"}
				if l.Path == c.from && c.test {
					p.TestImports = []string{c.to}
				} else if l.Path == c.from {
					p.Imports = []string{c.to}
				}
				packages = append(packages, p)
			}
			expect(t, arch.Check("m", table, packages), c.want)
		})
	}
}

// TestTableAndTree shows that the table and the tree must tell the same.
func TestTableAndTree(t *testing.T) {
	word := arch.Line{Path: "internal/link", Kind: arch.Word}
	link := arch.Package{Path: "internal/link", Name: "link"}
	for _, c := range []struct {
		name     string
		table    []arch.Line
		packages []arch.Package
		want     string
	}{
		{name: "alike", table: []arch.Line{word}, packages: []arch.Package{link}},
		{name: "a package without a line", packages: []arch.Package{link}, want: "no line"},
		{name: "a line without a package", table: []arch.Line{word}, want: "is not there"},
		{name: "two lines", table: []arch.Line{word, word}, packages: []arch.Package{link}, want: "two lines"},
		{
			name: "two owners of one technology",
			table: []arch.Line{
				{Path: "a", Kind: arch.Adapter, Uses: []string{"example.org/db"}},
				{Path: "b", Kind: arch.Adapter, Uses: []string{"example.org/db"}},
			},
			packages: []arch.Package{{Path: "a"}, {Path: "b"}},
			want:     "two packages, a and b",
		},
		{
			name:     "a folder that says nothing",
			table:    []arch.Line{{Path: "internal/util", Kind: arch.Word}},
			packages: []arch.Package{{Path: "internal/util", Name: "text"}},
			want:     "rule 6",
		},
		{
			name:     "a package clause that says nothing",
			table:    []arch.Line{{Path: "internal/text", Kind: arch.Word}},
			packages: []arch.Package{{Path: "internal/text", Name: "helpers"}},
			want:     "rule 6",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, arch.Check("m", c.table, c.packages), c.want)
		})
	}
}

func expect(t *testing.T, findings []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(findings) != 0:
		t.Errorf("found %q, want nothing", findings)
	case want != "" && (len(findings) != 1 || !strings.Contains(findings[0], want)):
		t.Errorf("found %q, want one that says %q", findings, want)
	}
}

// TestLoad reads a small module with everything that is to be passed over.
func TestLoad(t *testing.T) {
	root := fstest.MapFS{
		"go.mod":              {Data: []byte("module example.org/m\n\ngo 1.26\n")},
		"a/a.go":              {Data: []byte("package a\n\nimport \"fmt\"\n")},
		"a/a_windows.go":      {Data: []byte("//go:build windows\n\npackage a\n\nimport \"syscall\"\n")},
		"a/a_test.go":         {Data: []byte("package a_test\n\nimport \"testing\"\n")},
		"a/testdata/bad.go":   {Data: []byte("package bad\n\nimport \"os\"\n")},
		"a/README.md":         {Data: []byte("text")},
		"vendor/v/v.go":       {Data: []byte("package v\n")},
		".hidden/h.go":        {Data: []byte("package h\n")},
		"_old/o.go":           {Data: []byte("package o\n")},
		"tools/go.mod":        {Data: []byte("module example.org/tools\n")},
		"tools/tools.go":      {Data: []byte("package tools\n")},
		"cmd/program/main.go": {Data: []byte("package main\n\nimport \"example.org/m/a\"\n")},
	}
	module, packages, err := arch.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if module != "example.org/m" {
		t.Errorf("module %q", module)
	}
	want := []arch.Package{
		{Path: "a", Name: "a", Imports: []string{"fmt", "syscall"}, TestImports: []string{"testing"}},
		{Path: "cmd/program", Name: "main", Imports: []string{"example.org/m/a"}},
	}
	if diff := cmp.Diff(want, packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	for name, broken := range map[string]fstest.MapFS{
		"no go.mod":     {},
		"no module":     {"go.mod": {Data: []byte("go 1.26\n")}},
		"not Go at all": {"go.mod": root["go.mod"], "a/a.go": {Data: []byte("paket a")}},
	} {
		if _, _, err := arch.Load(broken); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
