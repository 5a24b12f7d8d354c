package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"kurz/internal/fault"
)

// readJSON reads objects: a line each, those of an array, those of the list that
// the format names, or one after the other.
func (in *input) readJSON(text *bufio.Reader) error {
	lines := &lineReader{in: text}
	first, whole, err := lines.next()
	if err != nil {
		return err
	}
	if whole {
		if o, err := objectIn(first); err == nil && in.isLink(o) {
			return in.readLines(lines, o)
		}
	}
	values := &valueReader{in: io.MultiReader(bytes.NewReader(first), text)}
	d := json.NewDecoder(values)
	values.decoder = d
	d.UseNumber()
	for rows := -1; ; rows = in.rows {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && rows >= 0 {
			return nil
		}
		if err != nil {
			return badJSON(err)
		}
		switch t {
		case json.Delim('['):
			err = in.list(d)
		case json.Delim('{'):
			err = in.document(d)
		default:
			err = refuse("The file has %v where an object should be", t)
		}
		if err != nil {
			return err
		}
	}
}

// valueReader is what a decoder reads, which keeps the value that it reads.
type valueReader struct {
	in      io.Reader
	decoder *json.Decoder
	read    int64
}

func (v *valueReader) Read(p []byte) (int, error) {
	if v.read-v.decoder.InputOffset() > 4*maxRecord {
		return 0, refuse("The file has a row of more than %d bytes", maxRecord)
	}
	n, err := v.in.Read(p)
	v.read += int64(n)
	return n, err
}

func badJSON(err error) error {
	if fault.Is(err, fault.ValidationFailed) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse("The JSON of the file is cut off")
	}
	return refuse("The file is no JSON: %v", err)
}

// list reads the objects of an array whose bracket is read.
func (in *input) list(d *json.Decoder) error {
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			return badJSON(err)
		}
		if err := in.object(v); err != nil {
			return err
		}
	}
	return closed(d)
}

func closed(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return badJSON(err)
	}
	return nil
}

// document reads an object whose brace is read: one that holds the list of
// links, or one that is a link.
func (in *input) document(d *json.Decoder) error {
	members := map[string]any{}
	found := false
	var names []string
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return badJSON(err)
		}
		name, _ := t.(string)
		names = append(names, name)
		if slices.Contains(in.spec.lists, plain(name)) {
			found = true
			if err := in.holder(d); err != nil {
				return err
			}
			continue
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return badJSON(err)
		}
		members[name] = v
	}
	if err := closed(d); err != nil || found {
		return err
	}
	for name := range members {
		if in.spec.names[plain(name)] == longURL {
			return in.object(members)
		}
	}
	slices.Sort(names)
	return refuse("This is no export of %s that kurz knows: it has %s, and neither a list of links (%s) nor a link", in.format,
		clip(strings.Join(names, ", ")), strings.Join(in.spec.lists, ", "))
}

// holder reads what a list of links is in: an array, an object of links, or an
// object with the list in it.
func (in *input) holder(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return badJSON(err)
	}
	switch t {
	case json.Delim('['):
		return in.list(d)
	case json.Delim('{'):
		for d.More() {
			t, err := d.Token()
			if err != nil {
				return badJSON(err)
			}
			if name, _ := t.(string); slices.Contains(in.spec.lists, plain(name)) {
				if err := in.holder(d); err != nil {
					return err
				}
				continue
			}
			var v any
			if err := d.Decode(&v); err != nil {
				return badJSON(err)
			}
			// An object of links has them under any name; beside a list there may be
			// how many pages it has.
			if o, ok := v.(map[string]any); ok && in.isLink(o) {
				if err := in.object(o); err != nil {
					return err
				}
			}
		}
		return closed(d)
	}
	return refuse("The list of links is %v", t)
}

func (in *input) isLink(o map[string]any) bool {
	for name := range o {
		if in.spec.names[plain(name)] == longURL {
			return true
		}
	}
	return false
}

// object makes a row of an object.
func (in *input) object(v any) error {
	o, ok := v.(map[string]any)
	if !ok {
		return refuse("The list of links has %s in it", clip(fmt.Sprint(v)))
	}
	if !in.isLink(o) {
		r := &Row{Err: fmt.Errorf("it has no destination")}
		return in.give(r)
	}
	r := &Row{}
	in.members(r, "", o)
	return in.give(r)
}

// members sets what the members of an object say, in an order of their own:
// what says a code alone comes before what has a code in it.
func (in *input) members(r *Row, prefix string, o map[string]any) {
	for _, name := range slices.SortedStableFunc(namesOf(o), func(a, b string) int {
		return int(in.spec.names[prefix+plain(a)]) - int(in.spec.names[prefix+plain(b)])
	}) {
		full := prefix + plain(name)
		in.member(r, full, name, o[name])
	}
}

// namesOf gives the names of an object, sorted.
func namesOf(o map[string]any) iter.Seq[string] {
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Values(names)
}

func (in *input) member(r *Row, full, name string, v any) {
	f := in.spec.names[full]
	set := func(value string) {
		if f == 0 {
			in.unknown[name] = true
			return
		}
		if err := r.set(f, name, value); err != nil && r.Err == nil {
			r.Err = fmt.Errorf("%s: %w", name, err)
		}
	}
	switch v := v.(type) {
	case nil:
	case string:
		if f == tags {
			r.Tags = append(r.Tags, splitTags(v)...)
			return
		}
		set(v)
	case json.Number, bool:
		set(fmt.Sprint(v))
	case map[string]any:
		if f != 0 {
			if len(v) > 0 {
				set("an object")
			}
			return
		}
		in.members(r, full+".", v)
	case []any:
		in.array(r, f, full, name, v)
	}
}

func (in *input) array(r *Row, f field, full, name string, list []any) {
	if f == 0 && len(list) > 0 {
		in.unknown[name] = true
	}
	if f == lost && len(list) > 0 {
		r.Lost = append(r.Lost, name)
	}
	if f != tags {
		return
	}
	for _, v := range list {
		switch v := v.(type) {
		case string:
			r.Tags = append(r.Tags, v)
		case map[string]any:
			in.members(r, full+".", v)
		}
	}
}
