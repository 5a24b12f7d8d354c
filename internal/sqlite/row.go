package sqlite

import (
	"errors"
	"time"

	"zombiezen.com/go/sqlite"
)

// binder binds the parameters of a statement one after the other. What is not
// bound is NULL.
type binder struct {
	s *sqlite.Stmt
	n int
}

func (b *binder) text(v string) { b.n++; b.s.BindText(b.n, v) }
func (b *binder) int(v int64)   { b.n++; b.s.BindInt64(b.n, v) }
func (b *binder) bool(v bool)   { b.n++; b.s.BindBool(b.n, v) }
func (b *binder) blob(v []byte) { b.n++; b.s.BindBytes(b.n, v) }
func (b *binder) null()         { b.n++ }

// some binds a text of which none is NULL.
func (b *binder) some(v string) {
	if b.n++; v != "" {
		b.s.BindText(b.n, v)
	}
}

// someInt binds a number of which none, 0, is NULL.
func (b *binder) someInt(v int64) {
	if b.n++; v != 0 {
		b.s.BindInt64(b.n, v)
	}
}

// time binds a time of which none is NULL.
func (b *binder) time(t time.Time) {
	if b.n++; !t.IsZero() {
		b.s.BindInt64(b.n, t.UnixMilli())
	}
}

// cells reads the columns of a row one after the other.
type cells struct {
	s *sqlite.Stmt
	n int
}

func (r *cells) text() string { r.n++; return r.s.ColumnText(r.n - 1) }
func (r *cells) int() int64   { r.n++; return r.s.ColumnInt64(r.n - 1) }
func (r *cells) bool() bool   { return r.int() != 0 }

func (r *cells) time() time.Time {
	r.n++
	if r.s.ColumnIsNull(r.n - 1) {
		return time.Time{}
	}
	return time.UnixMilli(r.s.ColumnInt64(r.n - 1)).UTC()
}

func (r *cells) blob(into []byte) {
	r.n++
	r.s.ColumnBytes(r.n-1, into)
}

// query runs a statement, which the connection keeps prepared, and calls row
// for each row until it returns false.
func query(c *sqlite.Conn, sql string, bind func(*binder), row func(*cells) bool) error {
	s, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	if bind != nil {
		bind(&binder{s: s})
	}
	for {
		more, err := s.Step()
		if err != nil || !more || !row(&cells{s: s}) {
			// A statement left in its middle would hold on to its snapshot.
			return errors.Join(err, s.Reset())
		}
	}
}

// change runs a statement that gives no rows and tells how many it changed.
func change(c *sqlite.Conn, sql string, bind func(*binder)) (int, error) {
	if err := query(c, sql, bind, nil); err != nil {
		return 0, err
	}
	return c.Changes(), nil
}

// duplicate reports whether err says that a unique value is there already.
func duplicate(err error) bool {
	code := sqlite.ErrCode(err)
	return code == sqlite.ResultConstraintUnique || code == sqlite.ResultConstraintPrimaryKey ||
		code == sqlite.ResultConstraintRowID
}
