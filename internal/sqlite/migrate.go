package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// migrations has a folder a Schema; in it, files NNNN_what.sql numbered from 1
// without a gap. A file that was released is never changed.
//
//go:embed migrations
var migrations embed.FS

// applicationID marks kurz's files ("kurz" in ASCII; see PRAGMA application_id).
const applicationID = 0x6b75727a

// migrate brings the file's schema up to date, each migration in a transaction
// of its own together with its number. Several processes may do it at once.
func migrate(ctx context.Context, c *sqlite.Conn, schema Schema, keep bool) error {
	scripts, err := migrationsOf(schema)
	if err != nil {
		return err
	}
	for {
		done, err := migrateOne(c, scripts, keep)
		if err != nil || done {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func migrateOne(c *sqlite.Conn, scripts []string, keep bool) (done bool, err error) {
	version, err := schemaVersion(c)
	if err != nil {
		return false, err
	}
	if version == len(scripts) {
		return true, nil
	}
	if version > len(scripts) {
		return false, fmt.Errorf("schema %d is newer than this program knows (%d): use the newer kurz that made it", version, len(scripts))
	}
	if keep {
		return false, fmt.Errorf("schema %d is older than this program needs (%d): run 'kurz migrate'", version, len(scripts))
	}
	end, err := sqlitex.ImmediateTransaction(c)
	if err != nil {
		return false, err
	}
	defer end(&err)
	// Another process may have been faster.
	if now, err := schemaVersion(c); err != nil || now != version {
		return false, err
	}
	return false, applyMigration(c, scripts[version], version)
}

// applyMigration brings a file of a version to the next one.
func applyMigration(c *sqlite.Conn, script string, version int) error {
	if err := sqlitex.ExecuteScript(c, script, nil); err != nil {
		return fmt.Errorf("migration %d: %w", version+1, err)
	}
	return pragmas(c,
		fmt.Sprintf("application_id=%d", applicationID),
		fmt.Sprintf("user_version=%d", version+1),
	)
}

// schemaVersion gives the number of the last migration; 0 for an empty file. A
// file that something else made is refused.
func schemaVersion(c *sqlite.Conn) (version int, err error) {
	id, tables := 0, 0
	// One statement, so that another process's migration is seen whole.
	err = sqlitex.ExecuteTransient(c, `SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_user_version, pragma_application_id`, &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error {
			version, id, tables = s.ColumnInt(0), s.ColumnInt(1), s.ColumnInt(2)
			return nil
		},
	})
	if err == nil && id != applicationID && (version != 0 || tables != 0) {
		err = fmt.Errorf("it is a database of another program: name another folder with --data")
	}
	return version, err
}

// SchemaVersion gives the file's schema and the newest that this program knows.
func (db *DB) SchemaVersion(ctx context.Context, schema Schema) (have, want int, err error) {
	scripts, err := migrationsOf(schema)
	if err != nil {
		return 0, 0, err
	}
	err = db.scan(ctx, func(c *sqlite.Conn) (err error) {
		have, err = schemaVersion(c)
		return err
	})
	return have, len(scripts), err
}

func migrationsOf(schema Schema) ([]string, error) {
	dir := path.Join("migrations", string(schema))
	entries, err := fs.ReadDir(migrations, dir)
	if err != nil {
		return nil, fmt.Errorf("schema %q: %w", schema, err)
	}
	scripts := make([]string, 0, len(entries))
	for i, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s/%s: want number %04d", dir, e.Name(), i+1)
		}
		script, err := fs.ReadFile(migrations, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, string(script))
	}
	return scripts, nil
}
