package api_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/api"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/link"
)

// readRows reads a file to its end, or to its fault.
func readRows(text string, f job.Format) (list []job.Row, err error) {
	rows, err := api.NewRows(strings.NewReader(text), f)
	for err == nil {
		var row job.Row
		if row, err = rows.Next(); err == nil {
			list = append(list, row)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return list, err
}

// inUTF16 gives a text in UTF-16 with its mark.
func inUTF16(s string, big bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

func TestRows(t *testing.T) {
	plain := []link.Creation{{LongURL: "https://a.example/"}, {LongURL: "https://b.example/", Title: "Größe"}}
	full := []link.Creation{{
		LongURL: "https://a.example/?x=1,2", Alias: "my-code", Domain: "go.example", ContentID: "c1", FindExisting: true, CodeLength: 9,
		Title: "a \"quoted\"\nline", Notes: "=1+1", Tags: []string{"a", "b"}, RedirectStatus: 301, EdgeTTL: time.Minute, ForwardQuery: true,
		StartsAt: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), ExpiresAt: time.Date(2031, 1, 1, 10, 0, 0, 0, time.UTC), ExpiredURL: "https://over.example/",
	}}
	const table = "long_url,title\nhttps://a.example/,\nhttps://b.example/,Größe\n"
	for name, test := range map[string]struct {
		format job.Format
		text   string
		want   []link.Creation
	}{
		"one column":               {job.CSV, "long_url\nhttps://a.example/\n", plain[:1]},
		"names in capitals":        {job.CSV, " Long_URL \nhttps://a.example/", plain[:1]},
		"ends of lines":            {job.CSV, strings.ReplaceAll(table, "\n", "\r\n"), plain},
		"semicolons":               {job.CSV, strings.ReplaceAll(table, ",", ";"), plain},
		"tabs":                     {job.CSV, strings.ReplaceAll(table, ",", "\t"), plain},
		"a word for Excel":         {job.CSV, "sep=;\r\n" + strings.ReplaceAll(table, ",", ";"), plain},
		"ends of old Macs":         {job.CSV, strings.ReplaceAll(table, "\n", "\r"), plain},
		"a mark":                   {job.CSV, "\ufeff" + table, plain},
		"UTF-16, little end first": {job.CSV, inUTF16(table, false), plain},
		"UTF-16, big end first":    {job.CSV, inUTF16(table, true), plain},
		"empty lines":              {job.CSV, "\n" + strings.ReplaceAll(table, "\n", "\n\n"), plain},
		"no rows":                  {job.CSV, "long_url\n", nil},
		"a list of failures":       {job.CSV, "row,long_url,code,error\n7,https://a.example/,INVALID_URL,no host\n", plain[:1]},
		"every column": {job.CSV, "long_url,custom_alias,domain,content_id,find_existing,code_length,title,notes,tags,redirect_status,edge_ttl,forward_query,starts_at,expires_at,expired_url\n" +
			`"https://a.example/?x=1,2",my-code,go.example,c1,yes,9,"a ""quoted""` + "\nline\",'=1+1,\"a,b\",301,60,TRUE,2030-01-01,2031-01-01T10:00:00Z,https://over.example/\n", full},
		"an array":           {job.JSON, ` [ {"long_url":"https://a.example/"} ,` + "\n" + `{"long_url":"https://b.example/","title":"Gr\u00f6ße"}] `, plain},
		"an empty array":     {job.JSON, "[]", nil},
		"an array in UTF-16": {job.JSON, inUTF16(`[{"long_url":"https://a.example/"}]`, false), plain[:1]},
		"objects":            {job.NDJSON, `{"long_url":"https://a.example/"}` + "\r\n\n" + `{"long_url":"https://b.example/","title":"Größe"}`, plain},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := readRows(test.text, test.format)
			if err != nil {
				t.Fatal(err)
			}
			var got []link.Creation
			for i, row := range list {
				if row.Err != nil || row.Number != int64(i+1) {
					t.Errorf("row %d as %d: %v", i+1, row.Number, row.Err)
				}
				got = append(got, row.Creation)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRowsAtFault has one bad row between two good ones.
func TestRowsAtFault(t *testing.T) {
	csv := func(header, row string) string {
		return "long_url" + header + "\nhttps://a.example/" + strings.Repeat(",", strings.Count(header, ",")) + "\n" + row +
			"\nhttps://b.example/" + strings.Repeat(",", strings.Count(header, ",")) + "\n"
	}
	array := func(row string) string {
		return `[{"long_url":"https://a.example/"},` + row + `,{"long_url":"https://b.example/"}]`
	}
	lines := func(row string) string {
		return `{"long_url":"https://a.example/"}` + "\n" + row + "\n" + `{"long_url":"https://b.example/"}`
	}
	for name, test := range map[string]struct {
		format job.Format
		text   string
		field  string // of the details; "" for none
	}{
		"too many cells":         {job.CSV, csv("", "https://a.example/?x=1,2"), "row"},
		"too few cells":          {job.CSV, csv(",title", "https://a.example/"), "row"},
		"no destination":         {job.CSV, csv(",title", ",x"), "long_url"},
		"a bad number":           {job.CSV, csv(",redirect_status", "https://a.example/,many"), "redirect_status"},
		"a zero":                 {job.CSV, csv(",code_length", "https://a.example/,0"), "code_length"},
		"a bad truth":            {job.CSV, csv(",forward_query", "https://a.example/,perhaps"), "forward_query"},
		"a bad time":             {job.CSV, csv(",expires_at", "https://a.example/,soon"), "expires_at"},
		"an unknown member":      {job.JSON, array(`{"long_url":"https://x.example/","nope":1}`), "nope"},
		"a member twice":         {job.JSON, array(`{"long_url":"https://x.example/","long_url":"https://y.example/"}`), "long_url"},
		"a number in the array":  {job.JSON, array(`7`), "body"},
		"an array in the array":  {job.JSON, array("[\n1]"), "body"},
		"a line that is no JSON": {job.NDJSON, lines(`{"long_url":`), ""},
		"a line with two":        {job.NDJSON, lines(`{} {}`), ""},
		"a line of another type": {job.NDJSON, lines(`["https://a.example/"]`), "body"},
		"a name of the server":   {job.NDJSON, lines(`{"long_url":"https://a.example/","clicks":1}`), "clicks"},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := readRows(test.text, test.format)
			if err != nil || len(list) != 3 {
				t.Fatalf("%d rows, %v", len(list), err)
			}
			if list[0].Err != nil || list[2].Err != nil || list[2].Creation.LongURL != "https://b.example/" {
				t.Errorf("the rows around it: %+v", list)
			}
			f := fault.Of(list[1].Err)
			if f == nil || f.Code != fault.ValidationFailed && f.Code != fault.MalformedJSON {
				t.Fatalf("%v", list[1].Err)
			}
			if test.field != "" && !slices.ContainsFunc(f.Details, func(d fault.Detail) bool { return d.Field == test.field }) {
				t.Errorf("details %v, want one of %s", f.Details, test.field)
			}
			if len(list[1].Text) == 0 || bytes.ContainsAny(list[1].Text, "\n\r") {
				t.Errorf("text %q", list[1].Text)
			}
		})
	}
}

func TestFilesAtFault(t *testing.T) {
	long := strings.Repeat("x", job.MaxRow+1)
	for name, test := range map[string]struct {
		format job.Format
		text   string
		want   string
	}{
		"nothing":               {job.CSV, "", "empty"},
		"blanks":                {job.NDJSON, " \n ", "empty"},
		"no text":               {job.CSV, "long_url\x00\n", "not text"},
		"no text in JSON":       {job.JSON, "[\x00", "not text"},
		"another character set": {job.CSV, "long_url\nhttps://a.example/\xe4\n", "UTF-8"},
		"no destination":        {job.CSV, "title\nx\n", "long_url is needed"},
		"an unknown column":     {job.CSV, "long_url,colour\n", "colour is no column"},
		"very many of them":     {job.CSV, "title" + strings.Repeat(",colour", 20_000) + "\n", "; header has 19995 more columns that can't be taken; long_url is needed; header may have"},
		"no header":             {job.CSV, "sep=;\n", "no header"},
		"what may be":           {job.CSV, "long_url,colour\n", "custom_alias, domain, content_id"},
		"a column twice":        {job.CSV, "long_url,long_url\n", "long_url is given twice"},
		"a column of kurz":      {job.CSV, "long_url,clicks\n", "clicks is set by the server"},
		"an open quote":         {job.CSV, "long_url\n\"https://a.example/\n", "ends within quotes"},
		"a long row":            {job.CSV, "long_url\n" + long + "\n", "a row of more than 65536 bytes"},
		"no array":              {job.JSON, `{"long_url":"https://a.example/"}`, "JSON array"},
		"an array that is cut":  {job.JSON, `[{"long_url":"https://a.example/"}`, "middle"},
		"an array that goes on": {job.JSON, `[] []`, "goes on"},
		"an array at fault":     {job.JSON, `[{]`, "not valid JSON"},
		"a long element":        {job.JSON, `["` + long + `"]`, "a row of more than"},
		"an endless element":    {job.JSON, `["` + strings.Repeat(long, 40) + `"]`, "a row of more than"},
		"a long line":           {job.NDJSON, long, "a row of more than"},
		"empty lines":           {job.CSV, "long_url\n" + strings.Repeat("\n", 20_000), "empty lines"},
		"empty lines of JSON":   {job.NDJSON, "{}\n" + strings.Repeat("\n", 20_000), "empty lines"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readRows(test.text, test.format)
			if f := fault.Of(err); err == nil || f == nil || f.Code == fault.Internal || !strings.Contains(f.Message, test.want) {
				t.Errorf("%v; want one with %q", err, test.want)
			}
			_, err = cutAll(test.text, test.format)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("cut: %v; want one with %q", err, test.want)
			}
		})
	}
}

// cutAll reads the chunks of a file, one after the other.
func cutAll(text string, f job.Format) (list []job.Row, err error) {
	cutter, err := api.NewCutter(strings.NewReader(text), f)
	for err == nil {
		var chunk []byte
		var n int64
		if chunk, n, err = cutter.Next(); err != nil {
			break
		}
		if len(chunk) > job.MaxChunk {
			return nil, errors.New("a chunk is too large")
		}
		some, err := readRows(string(chunk), f)
		if err != nil || int64(len(some)) != n {
			return nil, errors.Join(errors.New("a chunk is no file with the rows that it is said to have"), err)
		}
		list = append(list, some...)
	}
	for i := range list {
		list[i].Number = int64(i + 1)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return list, err
}

// FuzzRows holds chunks against the file that they are cut from.
func FuzzRows(f *testing.F) {
	big := strings.Repeat("\"a\nb\",https://a.example/\n", 20_000)
	for format, texts := range map[job.Format][]string{
		job.CSV:    {"long_url\n\"https://a.example/\"\n", "title;long_url\n'=a;b\n\n;\n", inUTF16("long_url\nä\n", true), "title,long_url\n" + big},
		job.JSON:   {`[{"long_url":"https://a.example/"},[1,` + "\n" + `2],"x"]`, "[" + strings.Repeat(`{"long_url":"https://a.example/"},`, 10_000) + "1]"},
		job.NDJSON: {`{"long_url":"https://a.example/"}` + "\n\n[1]\n", strings.Repeat("{\"title\":\"äöü\"}\n", 30_000)},
	} {
		for _, text := range texts {
			f.Add(text, string(format))
		}
	}
	f.Fuzz(func(t *testing.T, text, format string) {
		whole, err := readRows(text, job.Format(format))
		cut, cutErr := cutAll(text, job.Format(format))
		if (err == nil) != (cutErr == nil) {
			t.Fatalf("whole: %v; cut: %v", err, cutErr)
		}
		if err != nil {
			return
		}
		tell := func(err error) string {
			if err == nil {
				return ""
			}
			return err.Error()
		}
		if diff := cmp.Diff(whole, cut, cmp.Comparer(func(a, b error) bool { return tell(a) == tell(b) })); diff != "" {
			t.Errorf("(-whole +cut):\n%s", diff)
		}
	})
}
