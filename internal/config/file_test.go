package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/config"
)

func TestParseFile(t *testing.T) {
	tests := []struct {
		name, text string
		want       []config.Line
		err        string
	}{
		{"empty", "", nil, ""},
		{"comments and blanks", "\ufeff# one\r\n\n   # two\n", nil, ""},
		{"plain", "A=1\n  B = two words \r\nC=", []config.Line{{1, "A", "1"}, {2, "B", "two words"}, {3, "C", ""}}, ""},
		{"hash within a value", "A=https://x.example/#top", []config.Line{{1, "A", "https://x.example/#top"}}, ""},
		{"single quotes", `A=' a # "b" \n '`, []config.Line{{1, "A", ` a # "b" \n `}}, ""},
		{"double quotes", `A=" a # \"b\" \\ \n\t"`, []config.Line{{1, "A", " a # \"b\" \\ \n\t"}}, ""},
		{"quote within a value", `A=it's`, []config.Line{{1, "A", "it's"}}, ""},
		{"comment after a value", "A=1 # one", nil, "line 1: A: put the comment on a line of its own, or the value in quotes"},
		{"no equals", "\nA", nil, "line 2: write NAME=value, or # before a comment"},
		{"no name", "=1", nil, "line 1: write NAME=value, or # before a comment"},
		{"export", "export A=1", nil, "line 1: write NAME=value, or # before a comment"},
		{"digit first", "1A=1", nil, "line 1: write NAME=value, or # before a comment"},
		{"twice", "A=1\n\nA=2", nil, "line 3: A stands in line 1 already"},
		{"single quote open", "A='x", nil, "line 1: A: a single quote must close the value, and nothing may follow it"},
		{"one single quote", "A='", nil, "line 1: A: a single quote must close the value, and nothing may follow it"},
		{"text after single quotes", "A='x'y", nil, "line 1: A: a single quote must close the value, and nothing may follow it"},
		{"double quote open", `A="x`, nil, "line 1: A: the closing quote is missing"},
		{"double quote escaped at the end", `A="x\`, nil, "line 1: A: the closing quote is missing"},
		{"text after double quotes", `A="x"y`, nil, "line 1: A: nothing may follow the closing quote"},
		{"unknown escape", `A="\x"`, nil, `line 1: A: "\\x" is not an escape: write \\ for a backslash`},
		{"control character", "A=a\x00b", nil, "line 1: A: holds a control character"},
		{"not UTF-8", "A=\xff", nil, "is not UTF-8 text"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.ParseFile([]byte(tt.text))
			message := ""
			if err != nil {
				message = err.Error()
			}
			if message != tt.err {
				t.Errorf("error %q, want %q", message, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzParseFile: whatever is read can be written in double quotes and is then
// read alike.
func FuzzParseFile(f *testing.F) {
	for _, seed := range []string{"A=1", "# x\nA='y'\r\n", `A="\"\\\n"`, "A=1\nA=2", "\ufeffA=b#c", "A=\"", "A='", "=\x00"} {
		f.Add([]byte(seed))
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`)
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := config.ParseFile(data)
		if err != nil {
			return
		}
		var b strings.Builder
		want := make([]config.Line, len(lines))
		for i, line := range lines {
			want[i] = config.Line{Number: i + 1, Name: line.Name, Value: line.Value}
			b.WriteString(line.Name + `="` + escape.Replace(line.Value) + "\"\n")
		}
		got, err := config.ParseFile([]byte(b.String()))
		if err != nil {
			t.Fatalf("%q, written anew as %q: %v", data, b.String(), err)
		}
		if len(got) != len(want) || len(got) > 0 && !cmp.Equal(want, got) {
			t.Errorf("%q read as %v, then as %v", data, want, got)
		}
	})
}

// FuzzLoad: no value of any setting makes the loader fall over, and what it
// accepts is shown in a form that it accepts again and shows alike.
func FuzzLoad(f *testing.F) {
	for i, field := range config.Fields() {
		f.Add(uint8(i), field.Default)
		f.Add(uint8(i), "\x00%zz://[::1")
	}
	fields := config.Fields()
	f.Fuzz(func(t *testing.T, index uint8, value string) {
		field := fields[int(index)%len(fields)]
		loaded, err := config.Load(config.Sources{Flags: map[string]string{field.Name: value}})
		if err != nil || field.Secret {
			return
		}
		shown := loaded.Entries()[int(index)%len(fields)].Value
		again, err := config.Load(config.Sources{Flags: map[string]string{field.Name: shown}})
		if err != nil {
			t.Fatalf("%s=%q is shown as %q, which is refused: %v", field.Name, value, shown, err)
		}
		if got := again.Entries()[int(index)%len(fields)].Value; got != shown {
			t.Errorf("%s=%q is shown as %q, then as %q", field.Name, value, shown, got)
		}
	})
}
