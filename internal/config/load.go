package config

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Sources are where settings come from, weakest first after the defaults: the
// file, the environment, the flags. An empty value stands for none given.
type Sources struct {
	// File is the settings file's path, of the flag --config; if it is empty,
	// KURZ_CONFIG in Environ names it.
	File    string
	Environ []string          // NAME=value, as os.Environ gives it
	Flags   map[string]string // values by the setting's name
	// ReadFile is os.ReadFile where nil.
	ReadFile func(name string) ([]byte, error)
}

// Loaded is what is in force, and from where.
type Loaded struct {
	Settings
	origins map[string]string
}

// Entry is one setting as it may be shown to people.
type Entry struct {
	Name  string `json:"name"`
	Value string `json:"value"` // "(hidden)" for a secret that is set
	From  string `json:"from"`
}

// Problems are all that is wrong with the settings.
type Problems []string

// Error lists the problems, one a line.
func (p Problems) Error() string {
	if len(p) == 1 {
		return p[0]
	}
	return fmt.Sprintf("%d settings are wrong:\n  %s", len(p), strings.Join(p, "\n  "))
}

// given is a value and where it stands.
type given struct {
	value, from string
}

type loader struct {
	known    map[string]bool
	values   map[string]given
	problems Problems
	readFile func(string) ([]byte, error)
}

// Load reads the settings. Its error is Problems.
func Load(src Sources) (*Loaded, error) {
	l := &loader{known: map[string]bool{prefix + configName: true}, values: map[string]given{}, readFile: src.ReadFile}
	if l.readFile == nil {
		l.readFile = os.ReadFile
	}
	fields := Fields()
	for _, f := range fields {
		l.known[f.Name] = true
		if f.Secret {
			l.known[f.Name+fileSuffix] = true
		}
	}
	l.file(src)
	l.environ(src.Environ)
	for name, value := range src.Flags {
		l.take(name, value, "flag")
	}
	loaded := &Loaded{origins: map[string]string{}}
	for _, f := range fields {
		l.set(loaded, f)
	}
	l.derive(loaded)
	l.check(&loaded.Settings)
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	return loaded, nil
}

// Entries lists all settings in the order of the struct, secrets hidden.
func (l *Loaded) Entries() []Entry {
	fields := Fields()
	entries := make([]Entry, 0, len(fields))
	for _, f := range fields {
		value := f.text(&l.Settings)
		if f.Secret && value != "" {
			value = "(hidden)"
		}
		entries = append(entries, Entry{Name: f.Name, Value: value, From: l.origins[f.Name]})
	}
	return entries
}

// Default reports whether the setting of this name was left out everywhere.
func (l *Loaded) Default(name string) bool { return strings.HasPrefix(l.origins[name], "default") }

func (l *loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

func (l *loader) take(name, value, from string) {
	if value != "" {
		l.values[name] = given{value, from}
	}
}

func (l *loader) file(src Sources) {
	path := src.File
	for _, pair := range src.Environ {
		if value, ok := strings.CutPrefix(pair, prefix+configName+"="); ok && path == "" {
			path = value
		}
	}
	if path == "" {
		return
	}
	data, err := l.readFile(path)
	if err != nil {
		l.problem("settings file: %v", err)
		return
	}
	lines, err := ParseFile(data)
	if err != nil {
		l.problem("settings file %s: %v", path, err)
		return
	}
	for _, line := range lines {
		switch {
		case line.Name == prefix+configName:
			l.problem("settings file %s: line %d: a settings file can't name another", path, line.Number)
		case !l.known[line.Name]:
			l.problem("settings file %s: line %d: %s", path, line.Number, l.unknown(line.Name))
		default:
			l.take(line.Name, line.Value, fmt.Sprintf("file %s:%d", path, line.Number))
		}
	}
}

func (l *loader) environ(environ []string) {
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case !strings.HasPrefix(name, prefix):
		case l.known[name]:
			l.take(name, value, "environment")
		default:
			l.problem("environment: %s", l.unknown(name))
		}
	}
}

// set gives the field its value from the strongest source that has one.
func (l *loader) set(loaded *Loaded, f Field) {
	value, isGiven := l.values[f.Name]
	if f.Secret {
		file, hasFile := l.values[f.Name+fileSuffix]
		switch {
		case isGiven && hasFile:
			l.problem("%s and %s%s are both given: leave one out", f.Name, f.Name, fileSuffix)
			return
		case hasFile:
			data, err := l.readFile(file.value)
			if err != nil {
				l.problem("%s%s: %v", f.Name, fileSuffix, err)
				return
			}
			text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
			if text == "" {
				l.problem("%s%s: %s is empty", f.Name, fileSuffix, file.value)
				return
			}
			value, isGiven = given{text, fmt.Sprintf("%s (%s)", file.value, file.from)}, true
		}
	}
	if !isGiven {
		value = given{f.Default, "default"}
	}
	loaded.origins[f.Name] = value.from
	if value.value == "" {
		return
	}
	if err := f.set(&loaded.Settings, value.value); err != nil {
		l.problem("%s (%s): %v", f.Name, value.from, err)
		l.fallBack(loaded, f)
	}
}

// fallBack gives a field whose value can't be read its default, so that what
// is wrong with the others can be told at once. Nothing is ever run with it.
func (l *loader) fallBack(loaded *Loaded, f Field) {
	if f.Default == "" {
		return
	}
	if err := f.set(&loaded.Settings, f.Default); err != nil {
		l.problem("%s: its default: %v", f.Name, err)
	}
}

// derive takes the default base URL's port from KURZ_LISTEN, and its scheme from
// whether there is a certificate, so that a server that is only told these gives
// out short URLs that work.
func (l *loader) derive(loaded *Loaded) {
	if !loaded.Default(prefix + "BASE_URL") {
		return
	}
	base, from := *loaded.BaseURL, ""
	_, port, err := net.SplitHostPort(loaded.Listen)
	if n, _ := strconv.Atoi(port); err == nil && n != 0 && !loaded.Default(prefix+"LISTEN") {
		base.Host, from = net.JoinHostPort("localhost", port), "default, with the port of KURZ_LISTEN"
	}
	if loaded.TLSCert != "" && !loaded.ACME {
		base.Scheme, from = "https", cmp.Or(from, "default")+", by TLS"
	}
	if from != "" {
		loaded.BaseURL, loaded.origins[prefix+"BASE_URL"] = &base, from
	}
}

// unknown says that there is no such setting, and which one may be meant.
func (l *loader) unknown(name string) string {
	if plain, ok := strings.CutSuffix(name, fileSuffix); ok && l.known[plain] {
		return fmt.Sprintf("%s is not a setting: only secrets are read from files, so set %s", name, plain)
	}
	best, least := "", len(name)/3+1
	for known := range l.known {
		if d := distance(name, known); d < least || d == least && best != "" && known < best {
			best, least = known, d
		}
	}
	if best != "" {
		return fmt.Sprintf("%s is not a setting: did you mean %s?", name, best)
	}
	return fmt.Sprintf("%s is not a setting: 'kurz config' lists them", name)
}

// distance is the number of letters to insert, remove or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
