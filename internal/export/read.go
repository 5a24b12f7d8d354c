package export

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"kurz/internal/fault"
)

// Found is what Read found out about a file besides its rows.
type Found struct {
	Kind    string   // csv, json or sql
	Rows    int      // that were given to each
	Unknown []string // names in a JSON file that mean nothing to kurz, sorted
}

// Read reads a file of a format, of any size, and calls each with every row, in
// order; an error of each ends it and is given back. A file that is of no kind
// that the format has, or has columns that it does not know, or lacks those that
// are needed, is fault.ValidationFailed and says what was found and what is
// known. A row that can't be read has Row.Err.
func Read(f Format, r io.Reader, each func(*Row) error) (Found, error) {
	spec := formats[f]
	if spec == nil {
		return Found{}, fmt.Errorf("format %q", f)
	}
	in := &input{format: f, spec: spec, each: each, unknown: map[string]bool{}}
	text, first, err := OpenText(r)
	if err != nil {
		return Found{}, err
	}
	kind := "csv"
	switch {
	case first == '{' || first == '[':
		kind = "json"
		err = in.readJSON(text)
	case spec.table != "" && looksLikeSQL(text):
		kind = "sql"
		err = in.readSQL(text)
	default:
		err = in.readCSV(text)
	}
	return Found{Kind: kind, Rows: in.rows, Unknown: slices.Sorted(maps.Keys(in.unknown))}, err
}

// input is one Read.
type input struct {
	format  Format
	spec    *format
	each    func(*Row) error
	rows    int
	unknown map[string]bool
}

// give calls each with a row.
func (in *input) give(r *Row) error {
	in.rows++
	r.Number = in.rows
	if r.Err == nil && r.LongURL == "" {
		r.Err = errors.New("there is no destination")
	}
	slices.Sort(r.Lost)
	r.Lost = slices.Compact(r.Lost)
	return in.each(r)
}

// known tells which names a format knows, for people.
func (in *input) known() string {
	return strings.Join(slices.Sorted(maps.Keys(in.spec.names)), ", ")
}

func refuse(format string, args ...any) error {
	return fault.New(fault.ValidationFailed, format, args...)
}

// columns gives what the columns of a table mean.
func (in *input) columns(header []string) ([]field, error) {
	fields := make([]field, len(header))
	var unknown []string
	has := map[field]bool{}
	for i, name := range header {
		f := in.spec.names[plain(name)]
		if fields[i] = f; f == 0 {
			unknown = append(unknown, clip(name))
		}
		has[f] = true
	}
	switch {
	case len(unknown) > 0:
		return nil, refuse("This is no export of %s that kurz knows: columns %s are unknown; known are %s", in.format, few(unknown, 5), in.known())
	case !has[longURL]:
		return nil, refuse("No column of this export of %s is the destination; it has %s, known are %s", in.format, few(header, 50), in.known())
	}
	return fields, nil
}

// few gives the first names of a list that a stranger wrote, for a message.
func few(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// row makes a row of the cells of a table.
func (in *input) row(header []string, fields []field, cells []string, written bool) *Row {
	r := &Row{}
	if len(cells) != len(fields) {
		r.Err = fmt.Errorf("it has %d columns, the header %d", len(cells), len(fields))
		return r
	}
	for i, cell := range cells {
		if in.format == Kurz && written {
			cell = harmful(cell)
		} else {
			cell = strings.TrimSpace(cell)
		}
		if err := r.set(fields[i], header[i], cell); err != nil && r.Err == nil {
			r.Err = fmt.Errorf("%s: %w", header[i], err)
		}
	}
	return r
}

// OpenText gives a file's text as UTF-8, whether it is kept so or as UTF-16 with
// its mark, and the first byte that is no blank. What is not text, or has none, is
// fault.ValidationFailed.
func OpenText(r io.Reader) (text *bufio.Reader, first byte, err error) {
	if text, err = utf8Reader(r); err == nil {
		first, err = firstByte(text)
	}
	return text, first, err
}

// utf8Reader gives a file's text as UTF-8, without the mark that it may begin
// with.
func utf8Reader(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	mark, err := in.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.Equal(mark, []byte{0xef, 0xbb, 0xbf}):
		_, err = in.Discard(3)
	case bytes.HasPrefix(mark, []byte{0xff, 0xfe}):
		return bufio.NewReaderSize(&utf16Reader{in: in, order: binary.LittleEndian}, 64<<10), nil
	case bytes.HasPrefix(mark, []byte{0xfe, 0xff}):
		return bufio.NewReaderSize(&utf16Reader{in: in, order: binary.BigEndian}, 64<<10), nil
	default:
		err = nil
	}
	return in, err
}

// utf16Reader turns UTF-16 into UTF-8.
type utf16Reader struct {
	in      *bufio.Reader
	order   binary.ByteOrder
	begun   bool
	pending []byte
}

func (u *utf16Reader) unit() (uint16, error) {
	var b [2]byte
	_, err := io.ReadFull(u.in, b[:])
	return u.order.Uint16(b[:]), err
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	if !u.begun {
		u.begun = true
		if _, err := u.unit(); err != nil { // the mark
			return 0, err
		}
	}
	for len(u.pending) == 0 {
		first, err := u.unit()
		if err != nil {
			return 0, err
		}
		r := rune(first)
		if utf16.IsSurrogate(r) {
			second, err := u.unit()
			if err != nil {
				return 0, io.ErrUnexpectedEOF
			}
			r = utf16.DecodeRune(r, rune(second))
		}
		u.pending = utf8.AppendRune(u.pending, r)
	}
	n := copy(p, u.pending)
	u.pending = u.pending[:copy(u.pending, u.pending[n:])]
	return n, nil
}

// firstByte gives the first byte that is no blank, and leaves it. A file with a
// NUL near its beginning is no text.
func firstByte(in *bufio.Reader) (byte, error) {
	start, err := in.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if bytes.HasPrefix(start, []byte("\x1f\x8b")) {
		return 0, refuse("The file is packed by gzip: unpack it, or send it with Content-Encoding: gzip")
	}
	if bytes.IndexByte(start, 0) >= 0 {
		return 0, refuse("The file is not text")
	}
	start = bytes.TrimLeft(start, " \t\r\n")
	if len(start) == 0 {
		return 0, refuse("The file is empty")
	}
	return start[0], nil
}
