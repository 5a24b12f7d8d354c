package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"kurz/internal/api"
	"kurz/internal/edge"
	"kurz/internal/fault"
)

// object is a JSON object of the document.
type object = map[string]any

// contract is the document, with what checks answers by it.
type contract struct {
	doc     object
	schemas *jsonschema.Compiler
}

const documentURL = "https://kurz.example/openapi.json"

func loadContract(tb testing.TB) *contract {
	tb.Helper()
	b, err := os.ReadFile("openapi.json")
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		tb.Fatal(err)
	}
	c := &contract{doc: parsed.(object), schemas: jsonschema.NewCompiler()}
	c.schemas.AssertFormat()
	if err := c.schemas.AddResource(documentURL, parsed); err != nil {
		tb.Fatal(err)
	}
	return c
}

// resolve follows a $ref.
func (c *contract) resolve(v any) object {
	o, _ := v.(object)
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	return c.at(ref)
}

// at gives what a reference within the document names.
func (c *contract) at(ref string) object {
	var v any = c.doc
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		v, _ = v.(object)[part]
	}
	o, _ := v.(object)
	return o
}

// operation finds what the document says of a request; nil if nothing.
func (c *contract) operation(method, path string) (op object, pointer string, known bool) {
	for pattern, item := range c.doc["paths"].(object) {
		if !fits(pattern, path) {
			continue
		}
		known = true
		name := strings.ToLower(method)
		if name == "head" {
			name = "get"
		}
		if o, ok := item.(object)[name].(object); ok {
			return o, "#/paths/" + strings.ReplaceAll(pattern, "/", "~1") + "/" + name, true
		}
	}
	return nil, "", known
}

func fits(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool {
		return w == g || strings.HasPrefix(w, "{") && g != ""
	})
}

// check holds a request and its answer against the document.
func (c *contract) check(r *http.Request, sent string, status int, h http.Header, body string) error {
	op, pointer, known := c.operation(r.Method, r.URL.EscapedPath())
	switch {
	case r.Method == http.MethodOptions && known:
		return nil
	case op == nil:
		if want := map[bool]int{true: 405, false: 404}[known]; status != want {
			return fmt.Errorf("status %d for what is not in the document, want %d", status, want)
		}
		if r.Method == http.MethodHead {
			return nil
		}
		return c.valid("#/components/schemas/Error", body)
	}
	said, ok := op["responses"].(object)[fmt.Sprint(status)]
	if !ok {
		return fmt.Errorf("status %d is not in the document", status)
	}
	response := c.resolve(said)
	for name := range asObject(response["headers"]) {
		optional := name == "Idempotency-Replayed" || strings.HasPrefix(name, "RateLimit")
		if h.Get(name) == "" && !optional {
			return fmt.Errorf("no %s with %d", name, status)
		}
	}
	if err := c.checkRequest(r, op, pointer, sent, status); err != nil {
		return err
	}
	content := asObject(response["content"])
	if r.Method == http.MethodHead || len(content) == 0 {
		if body != "" {
			return fmt.Errorf("a body with %s and %d", r.Method, status)
		}
		return nil
	}
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	media, ok := content[kind].(object)
	if !ok {
		return fmt.Errorf("Content-Type %q with %d is not in the document", kind, status)
	}
	if kind != "application/json" {
		return nil
	}
	if ref, ok := media["schema"].(object)["$ref"].(string); ok {
		return c.valid(ref, body)
	}
	return nil
}

// checkRequest says that the document refuses a body that the program took.
func (c *contract) checkRequest(r *http.Request, op object, pointer, sent string, status int) error {
	if status >= 300 || op["requestBody"] == nil {
		return nil
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind == "text/csv" || kind == "application/x-ndjson" {
		return nil // which no schema describes
	}
	if err := c.valid(pointer+"/requestBody/content/"+strings.ReplaceAll(kind, "/", "~1")+"/schema", sent); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	return nil
}

// valid checks JSON text against the schema that a reference names.
func (c *contract) valid(ref, text string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	return c.validValue(ref, v)
}

func (c *contract) validValue(ref string, v any) error {
	s, err := c.schemas.Compile(documentURL + ref)
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func asObject(v any) object {
	o, _ := v.(object)
	return o
}

func keys(v any) []string { return slices.Sorted(maps.Keys(asObject(v))) }

// TestDocumentRoutes compares routes and document, both ways.
func TestDocumentRoutes(t *testing.T) {
	c := loadContract(t)
	documented := map[string]api.Operation{}
	for path, item := range c.doc["paths"].(object) {
		for method, v := range item.(object) {
			if method == "parameters" {
				continue
			}
			op := v.(object)
			o := api.Operation{Method: strings.ToUpper(method), Path: path, Key: keyNeeded(op)}
			shared, _ := item.(object)["parameters"].([]any)
			own, _ := op["parameters"].([]any)
			for _, p := range slices.Concat(shared, own) {
				if p := c.resolve(p); p["in"] == "query" {
					o.Query = append(o.Query, p["name"].(string))
				}
			}
			slices.Sort(o.Query)
			documented[o.Method+" "+path] = o
		}
	}
	routed := map[string]api.Operation{}
	for _, o := range api.Operations() {
		o.Query = slices.Clone(o.Query)
		slices.Sort(o.Query)
		routed[o.Method+" "+o.Path] = o
	}
	if diff := cmp.Diff(routed, documented); diff != "" {
		t.Errorf("routes (-) and document (+) differ:\n%s", diff)
	}
}

func keyNeeded(op object) string {
	ways, _ := op["security"].([]any)
	if len(ways) == 0 {
		return "none"
	}
	for _, way := range ways {
		if len(way.(object)) == 0 {
			return "optional"
		}
	}
	return "required"
}

// TestDocumentFields compares Go types and schemas, both ways.
func TestDocumentFields(t *testing.T) {
	c := loadContract(t)
	schemas := c.at("#/components/schemas")
	fields := api.Fields()
	for name, list := range fields {
		slices.Sort(list)
		s := asObject(schemas[name])
		if diff := cmp.Diff(list, keys(s["properties"])); diff != "" {
			t.Errorf("%s: Go (-) and schema (+) differ:\n%s", name, diff)
		}
		if s["additionalProperties"] == false {
			continue // a request
		}
		var needed []string
		for _, r := range s["required"].([]any) {
			needed = append(needed, r.(string))
		}
		if slices.Sort(needed); !slices.Equal(needed, list) {
			t.Errorf("%s: every field is always there, but required is %v", name, needed)
		}
	}
	for name := range schemas {
		if _, ok := fields[name]; !ok && name != "Error" && name != "Status" {
			t.Errorf("schema %s has no Go type", name)
		}
	}
}

// TestDocumentWhole looks for references to nothing, parts that nothing refers
// to, and examples that break their own schema.
func TestDocumentWhole(t *testing.T) {
	c := loadContract(t)
	refs := map[string]bool{}
	walk("#", c.doc, func(_ string, o object) {
		if ref, ok := o["$ref"].(string); ok {
			refs[ref] = true
			if c.at(ref) == nil {
				t.Errorf("%s is nowhere", ref)
			}
		}
	})
	for kind, parts := range c.at("#/components") {
		for name := range parts.(object) {
			if ref := "#/components/" + kind + "/" + name; !refs[ref] && kind != "securitySchemes" {
				t.Errorf("nothing uses %s", ref)
			}
		}
	}
	walk("#", c.doc, func(at string, o object) {
		s := asObject(o["schema"])
		if example, ok := o["example"]; ok && s != nil {
			if err := c.validValue(at+"/schema", example); err != nil {
				t.Errorf("example of %s: %v", at, err)
			}
		}
		if examples, ok := o["examples"].([]any); ok {
			for _, example := range examples {
				if err := c.validValue(at, example); err != nil {
					t.Errorf("example of %s: %v", at, err)
				}
			}
		}
	})
}

func walk(at string, v any, visit func(at string, o object)) {
	switch v := v.(type) {
	case object:
		visit(at, v)
		for name, inner := range v {
			name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
			walk(at+"/"+name, inner, visit)
		}
	case []any:
		for i, inner := range v {
			walk(fmt.Sprintf("%s/%d", at, i), inner, visit)
		}
	}
}

// TestDocumentCodes compares the codes of errors in the document with those
// that have a status.
func TestDocumentCodes(t *testing.T) {
	c := loadContract(t)
	var codes []string
	b, err := json.Marshal(c.at("#/components/schemas/Error/properties/error/properties/code")["enum"])
	if err == nil {
		err = json.Unmarshal(b, &codes)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		if status := edge.Status(fault.Code(code)); status == http.StatusInternalServerError && code != "INTERNAL" {
			t.Errorf("%s has no status", code)
		}
	}
	for _, code := range []fault.Code{
		fault.InvalidURL, fault.ValidationFailed, fault.MalformedJSON, fault.BadRequest, fault.Unauthorized,
		fault.Forbidden, fault.URLNotFound, fault.NotFound, fault.MethodNotAllowed, fault.RateLimitExceeded,
		fault.AliasTaken, fault.AlreadyExists, fault.IdempotencyInProgress, fault.URLExpired, fault.URLRevoked,
		fault.PreconditionFailed, fault.PayloadTooLarge, fault.URITooLong, fault.HeaderTooLarge,
		fault.UnsupportedMediaType, fault.URLBlocked, fault.IdempotencyKeyReused, fault.Internal, fault.Unavailable,
	} {
		if !slices.Contains(codes, string(code)) {
			t.Errorf("%s is not in the document", code)
		}
	}
}
