package api

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kurz/internal/fault"
)

// opt is a member of a body: left out, null, or a value. T is string, bool,
// int, time.Time or []string.
type opt[T any] struct {
	set, null bool
	value     T
}

// decode reads the member's value; the error is the reason shown to people.
func (o *opt[T]) decode(v jsontext.Value) error {
	if o.set = true; v.Kind() == 'n' {
		o.null = true
		return nil
	}
	return decodeValue(v, &o.value)
}

// patch gives a pointer to the new value: the zero value for null, which
// removes; nil if the member is left out.
func (o opt[T]) patch() *T {
	if !o.set {
		return nil
	}
	return &o.value
}

// decode reads a JSON object into dst, a pointer to a struct of opts, strictly:
// names are case-sensitive, and doubles, unknown names, invalid UTF-8 and
// anything after the object are refused. Text that is not JSON is
// fault.MalformedJSON; every member that is wrong is named in the details of
// one fault.ValidationFailed. refused gives reasons for names that dst does
// not have, but the API knows.
func decode(body []byte, dst any, refused map[string]string) error {
	var details []fault.Detail
	err := eachMember(body, func(name string, v jsontext.Value) {
		f, ok := memberOf(dst, name)
		if !ok {
			reason := refused[name]
			if reason == "" {
				reason = "is not a field that is known here"
			}
			details = append(details, fault.Detail{Field: clip(name), Reason: reason})
			return
		}
		if err := f.decode(v); err != nil {
			details = append(details, fault.Detail{Field: name, Reason: err.Error()})
		}
	})
	if err != nil {
		return err
	}
	return invalid(details)
}

// invalid makes one fault of several details, nil of none.
func invalid(details []fault.Detail) error {
	if len(details) == 0 {
		return nil
	}
	all := make([]string, 0, len(details))
	for _, d := range details {
		all = append(all, d.Field+" "+d.Reason)
	}
	err := fault.New(fault.ValidationFailed, "%s", strings.Join(all, "; "))
	err.Details = details
	return err
}

type member interface{ decode(jsontext.Value) error }

// memberOf gives the opt of a struct, to which dst points, by its JSON name.
func memberOf(dst any, name string) (member, bool) {
	v := reflect.ValueOf(dst).Elem()
	t := v.Type()
	places, ok := memberPlaces.Load(t)
	if !ok {
		m := make(map[string]int, t.NumField())
		for i := range t.NumField() {
			m[t.Field(i).Tag.Get("json")] = i
		}
		places, _ = memberPlaces.LoadOrStore(t, m)
	}
	i, ok := places.(map[string]int)[name]
	if !ok {
		return nil, false
	}
	m, ok := v.Field(i).Addr().Interface().(member)
	return m, ok
}

// memberPlaces remembers, by a struct's reflect.Type, the numbers of its fields
// by their JSON names: a map[string]int.
var memberPlaces sync.Map

// maxDepth bounds the nesting of a body: none of ours needs more than two.
const maxDepth = 16

// maxMembers bounds the members of a body, so that refusing them one by one
// does not make an answer longer than the question.
const maxMembers = 64

// eachMember reads one object and nothing else. All of the body is read before
// the first member is given, so that what is given is JSON whatever follows.
func eachMember(body []byte, each func(name string, v jsontext.Value)) error {
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return fault.New(fault.MalformedJSON, "The body is empty: send a JSON object")
	}
	if bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) >= maxDepth {
		if err := checkDepth(body); err != nil {
			return err
		}
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	if d.PeekKind() != '{' {
		if _, err := d.ReadValue(); err != nil {
			return malformed(err)
		}
		if err := checkEnd(d); err != nil {
			return err
		}
		return fault.Invalid("body", "must be a JSON object")
	}
	if _, err := d.ReadToken(); err != nil {
		return malformed(err)
	}
	type pair struct {
		name  string
		value jsontext.Value
	}
	var few [8]pair
	pairs, more := few[:0], false
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return malformed(err)
		}
		name, from := token.String(), d.InputOffset()
		if _, err := d.ReadValue(); err != nil { // whose value lives until the next call only
			return malformed(err)
		}
		if len(pairs) < maxMembers {
			value := bytes.TrimLeft(body[from:d.InputOffset()], ": \t\r\n")
			pairs = append(pairs, pair{name, value})
		} else {
			more = true
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return malformed(err)
	}
	if err := checkEnd(d); err != nil {
		return err
	}
	if more {
		return fault.Invalid("body", "has more than %d members", maxMembers)
	}
	for _, p := range pairs {
		each(p.name, p.value)
	}
	return nil
}

// checkEnd makes sure that nothing follows a value.
func checkEnd(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return fault.New(fault.MalformedJSON, "The body goes on after its JSON value, at byte %d", d.InputOffset())
	}
	return nil
}

// checkDepth refuses a body that is nested too deep.
func checkDepth(body []byte) error {
	for d := jsontext.NewDecoder(bytes.NewBuffer(body)); ; {
		if _, err := d.ReadToken(); err != nil {
			return malformed(err)
		}
		switch d.StackDepth() {
		case 0:
			return nil
		case maxDepth:
			return fault.New(fault.MalformedJSON, "The body is nested more than %d deep", maxDepth-1)
		}
	}
}

// malformed tells what is wrong with the JSON, and where, without repeating it.
func malformed(err error) error {
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case ok && errors.Is(err, jsontext.ErrDuplicateName):
		return fault.Invalid(clip(syntax.JSONPointer.LastToken()), "is given twice")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Wrap(fault.MalformedJSON, err, "The body ends in the middle of its JSON")
	case ok:
		return fault.Wrap(fault.MalformedJSON, err, "The body is not valid JSON: at byte %d", syntax.ByteOffset)
	}
	return fault.Wrap(fault.MalformedJSON, err, "The body is not valid JSON")
}

// The reasons for which a value is refused, and a few bounds.
var (
	errString = errors.New("must be a string")
	errBool   = errors.New("must be true or false")
	errInt    = errors.New("must be a whole number")
	errList   = errors.New("must be a list of strings")
	errTime   = errors.New("must be a time such as 2026-11-22T10:00:00Z (RFC 3339), between 1970 and 9999")
)

func decodeValue(v jsontext.Value, dst any) (err error) {
	switch dst := dst.(type) {
	case *string:
		*dst, err = decodeString(v)
	case *bool:
		switch v.Kind() {
		case 't', 'f':
			*dst = v.Kind() == 't'
		default:
			err = errBool
		}
	case *int:
		*dst, err = decodeInt(v)
	case *time.Time:
		var s string
		if s, err = decodeString(v); err != nil {
			return errTime
		}
		*dst, err = parseTime(s)
	case *[]string:
		*dst, err = decodeList(v)
	default:
		err = errors.ErrUnsupported
	}
	return err
}

func decodeString(v jsontext.Value) (string, error) {
	if v.Kind() != '"' {
		return "", errString
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "", errString
	}
	return string(b), nil
}

// decodeInt takes 302.0 and 3.02e2 for 302, as JSON Schema does.
func decodeInt(v jsontext.Value) (int, error) {
	if v.Kind() != '0' {
		return 0, errInt
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, errInt
	}
	return int(f), nil
}

func decodeList(v jsontext.Value) ([]string, error) {
	if v.Kind() != '[' {
		return nil, errList
	}
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if _, err := d.ReadToken(); err != nil {
		return nil, errList
	}
	list := []string{}
	for d.PeekKind() != ']' {
		item, err := d.ReadValue()
		if err != nil {
			return nil, errList
		}
		s, err := decodeString(item)
		if err != nil {
			return nil, errList
		}
		list = append(list, s)
	}
	return list, nil
}

// timeShape is RFC 3339, section 5.6; package time takes more.
var timeShape = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$`)

// parseTime reads a time strictly by RFC 3339. The bounds keep it apart from
// the zero time, which stands for none, and in four digits.
func parseTime(s string) (time.Time, error) {
	if !timeShape.MatchString(s) {
		return time.Time{}, errTime
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	if err != nil {
		return time.Time{}, errTime
	}
	t = t.UTC().Truncate(time.Millisecond)
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, errTime
	}
	return t, nil
}

// clip shortens a stranger's text for a message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
