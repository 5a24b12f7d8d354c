// Package sqlite keeps everything in SQLite files: the store of a single node.
//
// A DB has one writing connection, served by one goroutine that commits all
// that wait together: one fsync for all of them (group commit), and nothing is
// acknowledged before it (WAL with synchronous=FULL). Reads have connections
// of their own and never wait for writes. A file may be opened by several
// processes at once; the writers take turns.
//
// Start reading at Open, then DB.write and DB.read. Links, Accounts and the
// others each implement one contract.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/fault"
)

// Schema names a set of migrations: what a file is for.
type Schema string

// The schemas.
const (
	Main      Schema = "kurz"   // links, accounts, idempotency, jobs
	ForClicks Schema = "clicks" // apart, so that draining never holds up a create
)

// Options say how a file is opened. The zero Options make and migrate it.
type Options struct {
	Schema Schema // "" is Main
	// BusyTimeout bounds the wait for another process that writes; 2 s if zero.
	BusyTimeout time.Duration
	// Existing refuses to make the file.
	Existing bool
	// KeepSchema leaves the migrations to someone else; a file whose schema is
	// older is then refused.
	KeepSchema bool
	// Bulk is for one who writes millions of links and can do it again: what is
	// written is durable once the file is closed, not before. The writing
	// connection has a cache that holds the index of a few million codes, whose
	// pages are changed in no order.
	Bulk bool
}

// DB is an open file.
type DB struct {
	path   string
	writer *writer
	short  *pool // for reads that take microseconds
	long   *pool // for reads that may take seconds: they never hold up the others
}

// clicksPage is the size of a page of a file of clicks, in bytes: what is read of
// it is mostly long, and costs by the page.
const clicksPage = "8192"

// The caches of connections, in KiB; they take twice as much memory as is said
// here. It is their sum that counts: this SQLite lets all connections of a
// process share it, so that readers keep pages in what a writer leaves.
// Writing links wants the upper levels of the indexes of ten million, and what
// one transaction changes; clicks are appended. A link that is read is in the
// cache of routes then, so little more than the upper levels of one index pays.
var (
	writerCache = map[Schema]int{Main: 4096, ForClicks: 2048}
	readerCache = map[Schema]int{Main: 512, ForClicks: 256}
)

// bulkCache is the cache of who only makes links, for a while, in KiB as above.
const bulkCache = 32 << 10

const longReaders = 3

// busyPatience is Options.BusyTimeout where that is not said.
const busyPatience = 2 * time.Second

// shortReaders is one for each processor, and some more for when the disk is
// waited for.
var shortReaders = max(4, runtime.GOMAXPROCS(0))

// Open opens or makes the file, brings its schema up to date, and checks that
// it can be written. A file that is not kurz's, or has a schema newer than this
// program knows, is refused. Close it in the end.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	if o.Schema == "" {
		o.Schema = Main
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = busyPatience
	}
	if err := prepareFile(path, o.Existing); err != nil {
		return nil, err
	}
	conn, err := openWriter(ctx, path, o)
	if err != nil {
		return nil, explain(path, err)
	}
	open := func() (*sqlite.Conn, error) { return openReader(path, o) }
	db := &DB{
		path:  path,
		short: newPool(shortReaders, open),
		long:  newPool(longReaders, open),
	}
	db.writer = startWriter(conn, path, o)
	return db, nil
}

// Path gives the file's path.
func (db *DB) Path() string { return db.path }

// Close waits for what is being written, folds the log into the file and
// closes it. Calls that come later get fault.Unavailable.
func (db *DB) Close() error {
	return errors.Join(db.writer.close(), db.short.close(), db.long.close())
}

// read calls fn with a connection for reading that no one else has. fn must be
// quick: it is not interrupted when ctx ends. What fn reads is one snapshot
// only within one statement.
func (db *DB) read(ctx context.Context, fn func(c *sqlite.Conn) error) error {
	return db.short.with(ctx, func(c *sqlite.Conn) error { return fn(c) })
}

// scan is read for what may take long: it is interrupted when ctx ends, and
// all statements of fn see one snapshot.
func (db *DB) scan(ctx context.Context, fn func(c *sqlite.Conn) error) error {
	err := db.long.with(ctx, func(c *sqlite.Conn) error { return snapshot(ctx, c, fn) })
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// help is scan where a connection is free; else it returns at once. The
// snapshot is one of its own, and later than those that are there.
func (db *DB) help(ctx context.Context, fn func(c *sqlite.Conn) error) error {
	return db.long.spare(func(c *sqlite.Conn) error { return snapshot(ctx, c, fn) })
}

func snapshot(ctx context.Context, c *sqlite.Conn, fn func(c *sqlite.Conn) error) (err error) {
	c.SetInterrupt(ctx.Done())
	defer c.SetInterrupt(nil)
	defer sqlitex.Transaction(c)(&err)
	return fn(c)
}

// write calls fn within a transaction that it may share with others', and
// returns when that is durable. If fn fails, nothing of it is kept and its
// error is returned; the others' part is kept. fn must be quick, must touch
// nothing but the connection and its own variables, and is not called if ctx
// ends first. Once fn was called, write waits for the outcome whatever ctx
// says, so that nobody takes a stored change for a refused one.
func (db *DB) write(ctx context.Context, fn func(c *sqlite.Conn) error) error {
	return db.writer.do(ctx, &op{fn: fn})
}

// writeMany is write for an fn that changes much and is one of several like it. One
// that takes long looks from time to time whether the transaction is awaited.
func (db *DB) writeMany(ctx context.Context, fn func(c *sqlite.Conn) error) error {
	return db.writer.do(ctx, &op{fn: fn, many: true})
}

// writeIdly is write for work in the background: it is not let in between those of
// writeMany.
func (db *DB) writeIdly(ctx context.Context, fn func(c *sqlite.Conn) error) error {
	return db.writer.do(ctx, &op{fn: fn, idle: true})
}

// writeOne is write for an fn that changes something by one statement at most,
// whatever it reads. It costs less.
func (db *DB) writeOne(ctx context.Context, fn func(c *sqlite.Conn) error) error {
	return db.writer.do(ctx, &op{fn: fn, single: true})
}

// Check reads every page's structure and gives the first thing that is wrong
// with it, or nil.
func (db *DB) Check(ctx context.Context) error {
	return db.scan(ctx, func(c *sqlite.Conn) error { return quickCheck(c, db.path) })
}

func quickCheck(c *sqlite.Conn, path string) error {
	var finding string
	err := sqlitex.ExecuteTransient(c, "PRAGMA quick_check(1)", &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error { finding = s.ColumnText(0); return nil },
	})
	if err == nil && finding != "ok" {
		err = fmt.Errorf("%s is damaged: %s", path, finding)
	}
	return err
}

// LastWriteFailed reports whether who wrote last was told fault.Unavailable.
func (db *DB) LastWriteFailed() bool { return db.writer.failing.Load() }

// Ping reads from the file: nil says that it can be asked.
func (db *DB) Ping(ctx context.Context) error {
	return db.read(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, "SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)", nil)
	})
}

// prepareFile makes the file if need be, for the owner's eyes only; SQLite
// gives its log files the same permissions.
func prepareFile(path string, existing bool) error {
	flags := os.O_RDWR
	if !existing {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("no database at %s: start 'kurz serve' once, or name the folder with --data", path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("database %s can't be written: give the user who runs kurz the right to write it and its folder %s", path, filepath.Dir(path))
	case err != nil:
		return fmt.Errorf("database: %w", err)
	}
	return f.Close()
}

func openWriter(ctx context.Context, path string, o Options) (*sqlite.Conn, error) {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(max(o.BusyTimeout, 10*time.Second))
	// First of all, so that another program's file is not touched.
	if _, err := schemaVersion(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if o.Schema == ForClicks {
		// Only a new file takes it.
		if err := pragmas(c, "page_size="+clicksPage); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	writing, synchronous := writerCache[o.Schema], "FULL"
	if o.Bulk {
		writing, synchronous = bulkCache, "NORMAL"
	}
	err = pragmas(c,
		"journal_mode=WAL",
		"synchronous="+synchronous,
		"foreign_keys=ON",
		"temp_store=MEMORY",
		cacheSize(writing),
		"wal_autocheckpoint=0",
	)
	if err == nil {
		err = migrate(ctx, c, o.Schema, o.KeepSchema)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.SetBusyTimeout(o.BusyTimeout)
	return c, nil
}

func openReader(path string, o Options) (*sqlite.Conn, error) {
	// A reader of a WAL writes to its shared memory, so it can't be read-only
	// to the system; query_only keeps it from changing anything.
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(o.BusyTimeout)
	if err := pragmas(c, "query_only=ON", "temp_store=MEMORY", cacheSize(readerCache[o.Schema])); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := addFunctions(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func cacheSize(kib int) string { return fmt.Sprintf("cache_size=-%d", kib) }

func pragmas(c *sqlite.Conn, list ...string) error {
	for _, p := range list {
		if err := sqlitex.ExecuteTransient(c, "PRAGMA "+p, nil); err != nil {
			return fmt.Errorf("pragma %s: %w", p, err)
		}
	}
	return nil
}

// explain adds to an error of opening what to do about it.
func explain(path string, err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultReadOnly, sqlite.ResultCantOpen, sqlite.ResultPerm:
		return fmt.Errorf("database %s can't be written: give the user who runs kurz the right to write it and its folder: %w", path, err)
	case sqlite.ResultFull:
		return fmt.Errorf("database %s: the disk is full: make room and start again: %w", path, err)
	case sqlite.ResultBusy, sqlite.ResultLocked:
		return fmt.Errorf("database %s is locked by another program: end it and start again: %w", path, err)
	case sqlite.ResultNotADB, sqlite.ResultCorrupt:
		return fmt.Errorf("database %s is damaged or not a database: restore it from a backup: %w", path, err)
	}
	return fmt.Errorf("database %s: %w", path, err)
}

// faulty turns an error of SQLite into a fault by its code: what may pass by
// itself is fault.Unavailable. Other errors stay as they are.
func faulty(err error) error {
	if err == nil {
		return nil
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultFull, sqlite.ResultIOErr,
		sqlite.ResultCantOpen, sqlite.ResultReadOnly, sqlite.ResultNoMem, sqlite.ResultInterrupt:
		return unavailable(err)
	}
	return err
}

func unavailable(cause error) error {
	f := fault.Wrap(fault.Unavailable, cause, "The database can't be used right now, try again shortly")
	f.RetryAfter = time.Second
	return f
}
