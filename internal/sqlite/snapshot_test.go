package sqlite_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	zs "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/link"
	"kurz/internal/sqlite"
)

// rowsOf gives all rows of a snapshot, by table.
func rowsOf(t *testing.T, s *sqlite.Snapshot) map[string][]string {
	t.Helper()
	tables, err := s.Tables()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, table := range tables {
		rows := []string{}
		if err := s.Each(table, func(row []byte) error { rows = append(rows, string(row)); return nil }); err != nil {
			t.Fatal(err)
		}
		if int64(len(rows)) != table.Rows {
			t.Errorf("%s: %d rows, %d counted", table.Name, len(rows), table.Rows)
		}
		all[table.Name] = rows
	}
	return all
}

// A snapshot is one moment, also while its file is written to and its log would
// be folded; a restoration has the same rows, and the indexes of its schema.
func TestSnapshotAndRestoration(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kurz.db")
	db := open(t, path, sqlite.Options{})
	links := sqlite.NewLinks(db)
	now := time.Now().UTC().Truncate(time.Millisecond)
	insert := func(i int) {
		t.Helper()
		_, _, err := links.Insert(t.Context(), link.New{At: now, Link: link.Link{
			Key: link.Key{Code: link.Code(fmt.Sprintf("c%06d", i))}, ID: link.ID(i), Owner: 5, Destination: "https://example.org/",
			Notes: strings.Repeat("n", 3000), Operation: link.Operation{byte(i), byte(i >> 8), 1}, RedirectStatus: 302, CreatedAt: now, UpdatedAt: now, Version: 1,
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		insert(i + 1)
	}
	s, err := sqlite.OpenSnapshot(t.Context(), path, sqlite.Main)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 { // some 10 MB of log
		insert(i + 1001)
	}
	want := rowsOf(t, s)
	if len(want["links"]) != 100 || want["idempotency"] != nil {
		t.Errorf("%d links, %d requests", len(want["links"]), len(want["idempotency"]))
	}
	tables, err := s.Tables()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.db")
	r, err := sqlite.NewRestoration(t.Context(), other, sqlite.Main, s.Schema())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if err := r.Begin(table.Name, table.Columns); err != nil {
			t.Fatal(err)
		}
		if err := s.Each(table, r.Row); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(r.Finish(), s.Close()); err != nil {
		t.Fatal(err)
	}
	copied, err := sqlite.OpenSnapshot(t.Context(), other, sqlite.Main)
	if err != nil {
		t.Fatal(err)
	}
	got := rowsOf(t, copied)
	for name, rows := range want {
		if !slices.Equal(rows, got[name]) {
			t.Errorf("%s has other rows", name)
		}
	}
	if err := errors.Join(copied.Check(), copied.Close()); err != nil {
		t.Error(err)
	}
	if a, b := schemaOf(t, path), schemaOf(t, other); a != b {
		t.Errorf("another schema:\n%s\n%s", a, b)
	}
	// It is a file like any other.
	if l, err := sqlite.NewLinks(open(t, other, sqlite.Options{})).Get(t.Context(), link.Key{Code: "c000007"}); err != nil || l.ID != 7 {
		t.Errorf("%+v, %v", l, err)
	}
}

func schemaOf(t *testing.T, path string) string {
	t.Helper()
	c, err := zs.OpenConn(path, zs.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	err = sqlitex.Execute(c, `SELECT type, name, sql FROM sqlite_schema ORDER BY type, name`, &sqlitex.ExecOptions{ResultFunc: func(s *zs.Stmt) error {
		fmt.Fprintln(&text, s.ColumnText(0), s.ColumnText(1), s.ColumnText(2))
		return nil
	}})
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestRestorationRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := sqlite.NewRestoration(t.Context(), filepath.Join(dir, "a"), sqlite.Main, 99); err == nil || !strings.Contains(err.Error(), "schema 99, this program knows up to") {
		t.Errorf("a newer schema: %v", err)
	}
	path := filepath.Join(dir, "b")
	r, err := sqlite.NewRestoration(t.Context(), path, sqlite.Main, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.NewRestoration(t.Context(), path, sqlite.Main, 1); err == nil {
		t.Error("a file that is there")
	}
	for name, columns := range map[string][]string{"nothing": {"id"}, "jobs": {"id"}, "users": {"id", "email"}} {
		if err := r.Begin(name, columns); err == nil {
			t.Errorf("table %s with %q", name, columns)
		}
	}
	if err := r.Begin("link_changes", []string{"mark", "domain", "code"}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"", "n", "nnnn", "x\x01nn", "t\x05abnn", "i", "f1234567nn", "nt\x01at\x01b\x00"} {
		if err := r.Row([]byte(row)); err == nil {
			t.Errorf("row %q", row)
		}
	}
	if err := r.Row([]byte("i\x02t\x00t\x03abc")); err != nil {
		t.Error(err)
	}
	if err := r.Begin("link_changes", []string{"mark", "domain", "code"}); err == nil {
		t.Error("a table twice")
	}
	if err := r.Finish(); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("tables missing: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := sqlite.OpenSnapshot(t.Context(), filepath.Join(dir, "none"), sqlite.Main); err == nil {
		t.Error("a snapshot of nothing")
	}
}
