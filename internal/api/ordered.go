package api

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// spec is what the page needs of the OpenAPI document, in the document's order.
type spec struct {
	Info struct {
		Title, Summary, Description string
	}
	Tags []struct {
		Name, Description string
	}
	Paths      ordered[ordered[jsontext.Value]]
	Components struct {
		Schemas    ordered[schema]
		Parameters ordered[parameter]
		Responses  ordered[response]
	}
}

// operation is one method of one path.
type operation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Security                          []map[string]jsontext.Value
	Parameters                        []parameter
	RequestBody                       struct{ Content ordered[media] }
	Responses                         ordered[response]
}

type parameter struct {
	Ref                   string `json:"$ref"`
	Name, In, Description string
	Required              bool
	Schema                schema
	Example               jsontext.Value
}

type response struct {
	Ref         string `json:"$ref"`
	Description string
	Content     ordered[media]
}

type media struct {
	Schema  schema
	Example jsontext.Value
}

type schema struct {
	Ref         string `json:"$ref"`
	Description string
	Type        jsontext.Value
	Format      string
	Enum        []jsontext.Value
	Default     jsontext.Value
	Items       *schema
	Required    []string
	Properties  ordered[schema]
	Examples    []jsontext.Value
}

// ordered is a JSON object whose members keep their order.
type ordered[T any] []named[T]

type named[T any] struct {
	Name  string
	Value T
}

// UnmarshalJSONFrom reads an object.
func (o *ordered[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		// The token's text is gone with the next read.
		m := named[T]{Name: name.String()}
		if err := json.UnmarshalDecode(d, &m.Value); err != nil {
			return err
		}
		*o = append(*o, m)
	}
	_, err := d.ReadToken()
	return err
}

func (o ordered[T]) get(name string) (v T) {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value
		}
	}
	return v
}

// refName gives the last part of a reference such as "#/components/schemas/Link".
func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// typeText describes a schema in a few words.
func (s schema) typeText() string {
	if s.Ref != "" {
		return refName(s.Ref)
	}
	var one string
	var several []string
	if json.Unmarshal(s.Type, &one) != nil && json.Unmarshal(s.Type, &several) == nil {
		one = strings.Join(several, " or ")
	}
	if s.Items != nil {
		one = strings.Replace(one, "array", "list of "+s.Items.typeText(), 1)
	}
	if s.Format == "date-time" {
		one = strings.Replace(one, "string", "time", 1)
	}
	return one
}

// values lists what the schema allows, where it says so.
func (s schema) values() string {
	texts := make([]string, 0, len(s.Enum))
	for _, v := range s.Enum {
		if v.Kind() != 'n' {
			texts = append(texts, plain(v))
		}
	}
	return strings.Join(texts, ", ")
}
