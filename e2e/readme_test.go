package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadme runs the README's commands as they stand, in order, in one shell,
// against a fresh server: each block marked "sh" must succeed, and each line
// of the block marked "text" after it must be in its output, in that order. In
// such a line, … stands for anything. Only the address and the name of the
// program are put in, and the two commands that start it all are left to the
// reader: this test is run by one of them, and stands for the other.
func TestReadme(t *testing.T) {
	t.Parallel()
	needs(t, "curl")
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t)
	s.Env = append(s.Env, "KURZ_DATA="+s.Data)
	dir := t.TempDir()
	put := strings.NewReplacer(
		"go run ./cmd/kurz", binary,
		"http://localhost:8080", s.URL,
		"localhost:8080", s.Addr,
	)
	blocks := fenced(string(text))
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks found", len(blocks))
	}
	for i, b := range blocks {
		if byReader(b.commands) {
			continue
		}
		t.Run(fmt.Sprintf("%d", i), func(t *testing.T) {
			// What a block sets, later ones see.
			script := "set -a; [ -f state ] && . ./state; set +a\n" + put.Replace(b.commands) + "\nset +e; declare -p KEY >state 2>/dev/null; true\n"
			shell := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script)
			shell.Dir = dir
			shell.Env = append(withoutSettings(os.Environ()), "KURZ_DATA="+s.Data, "KURZ_BASE_URL="+s.URL)
			out, err := shell.CombinedOutput()
			if err != nil {
				t.Fatalf("%s\n%v\n%s", b.commands, err, out)
			}
			if missing := inOrder(string(out), put.Replace(b.output)); missing != "" {
				t.Errorf("%s\nis said to print %q, and prints:\n%s", b.commands, missing, out)
			}
		})
	}
}

// withoutSettings leaves out what kurz would take for a setting of its own.
func withoutSettings(environ []string) []string {
	return slices.DeleteFunc(environ, func(e string) bool { return strings.HasPrefix(e, "KURZ_") })
}

// byReader reports whether a block holds the two commands of the beginning.
func byReader(commands string) bool {
	for line := range strings.Lines(commands) {
		switch strings.TrimSpace(line) {
		case "go run ./cmd/kurz serve", "make test":
		default:
			return false
		}
	}
	return true
}

type block struct{ commands, output string }

// fenced gives the blocks marked "sh", each with the "text" that follows it.
func fenced(markdown string) []block {
	var blocks []block
	for _, m := range regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```$").FindAllStringSubmatch(markdown, -1) {
		if m[1] == "sh" {
			blocks = append(blocks, block{commands: m[2]})
		} else if len(blocks) > 0 {
			blocks[len(blocks)-1].output += m[2]
		}
	}
	return blocks
}

// inOrder gives the first line of want that is not in out after the ones
// before it; "" if all are.
func inOrder(out, want string) string {
	lines := bytes.Split([]byte(out), []byte("\n"))
	for line := range strings.Lines(want) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line == "…" {
			continue
		}
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + `\s*$`)
		for {
			if len(lines) == 0 {
				return line
			}
			found := pattern.Match(lines[0])
			lines = lines[1:]
			if found {
				break
			}
		}
	}
	return ""
}

// TestReadmeNamesThere shows that every file that the documents link to is
// there.
func TestReadmeNamesThere(t *testing.T) {
	documents, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(documents, more...) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", filepath.Base(document), m[1], err)
			}
		}
	}
}
