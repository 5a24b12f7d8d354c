package export

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// looksLikeSQL reports whether a file begins as dumps of MySQL do.
func looksLikeSQL(text *bufio.Reader) bool {
	start, _ := text.Peek(4096) // a shorter file is no error
	start = bytes.TrimLeft(start, " \t\r\n")
	for _, begin := range []string{"--", "/*", "#", "INSERT", "CREATE", "DROP", "SET", "LOCK", "USE", "START"} {
		if len(start) >= len(begin) && strings.EqualFold(string(start[:len(begin)]), begin) {
			return true
		}
	}
	return false
}

// readSQL reads the rows that a dump inserts into the format's table; the rest
// it skips.
func (in *input) readSQL(text *bufio.Reader) error {
	s := &sqlReader{in: text}
	found := false
	var tables []string
	for {
		word, err := s.word()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !strings.EqualFold(word, "insert") {
			if err := s.skip(); err != nil {
				return err
			}
			continue
		}
		table, err := s.insertInto()
		if err != nil {
			return err
		}
		if !strings.HasSuffix(table, in.spec.table) {
			tables = append(tables, table)
			if err := s.skip(); err != nil {
				return err
			}
			continue
		}
		found = true
		if err := in.inserted(s); err != nil {
			return err
		}
	}
	if !found {
		return refuse("This is no dump of %s that kurz knows: nothing is inserted into a table …%s, but into %s", in.format, in.spec.table, clip(strings.Join(tables, ", ")))
	}
	return nil
}

// inserted reads an INSERT from behind the table's name.
func (in *input) inserted(s *sqlReader) error {
	columns := in.spec.columns
	token, err := s.token()
	if err == nil && token == "(" {
		if columns, err = s.tuple(); err == nil {
			token, err = s.token()
		}
	}
	if err != nil {
		return err
	}
	if !strings.EqualFold(token, "values") {
		return refuse("The dump has %s where VALUES should be", clip(token))
	}
	fields, err := in.columns(columns)
	if err != nil {
		return err
	}
	for {
		if token, err = s.token(); err != nil {
			return cutOff(err)
		}
		if token != "(" {
			return refuse("The dump has %s where a row should be", clip(token))
		}
		cells, err := s.tuple()
		if err != nil {
			return err
		}
		if err := in.give(in.row(columns, fields, cells, false)); err != nil {
			return err
		}
		if token, err = s.token(); errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			return err
		case token == ",":
		case token == ";":
			return nil
		default: // such as ON DUPLICATE KEY UPDATE
			return s.skip()
		}
	}
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return refuse("The dump is cut off")
	}
	return err
}

// sqlReader takes a dump of MySQL or MariaDB apart.
type sqlReader struct {
	in     *bufio.Reader
	text   []byte
	inside bool // the last token was in quotes
}

// word gives the next token at the beginning of a statement.
func (s *sqlReader) word() (string, error) {
	for {
		t, err := s.token()
		if err != nil || t != ";" {
			return t, err
		}
	}
}

// insertInto gives the table of an INSERT, from behind that word.
func (s *sqlReader) insertInto() (string, error) {
	for {
		t, err := s.token()
		if err != nil {
			return "", cutOff(err)
		}
		switch strings.ToLower(t) {
		case "into", "ignore", "low_priority", "delayed":
			continue
		}
		// A name may have the database's before it.
		if next, _ := s.in.Peek(1); len(next) == 1 && next[0] == '.' {
			_, _ = s.in.Discard(1) // it was peeked at
			continue
		}
		return t, nil
	}
}

// tuple gives the values up to a closing bracket; NULL is "".
func (s *sqlReader) tuple() (values []string, err error) {
	for {
		t, err := s.token()
		if err != nil {
			return nil, cutOff(err)
		}
		if !s.inside && strings.EqualFold(t, "null") {
			t = ""
		}
		values = append(values, t)
		if len(values) > 1000 {
			return nil, refuse("A row of the dump has no end")
		}
		if t, err = s.token(); err != nil {
			return nil, cutOff(err)
		}
		switch t {
		case ",":
		case ")":
			return values, nil
		default:
			return nil, refuse("The dump has %s within a row", clip(t))
		}
	}
}

// skip goes behind the statement.
func (s *sqlReader) skip() error {
	for {
		t, err := s.token()
		if errors.Is(err, io.EOF) || t == ";" && !s.inside {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// token gives the next token: a sign, a word or number, or what is in quotes.
func (s *sqlReader) token() (string, error) {
	for s.inside = false; ; {
		b, err := s.in.ReadByte()
		if err != nil {
			return "", err
		}
		switch {
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
		case b == '#':
			err = s.comment("\n")
		case b == '-' && s.next('-'):
			err = s.comment("\n")
		case b == '/' && s.next('*'):
			err = s.comment("*/")
		case b == '\'' || b == '"' || b == '`':
			s.inside = true
			return s.quoted(b)
		case strings.IndexByte("(),;=", b) >= 0:
			return string(b), nil
		default:
			return s.bare(b)
		}
		if err != nil {
			return "", err
		}
	}
}

func (s *sqlReader) next(b byte) bool {
	next, _ := s.in.Peek(1) // the end is no b
	return len(next) == 1 && next[0] == b
}

// comment goes behind the end of a comment.
func (s *sqlReader) comment(end string) error {
	matched := 0
	for matched < len(end) {
		b, err := s.in.ReadByte()
		switch {
		case err != nil:
			return err
		case b == end[matched]:
			matched++
		case b == end[0]:
			matched = 1
		default:
			matched = 0
		}
	}
	return nil
}

// escapes are those of MySQL, string literals.
var escapes = map[byte]byte{'0': 0, 'b': '\b', 'n': '\n', 'r': '\r', 't': '\t', 'Z': 26}

func (s *sqlReader) quoted(quote byte) (string, error) {
	s.text = s.text[:0]
	for len(s.text) <= maxRecord {
		b, err := s.in.ReadByte()
		if err != nil {
			return "", cutOff(err)
		}
		switch {
		case b == '\\' && quote != '`':
			if b, err = s.in.ReadByte(); err != nil {
				return "", cutOff(err)
			}
			if to, ok := escapes[b]; ok {
				b = to
			}
		case b == quote && s.next(quote):
			_, _ = s.in.Discard(1) // it was peeked at
		case b == quote:
			if !utf8.Valid(s.text) {
				return "", refuse("The dump is not UTF-8: dump it with --default-character-set=utf8mb4")
			}
			return string(s.text), nil
		}
		s.text = append(s.text, b)
	}
	return "", refuse("A value of the dump has more than %d bytes: is a quote missing?", maxRecord)
}

func (s *sqlReader) bare(b byte) (string, error) {
	s.text = append(s.text[:0], b)
	for len(s.text) <= maxRecord {
		next, err := s.in.Peek(1)
		if err != nil || strings.IndexByte(" \t\r\n(),;='\"`.", next[0]) >= 0 && (next[0] != '.' || !isDigit(b)) {
			return string(s.text), nil
		}
		_, _ = s.in.Discard(1) // it was peeked at
		s.text = append(s.text, next[0])
	}
	return "", refuse("A word of the dump has more than %d bytes", maxRecord)
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
