package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	zs "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/fault"
	"kurz/internal/sqlite"
)

func open(t *testing.T, path string, o sqlite.Options) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func run(sql string, args ...any) func(c *zs.Conn) error {
	return func(c *zs.Conn) error {
		return sqlitex.Execute(c, sql, &sqlitex.ExecOptions{Args: args})
	}
}

func count(t *testing.T, db *sqlite.DB, sql string) (n int) {
	t.Helper()
	err := sqlite.Read(db, t.Context(), func(c *zs.Conn) error {
		return sqlitex.Execute(c, sql, &sqlitex.ExecOptions{
			ResultFunc: func(s *zs.Stmt) error { n = s.ColumnInt(0); return nil },
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// notes makes a table to write to.
func notes(t *testing.T, db *sqlite.DB) {
	t.Helper()
	err := sqlite.Write(db, t.Context(), run("CREATE TABLE note (n INTEGER PRIMARY KEY, who TEXT)"))
	if err != nil {
		t.Fatal(err)
	}
}

func TestWriteKeepsOthersPartWhenOneFails(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
	notes(t, db)
	const n = 400
	sentinel := errors.New("changed my mind")
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := sqlite.Write(db, t.Context(), func(c *zs.Conn) error {
				if err := run("INSERT INTO note (n) VALUES (?)", i)(c); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return sentinel
				case 2:
					panic("oops")
				case 3:
					return run("INSERT INTO note (n) VALUES (?)", i)(c) // its own key again
				}
				return nil
			})
			if ok := err == nil; ok != (i%4 == 0) {
				t.Errorf("write %d: error %v", i, err)
			}
			if i%4 == 1 && !errors.Is(err, sentinel) {
				t.Errorf("write %d: error %v, want its own", i, err)
			}
		})
	}
	wg.Wait()
	if got := count(t, db, "SELECT count(*) FROM note"); got != n/4 {
		t.Errorf("%d rows kept, want %d", got, n/4)
	}
	if got := count(t, db, "SELECT count(*) FROM note WHERE n % 4 <> 0"); got != 0 {
		t.Errorf("%d rows of failed writes kept", got)
	}
}

func TestPanicInAReadIsItsError(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
	for range 20 { // more than there are connections
		if err := sqlite.Read(db, t.Context(), func(*zs.Conn) error { panic("oops") }); err == nil {
			t.Error("no error")
		}
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWriteOneKeepsOthersPartWhenOneFails(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
	notes(t, db)
	const n = 400
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			sql := "INSERT INTO note (n) VALUES (?)"
			if i%2 == 1 { // fails at its second row, and leaves none
				sql = "INSERT INTO note (n) SELECT value FROM json_each(json_array(?1 + 100000, ?1 + 100000))"
			}
			if err := sqlite.WriteOne(db, t.Context(), run(sql, i)); (err == nil) != (i%2 == 0) {
				t.Errorf("write %d: error %v", i, err)
			}
		})
	}
	wg.Wait()
	if got := count(t, db, "SELECT count(*) FROM note"); got != n/2 {
		t.Errorf("%d rows kept, want %d", got, n/2)
	}
}

func TestWriteIsDurableAndClosedIsUnavailable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	notes(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Write(db, t.Context(), run("SELECT 1")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("write after close: %v", err)
	}
	if err := sqlite.Read(db, t.Context(), run("SELECT 1")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("read after close: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	again := open(t, path, sqlite.Options{Existing: true})
	if got := count(t, again, "SELECT count(*) FROM note"); got != 0 {
		t.Errorf("%d rows", got)
	}
}

func TestWriteHonoursAContextThatEndedBefore(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	called := false
	err := sqlite.Write(db, ctx, func(*zs.Conn) error { called = true; return nil })
	if !errors.Is(err, context.Canceled) || called {
		t.Errorf("error %v, called %v", err, called)
	}
}

func TestALockedFileIsUnavailableAndRecovers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	db := open(t, path, sqlite.Options{BusyTimeout: 20 * time.Millisecond})
	notes(t, db)
	other, err := zs.OpenConn(path, zs.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := sqlitex.ExecuteTransient(other, "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	err = sqlite.Write(db, t.Context(), run("INSERT INTO note (n) VALUES (1)"))
	if f := fault.Of(err); f.Code != fault.Unavailable || f.RetryAfter <= 0 {
		t.Errorf("locked: %v, retry after %v", err, f.RetryAfter)
	}
	if got := count(t, db, "SELECT count(*) FROM note"); got != 0 {
		t.Errorf("reads beside a lock: %d rows", got)
	}
	if !db.LastWriteFailed() {
		t.Error("the failed write is not told")
	}
	if err := sqlitex.ExecuteTransient(other, "ROLLBACK", nil); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Write(db, t.Context(), run("INSERT INTO note (n) VALUES (2)")); err != nil {
		t.Errorf("after the lock: %v", err)
	}
	if db.LastWriteFailed() {
		t.Error("a failed write is told after one that did not fail")
	}
	if got := count(t, db, "SELECT sum(n) FROM note"); got != 2 {
		t.Errorf("sum %d: a refused write was kept", got)
	}
}

func TestScanIsInterruptedAndSeesOneSnapshot(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
	notes(t, db)
	err := sqlite.Scan(db, t.Context(), func(c *zs.Conn) error {
		before := 0
		read := func(s *zs.Stmt) error { before = s.ColumnInt(0); return nil }
		if err := sqlitex.Execute(c, "SELECT count(*) FROM note", &sqlitex.ExecOptions{ResultFunc: read}); err != nil {
			return err
		}
		if err := sqlite.Write(db, t.Context(), run("INSERT INTO note (n) VALUES (1)")); err != nil {
			return err
		}
		return sqlitex.Execute(c, "SELECT count(*) FROM note", &sqlitex.ExecOptions{ResultFunc: func(s *zs.Stmt) error {
			if got := s.ColumnInt(0); got != before {
				t.Errorf("second statement sees %d rows, the first saw %d", got, before)
			}
			return nil
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = sqlite.Scan(db, ctx, run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("endless scan: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	foreign := func(path string) error {
		c, err := zs.OpenConn(path, zs.OpenReadWrite|zs.OpenCreate)
		if err != nil {
			return err
		}
		defer c.Close()
		return sqlitex.ExecuteScript(c, "CREATE TABLE theirs (x); PRAGMA user_version=3;", nil)
	}
	tests := []struct {
		name    string
		make    func(path string) error
		options sqlite.Options
		want    string
	}{
		{"a missing file that must exist", nil, sqlite.Options{Existing: true}, "no database at"},
		{"another program's database", foreign, sqlite.Options{}, "another program"},
		{"a file that is no database", func(p string) error {
			return os.WriteFile(p, []byte(strings.Repeat("not a database ", 100)), 0o600)
		}, sqlite.Options{}, "not a database"},
		{"a schema from the future", func(p string) error {
			db, err := sqlite.Open(t.Context(), p, sqlite.Options{})
			if err != nil {
				return err
			}
			return errors.Join(sqlite.Write(db, t.Context(), run("PRAGMA user_version=9999")), db.Close())
		}, sqlite.Options{}, "newer"},
		{"an old schema that someone else is to migrate", func(p string) error {
			return os.WriteFile(p, nil, 0o600)
		}, sqlite.Options{KeepSchema: true}, "kurz migrate"},
		{"an unknown schema", nil, sqlite.Options{Schema: "other"}, "other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kurz.db")
			if tt.make != nil {
				if err := tt.make(path); err != nil {
					t.Fatal(err)
				}
			}
			db, err := sqlite.Open(t.Context(), path, tt.options)
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want it to say %q", err, tt.want)
			}
		})
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "kurz.db"), sqlite.Options{})
	notes(t, db)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestSeveralProcessesMayMigrateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kurz.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			have, want, err := db.SchemaVersion(t.Context(), sqlite.Main)
			if err != nil || have != want {
				t.Errorf("schema %d, want %d: %v", have, want, err)
			}
			if err := errors.Join(db.Check(t.Context()), db.Ping(t.Context()), db.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
