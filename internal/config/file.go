package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line is one assignment of a settings file.
type Line struct {
	Number int // from 1
	Name   string
	Value  string
}

// ParseFile reads a settings file: lines of NAME=value, empty lines, and lines
// that begin with '#'. A value may stand in single quotes, taken as it is, or
// in double quotes, where \\, \", \n and \t are escapes. Unquoted, spaces
// around it are dropped, and " #" is refused, because some readers of such
// files take it for a comment and others do not. Each name stands once.
func ParseFile(data []byte) ([]Line, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("is not UTF-8 text")
	}
	var lines []Line
	seen := map[string]int{}
	number := 0
	for raw := range strings.SplitSeq(text, "\n") {
		number++
		line := strings.TrimFunc(raw, isBlank)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimRightFunc(name, isBlank)
		if !ok || !isName(name) {
			return nil, fmt.Errorf("line %d: write NAME=value, or # before a comment", number)
		}
		value, err := parseValue(strings.TrimLeftFunc(value, isBlank))
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", number, name, err)
		}
		if first, twice := seen[name]; twice {
			return nil, fmt.Errorf("line %d: %s stands in line %d already", number, name, first)
		}
		seen[name] = number
		lines = append(lines, Line{Number: number, Name: name, Value: value})
	}
	return lines, nil
}

func parseValue(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	value := s
	var err error
	switch s[0] {
	case '\'':
		end := strings.IndexByte(s[1:], '\'')
		if len(s) < 2 || end != len(s)-2 {
			return "", fmt.Errorf("a single quote must close the value, and nothing may follow it")
		}
		value = s[1 : len(s)-1]
	case '"':
		if value, err = unquote(s); err != nil {
			return "", err
		}
	default:
		if i := strings.IndexByte(s, '#'); i > 0 && isBlank(rune(s[i-1])) {
			return "", fmt.Errorf("put the comment on a line of its own, or the value in quotes")
		}
	}
	if strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		return "", fmt.Errorf("holds a control character")
	}
	return value, nil
}

func unquote(s string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			if i != len(s)-1 {
				return "", fmt.Errorf("nothing may follow the closing quote")
			}
			return b.String(), nil
		case '\\':
			i++
			if i == len(s) {
				return "", fmt.Errorf("the closing quote is missing")
			}
			escaped, ok := map[byte]byte{'\\': '\\', '"': '"', 'n': '\n', 't': '\t'}[s[i]]
			if !ok {
				return "", fmt.Errorf("%q is not an escape: write \\\\ for a backslash", s[i-1:i+1])
			}
			b.WriteByte(escaped)
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("the closing quote is missing")
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' }

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return s != ""
}
