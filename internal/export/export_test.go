package export_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kurz/internal/export"
	"kurz/internal/fault"
)

var update = flag.Bool("update", false, "write what is read of testdata into its golden files")

// told is a row as the golden files have it.
type told struct {
	export.Row
	Err string `json:",omitempty"`
}

func readAll(t testing.TB, f export.Format, data []byte) ([]told, export.Found, error) {
	t.Helper()
	var rows []told
	found, err := export.Read(f, bytes.NewReader(data), func(r *export.Row) error {
		row := told{Row: *r}
		if r.Err != nil {
			row.Err = r.Err.Error()
		}
		row.Row.Err = nil
		rows = append(rows, row)
		return nil
	})
	return rows, found, err
}

// Each file of testdata is written to the documentation of whose export it is:
// FORMAT.KIND. What is read of it stands in FORMAT.KIND.golden.
func TestFilesOfOthers(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[export.Format]bool{}
	for _, file := range files {
		name, kind, _ := strings.Cut(filepath.Base(file), ".")
		if strings.HasSuffix(kind, ".golden") || name == "fuzz" {
			continue
		}
		format, err := export.ParseFormat(name)
		if err != nil {
			t.Fatal(err)
		}
		tried[format] = true
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rows, found, err := readAll(t, format, data)
		if err != nil || found.Kind != kind || found.Rows != len(rows) {
			t.Errorf("%s: %+v, %v", file, found, err)
		}
		if bytes.Contains(fmt.Append(nil, rows), []byte("192.0.2")) {
			t.Errorf("%s: someone's address was read", file)
		}
		got, err := json.MarshalIndent(map[string]any{"rows": rows, "unknown": found.Unknown}, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		golden := file + ".golden"
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
		// The same in other encodings.
		for name, other := range map[string][]byte{"BOM": append([]byte("\ufeff"), data...), "UTF-16": inUTF16(data), "CRLF": bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))} {
			same, _, err := readAll(t, format, other)
			if diff := cmp.Diff(rows, same); diff != "" || err != nil {
				t.Errorf("%s, %s: %v\n%s", file, name, err, diff)
			}
		}
	}
	for _, f := range export.Formats {
		if f != export.Kurz && !tried[f] {
			t.Errorf("no file of %s", f)
		}
	}
}

func inUTF16(data []byte) []byte {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(string(data))) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return out
}

// What kurz wrote, kurz reads again, whatever people wrote into it.
func TestWhatIsWrittenIsRead(t *testing.T) {
	texts := rapid.OneOf(rapid.StringMatching(`['=+@ \t\r\n",;a|\[-]{0,6}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		moment := func(name string) time.Time {
			ms := rapid.Int64Range(0, 4e12).Draw(t, name)
			if ms%3 == 0 {
				return time.Time{}
			}
			return time.UnixMilli(ms).UTC()
		}
		text := func(name string) string {
			return strings.ToValidUTF8(strings.ReplaceAll(texts.Draw(t, name), "\x00", ""), "?")
		} // links have no NUL
		var tags []string
		for _, tag := range rapid.SliceOfN(texts, 0, 4).Draw(t, "tags") {
			if tag = strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(tag, "\x00", ""), "?")); tag != "" {
				tags = append(tags, tag)
			}
		}
		l := export.Link{
			ShortCode: "abc", ShortURL: "https://go.example/abc", Domain: "go.example", LongURL: "https://example.com/?" + text("query"),
			Status: "active", Clicks: rapid.Int64Range(0, 1<<60).Draw(t, "clicks"), PriorClicks: 3, Owner: "usr_1", OwnerEmail: "=ann@example.org", Title: text("title"), Notes: text("notes"),
			Tags: tags, ContentID: text("content_id"), RedirectStatus: 307, EdgeTTL: 60, ForwardQuery: rapid.Bool().Draw(t, "forward"), ExpiredURL: "https://example.com/over",
			CreatedAt: moment("created"), UpdatedAt: moment("updated"), StartsAt: moment("starts"), ExpiresAt: moment("expires"), RevokedAt: moment("revoked"),
		}
		if rapid.Bool().Draw(t, "alias") {
			l.CustomAlias = l.ShortCode
		}
		want := export.Row{
			Number: 1, ShortCode: l.ShortCode, Domain: l.Domain, LongURL: l.LongURL, Alias: l.CustomAlias != "", Owner: l.Owner, OwnerEmail: l.OwnerEmail, Title: l.Title, Notes: l.Notes,
			Tags: l.Tags, ContentID: l.ContentID, RedirectStatus: 307, EdgeTTL: 60, ForwardQuery: l.ForwardQuery, ExpiredURL: l.ExpiredURL, Clicks: l.Clicks,
			CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt, StartsAt: l.StartsAt, ExpiresAt: l.ExpiresAt, RevokedAt: l.RevokedAt,
		}
		var asCSV, asJSON bytes.Buffer
		w, err := export.NewCSV(&asCSV)
		if err == nil {
			err = errors.Join(w.Write(&l), w.Flush())
		}
		lines := export.NewJSONLines(&asJSON)
		if err = errors.Join(err, lines.Write(&l), lines.Write(&l), lines.Flush()); err != nil {
			t.Fatal(err)
		}
		for _, file := range []*bytes.Buffer{&asCSV, &asJSON} {
			var got []export.Row
			_, err := export.Read(export.Kurz, bytes.NewReader(file.Bytes()), func(r *export.Row) error { got = append(got, *r); return nil })
			if err != nil || len(got) == 0 {
				t.Fatalf("%v: %q", err, file)
			}
			if diff := cmp.Diff(want, got[0]); diff != "" {
				t.Fatalf("%s\n%q", diff, file)
			}
		}
	})
}

func TestNoCellIsAFormula(t *testing.T) {
	for _, text := range []string{"=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1", "\n@", "＝1", "'=1", "''=1"} {
		var out bytes.Buffer
		w, err := export.NewCSV(&out)
		if err == nil {
			err = errors.Join(w.Write(&export.Link{LongURL: "https://example.com/", Title: text}), w.Flush())
		}
		if err != nil {
			t.Fatal(err)
		}
		if row := out.String(); !strings.Contains(row, "'"+text) {
			t.Errorf("%q: %q", text, row)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name   string
		format export.Format
		data   string
		want   string
	}{
		{"nothing", export.CSV, "  \n", "is empty"},
		{"no text", export.CSV, "PK\x03\x04\x00\x00", "is not text"},
		{"packed", export.CSV, "\x1f\x8b\x08\x00\x00", "Content-Encoding: gzip"},
		{"unknown columns", export.Shlink, "shortCode,longUrl,colour\na,b,c\n", `columns "colour" are unknown; known are crawlable, createdat, `},
		{"very many", export.Dub, "url" + strings.Repeat(",colour", 20_000) + "\n", strings.Repeat(`"colour", `, 4) + `"colour" and 19995 more are unknown; known are`},
		{"one column, very often", export.Kurz, strings.Repeat("title,", 20_000) + "title\n", "title, title and 19951 more, known are"},
		{"no destination", export.Kurz, "short_code,title\na,b\n", "No column of this export of kurz is the destination; it has short_code, title"},
		{"another's columns", export.YOURLS, "Short link,Destination URL\na,b\n", `columns "Short link", "Destination URL" are unknown`},
		{"another's document", export.Shlink, `{"version":9,"urls":[]}`, `it has "urls, version", and neither a list of links (shorturls, data) nor a link`},
		{"a list of texts", export.Dub, `["a"]`, `has "a" in it`},
		{"no list", export.Kutt, `{"data":7}`, "The list of links is 7"},
		{"cut JSON", export.Kutt, `{"data":[{"target":"https://example.com/"}`, "cut off"},
		{"no JSON", export.Kutt, `{"data":[}`, "no JSON"},
		{"a broken first line", export.Kurz, `{"long_url":"https://example.com/` + "\n{\"long_url\":\"https://example.com/\"}\n", "is no JSON"},
		{"numbers", export.Kurz, "{\"items\":[]}\n7", "7 where an object should be"},
		{"an endless text", export.Kutt, `{"data":["` + strings.Repeat("x", 8<<20), "has a row of more than 1048576 bytes"},
		{"endless blanks", export.Kutt, `{"data":[` + strings.Repeat(" ", 8<<20), "has a row of more than 1048576 bytes"},
		{"what separates alone", export.CSV, "sep=;", "has no header"},
		{"an open quote", export.CSV, "url\n\"https://example.com/", "within quotes"},
		{"no UTF-8", export.CSV, "url,title\nhttps://example.com/,\xff\n", "neither UTF-8 nor UTF-16"},
		{"an endless row", export.CSV, "url\n\"" + strings.Repeat("x", 2<<20), "is a quote missing"},
		{"a dump of another table", export.YOURLS, "-- dump\nINSERT INTO `yourls_log` VALUES (1,'x;');\n", `into "yourls_log"`},
		{"a dump with other columns", export.YOURLS, "INSERT INTO `yourls_url` (`keyword`,`colour`) VALUES ('a','b');", `"colour" are unknown`},
		{"a cut dump", export.YOURLS, "INSERT INTO `yourls_url` VALUES ('a','b", "cut off"},
		{"a dump without values", export.YOURLS, "INSERT INTO `yourls_url` SELECT 1;", `"SELECT" where VALUES should be`},
	}
	for _, tt := range tests {
		_, _, err := readAll(t, tt.format, []byte(tt.data))
		if !fault.Is(err, fault.ValidationFailed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := export.ParseFormat("tinyurl"); !fault.Is(err, fault.ValidationFailed) {
		t.Error(err)
	}
	stop := errors.New("enough")
	if _, err := export.Read(export.CSV, strings.NewReader("url\nx\ny\n"), func(*export.Row) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// What spreadsheets make of a table is the same table.
func TestTablesOfSpreadsheets(t *testing.T) {
	const table = "url,title\nhttps://example.com/a,\"A\r\nB\"\nhttps://example.com/b,B\n"
	want, _, err := readAll(t, export.CSV, []byte(table))
	if err != nil || len(want) != 2 || want[0].Title != "A\r\nB" {
		t.Fatalf("%+v, %v", want, err)
	}
	semicolons := strings.ReplaceAll(table, ",", ";")
	crs := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(table, "\r\n", "~"), "\n", "\r"), "~", "\r\n")
	for name, data := range map[string]string{
		"what separates":              "sep=;\n" + semicolons,
		"what separates, in Windows":  "\ufeffSEP=;\r\n" + semicolons,
		"what separates, said once":   "sep=|\n" + strings.ReplaceAll(table, ",", "|"),
		"lines of old Macs":           crs,
		"what separates, on old Macs": "sep=;\r" + strings.ReplaceAll(crs, ",", ";"),
		"empty lines first":           "\n\n" + table,
	} {
		got, _, err := readAll(t, export.CSV, []byte(data))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

// A line that is broken costs no other one.
func TestBrokenLines(t *testing.T) {
	link := func(code string) string {
		return `{"short_code":"` + code + `","long_url":"https://example.com/"}`
	}
	long := `{"long_url":"https://example.com/` + strings.Repeat("x", 3<<20) + `"}`
	rows, found, err := readAll(t, export.Kurz, []byte("\n"+strings.Join([]string{
		link("one"), `{"long_url":"https://exa`, "", link("two"), "[7]", link("a") + link("b"), "\x01\xff", long, `{"title":"x"}`, link("three"), `{"long_url"`,
	}, "\n")))
	if err != nil || found.Kind != "json" || found.Rows != len(rows) {
		t.Errorf("%+v, %v", found, err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r.Number, " ", r.ShortCode, r.Err))
	}
	want := []string{
		"1 one", "2 line 3 is no JSON object: unexpected EOF", "3 two", `4 line 6 is no JSON object: it is "[7]"`, "5 line 7 is no JSON object: something follows it",
		"6 line 8 is no JSON object: invalid character '\\x01' looking for beginning of value", "7 line 9 is no JSON object: it has more than 1048576 bytes",
		"8 it has no destination", "9 three", "10 line 12 is no JSON object: unexpected EOF",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzRead shows that no bytes make a reader panic, and that what one gives can
// be written and read again.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, ".golden") {
			for i := range export.Formats {
				f.Add(uint8(i), data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		rows := 0
		found, err := export.Read(export.Formats[int(format)%len(export.Formats)], bytes.NewReader(data), func(r *export.Row) error {
			if rows++; r.Number != rows {
				t.Errorf("row %d is the %dth", r.Number, rows)
			}
			if r.Err == nil && r.LongURL == "" {
				t.Error("a row without destination")
			}
			return nil
		})
		if err == nil && found.Rows != rows {
			t.Errorf("%d rows, %d counted", rows, found.Rows)
		}
	})
}
