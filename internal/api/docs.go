package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	//go:embed docs.html
	docsSource string
	//go:embed docs.css
	docsStyle string
)

// renderDocs makes the readable page from the document: what programs read and
// what people read can't differ.
func renderDocs() (page, error) {
	var s spec
	if err := json.Unmarshal(document, &s, json.MatchCaseInsensitiveNames(true)); err != nil {
		return page{}, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	view, err := newView(&s)
	if err != nil {
		return page{}, err
	}
	t, err := template.New("docs").Parse(docsSource)
	if err != nil {
		return page{}, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, view); err != nil {
		return page{}, err
	}
	sum := sha256.Sum256([]byte(docsStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return newPage("text/html; charset=utf-8", policy, b.Bytes()), nil
}

// docsView is what the page shows.
type docsView struct {
	Style          template.CSS
	Title, Summary string
	Guides         []guide
	Groups         []group
	Schemas        []object
}

// guide is a chapter of the introduction.
type guide struct {
	ID, Title string
	Text      [][]span
}

// span is a run of text, or of code.
type span struct {
	Text string
	Code bool
}

type group struct {
	Name       string
	Text       []span
	Operations []entry
}

// entry is an operation on the page.
type entry struct {
	ID, Method, Path, Summary string
	Open                      bool // works without a key
	Text                      []span
	Parameters                []line
	Body                      string // the schema's name
	Curl                      string
	Results                   []result
}

// line describes a parameter or a property.
type line struct {
	Name, Type, Where string
	Schema            string // that Type names, "" for a plain type
	Required          bool
	Text              []span
	Values, Default   string
	Example           string
}

type result struct {
	Status, Schema string
	Text           []span
}

type object struct {
	Name    string
	Text    []span
	Lines   []line
	Example string
}

func newView(s *spec) (docsView, error) {
	v := docsView{
		Style: template.CSS(docsStyle), // embedded, not a stranger's
		Title: s.Info.Title, Summary: s.Info.Summary, Guides: guides(s.Info.Description),
	}
	for _, t := range s.Tags {
		v.Groups = append(v.Groups, group{Name: t.Name, Text: spans(t.Description)})
	}
	for _, p := range s.Paths {
		var shared []parameter
		for _, m := range p.Value {
			if m.Name == "parameters" {
				if err := json.Unmarshal(m.Value, &shared, json.MatchCaseInsensitiveNames(true)); err != nil {
					return v, fmt.Errorf("%s: %w", p.Name, err)
				}
				continue
			}
			var op operation
			if err := json.Unmarshal(m.Value, &op, json.MatchCaseInsensitiveNames(true)); err != nil {
				return v, fmt.Errorf("%s %s: %w", m.Name, p.Name, err)
			}
			op.Parameters = append(slices.Clip(shared), op.Parameters...)
			for i := range v.Groups {
				if slices.Contains(op.Tags, v.Groups[i].Name) {
					v.Groups[i].Operations = append(v.Groups[i].Operations, s.entry(strings.ToUpper(m.Name), p.Name, &op))
				}
			}
		}
	}
	for _, o := range s.Components.Schemas {
		v.Schemas = append(v.Schemas, s.object(o.Name, o.Value))
	}
	return v, nil
}

func (s *spec) entry(method, path string, op *operation) entry {
	e := entry{
		ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Text: spans(op.Description),
		Open: len(op.Security) == 0,
	}
	for _, way := range op.Security {
		e.Open = e.Open || len(way) == 0
	}
	for i, p := range op.Parameters {
		if p.Ref != "" {
			p = s.Components.Parameters.get(refName(p.Ref))
			op.Parameters[i] = p
		}
		l := newLine(p.Name, p.Schema)
		l.Where, l.Required, l.Text = p.In, p.Required, spans(p.Description)
		l.Example = plain(p.Example)
		e.Parameters = append(e.Parameters, l)
	}
	for _, m := range op.RequestBody.Content[:min(1, len(op.RequestBody.Content))] {
		e.Body = refName(m.Value.Schema.Ref)
	}
	for _, r := range op.Responses {
		if r.Value.Ref != "" {
			r.Value = s.Components.Responses.get(refName(r.Value.Ref))
		}
		to := result{Status: r.Name, Text: spans(r.Value.Description)}
		for _, m := range r.Value.Content {
			to.Schema = refName(m.Value.Schema.Ref)
		}
		e.Results = append(e.Results, to)
	}
	e.Curl = curl(method, path, op, len(op.Security) > 0)
	return e
}

func newLine(name string, s schema) line {
	l := line{Name: name, Type: s.typeText(), Text: spans(s.Description), Values: s.values(), Default: plain(s.Default)}
	switch {
	case s.Ref != "":
		l.Schema = refName(s.Ref)
	case s.Items != nil && s.Items.Ref != "":
		l.Schema = refName(s.Items.Ref)
	}
	return l
}

func (s *spec) object(name string, sch schema) object {
	o := object{Name: name, Text: spans(sch.Description)}
	if v := sch.values(); v != "" {
		o.Lines = append(o.Lines, line{Type: sch.typeText(), Values: v})
	}
	for _, p := range sch.Properties {
		l := newLine(p.Name, p.Value)
		l.Required = slices.Contains(sch.Required, p.Name)
		o.Lines = append(o.Lines, l)
		for _, inner := range p.Value.Properties {
			l := newLine(p.Name+"."+inner.Name, inner.Value)
			l.Required = slices.Contains(p.Value.Required, inner.Name)
			o.Lines = append(o.Lines, l)
		}
	}
	if len(sch.Examples) > 0 {
		o.Example = pretty(sch.Examples[0])
	}
	return o
}

// curl shows how to ask from a shell.
func curl(method, path string, op *operation, keyed bool) string {
	var b strings.Builder
	b.WriteString("curl ")
	if method != "GET" {
		b.WriteString("-X " + method + " ")
	}
	for _, p := range op.Parameters {
		if p.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", plain(p.Example))
		}
	}
	b.WriteString(`"$KURZ_SERVER` + path + `"`)
	if keyed {
		b.WriteString(" \\\n  -H \"Authorization: Bearer $KURZ_API_KEY\"")
	}
	for _, m := range op.RequestBody.Content[:min(1, len(op.RequestBody.Content))] {
		b.WriteString(" \\\n  -H 'Content-Type: " + m.Name + "'")
		b.WriteString(" \\\n  -d '" + string(compact(m.Value.Example)) + "'")
	}
	return b.String()
}

// plain gives a value as people write it: a string without its quotes.
func plain(v jsontext.Value) string {
	if v.Kind() != '"' {
		return string(v)
	}
	b, _ := jsontext.AppendUnquote(nil, v) // the document was read already: it is JSON
	return string(b)
}

func compact(v jsontext.Value) jsontext.Value {
	v = v.Clone()
	_ = v.Compact() // as above
	return v
}

func pretty(v jsontext.Value) string {
	v = v.Clone()
	_ = v.Indent(jsontext.WithIndent("  "))
	return string(v)
}

// guides cuts the introduction at its "## " headings.
func guides(text string) []guide {
	list := []guide{{}}
	for p := range strings.SplitSeq(text, "\n\n") {
		if title, ok := strings.CutPrefix(p, "## "); ok {
			id := strings.ToLower(strings.ReplaceAll(title, " ", "-"))
			list = append(list, guide{ID: id, Title: title})
			continue
		}
		last := &list[len(list)-1]
		last.Text = append(last.Text, spans(p))
	}
	return list
}

// spans finds the code between backquotes.
func spans(text string) []span {
	var list []span
	for i, part := range strings.Split(text, "`") {
		if part != "" {
			list = append(list, span{part, i%2 == 1})
		}
	}
	return list
}
