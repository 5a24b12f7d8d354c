package api

import (
	"reflect"
	"strings"

	"kurz/internal/click"
)

// Operation is a route as tests compare it with the document.
type Operation struct {
	Method, Path string
	Key          string // none, optional or required
	Query        []string
}

// Operations lists the routes.
func Operations() []Operation {
	var list []Operation
	for _, r := range routes() {
		key := map[need]string{public: "none", optional: "optional", required: "required"}[r.auth]
		list = append(list, Operation{r.method, r.path, key, r.query})
	}
	return list
}

// Fields gives the JSON names of the Go type behind each schema.
func Fields() map[string][]string {
	fields := map[string][]string{}
	for name, v := range map[string]any{
		"Link": linkJSON{}, "LinkCreate": createBody{}, "LinkPatch": patchBody{}, "LinkList": list[linkJSON]{},
		"Report": reportJSON{}, "Count": countJSON{}, "Bucket": bucketJSON{}, "Day": dayJSON{}, "Hour": hourJSON{},
		"Previous": previousJSON{}, "Change": changeJSON{}, "Missed": missedJSON{},
		"Click": clickJSON{}, "ClickList": list[clickJSON]{},
		"Me": meJSON{}, "Key": keyJSON{}, "NewKey": newKeyJSON{}, "KeyList": list[keyJSON]{}, "KeyCreate": keyBody{},
		"Shorten": shortenBody{}, "Shortened": shortened{}, "BulkJob": jobJSON{}, "BulkJobList": list[jobJSON]{},
	} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if tag := f.Tag.Get("json"); tag != "" {
				fields[name] = append(fields[name], tag)
			}
		}
	}
	return fields
}

// ClickColumns is the header row of the CSV form.
func ClickColumns() string { return strings.Join(clickColumns, ",") }

// What fuzz tests hold on to.
var (
	ParseClickCursor = parseClickCursor
	ClickCursor      = clickCursor
	Harmless         = harmless
	ParseJobCursor   = parseJobCursor
	ClickRow         = func(e click.Event) []string { return linked{Event: &e}.row() }
	ReportColumns    = strings.Join(reportColumns, ",")
)

// ParseCondition tells whether an If-Match field has this version.
func ParseCondition(field string, version int64) (matches bool, err error) {
	c, err := parseCondition(map[string][]string{"If-Match": {field}}, "If-Match")
	return c.matches(version), err
}
