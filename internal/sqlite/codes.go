package sqlite

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"kurz/internal/fault"
	"kurz/internal/link"
)

// Codes is a link.Numbers, a link.Pool and a link.Nodes.
type Codes struct {
	db    *DB
	swept atomic.Int64 // rows of the pool up to here were looked at
}

var (
	_ link.Numbers = (*Codes)(nil)
	_ link.Pool    = (*Codes)(nil)
	_ link.Nodes   = (*Codes)(nil)
)

// NewCodes gives those kept in a file of schema Main.
func NewCodes(db *DB) *Codes { return &Codes{db: db} }

const (
	reserveNumbers = `INSERT INTO code_numbers (name, next) VALUES (?1, ?2)
		ON CONFLICT (name) DO UPDATE SET next = next + ?2 RETURNING next - ?2`
	countedCodes = `SELECT count(*) FROM code_numbers WHERE name GLOB 'codes/*'`

	addToPool = `INSERT INTO code_pool (length, code, taken)
		SELECT ?1, ?2, 0 WHERE NOT EXISTS (SELECT 1 FROM links WHERE code = ?2) ON CONFLICT (code) DO NOTHING`
	takeFromPool = `UPDATE code_pool SET taken = 1
		WHERE id IN (SELECT id FROM code_pool WHERE length = ? AND taken = 0 ORDER BY id LIMIT ?) RETURNING code`
	countPool = `SELECT count(*) FROM code_pool WHERE length = ? AND taken = 0`
	// Codes that links have are known by these, and forgotten here bit by bit.
	sweepTo   = `SELECT id FROM code_pool WHERE id > ? ORDER BY id LIMIT 1 OFFSET 999`
	sweepPool = `DELETE FROM code_pool WHERE id > ? AND id <= ? AND taken = 1
		AND EXISTS (SELECT 1 FROM links WHERE links.code = code_pool.code)`

	renewNode = `UPDATE code_nodes SET leased_until = ?3 WHERE holder = ?1 AND leased_until > ?2 RETURNING node`
	reuseNode = `UPDATE code_nodes SET leased_until = ?3, holder = ?1
		WHERE node = (SELECT node FROM code_nodes WHERE leased_until <= ?2 ORDER BY node LIMIT 1) RETURNING node`
	nextNode = `INSERT INTO code_nodes (node, holder, leased_until)
		SELECT coalesce(max(node) + 1, 0), ?1, ?3 FROM code_nodes HAVING count(*) < ?4 RETURNING node`
)

// Reserve is that of link.Numbers.
func (s *Codes) Reserve(ctx context.Context, name string, n int64) (first int64, err error) {
	if n < 1 {
		return 0, fmt.Errorf("%d numbers can't be reserved", n)
	}
	err = s.db.writeOne(ctx, func(c *sqlite.Conn) error {
		first, _, err = oneInt(c, reserveNumbers, func(b *binder) { b.text(name); b.int(n) })
		return err
	})
	return first, err
}

// Counted reports whether numbers were reserved for codes.
func (s *Codes) Counted(ctx context.Context) (counted bool, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		n, _, err := oneInt(c, countedCodes, nil)
		counted = n > 0
		return err
	})
	return counted, err
}

// oneInt runs a statement to its end and gives the number it answers, if any.
func oneInt(c *sqlite.Conn, sql string, bind func(*binder)) (n int64, found bool, err error) {
	err = query(c, sql, bind, func(r *cells) bool {
		n, found = r.int(), true
		return true
	})
	return n, found, err
}

// Add is that of link.Pool.
func (s *Codes) Add(ctx context.Context, length int, codes []link.Code) (added int, err error) {
	if len(codes) > link.MaxPoolAdd {
		return 0, fmt.Errorf("%d codes are too many at once", len(codes))
	}
	var swept int64
	err = s.db.write(ctx, func(c *sqlite.Conn) error {
		added = 0
		for _, code := range codes {
			n, err := change(c, addToPool, func(b *binder) { b.int(int64(length)); b.text(string(code)) })
			if err != nil {
				return err
			}
			added += n
		}
		var err error
		swept, err = sweep(c, s.swept.Load())
		return err
	})
	if err != nil {
		return 0, err
	}
	s.swept.Store(swept)
	return added, nil
}

// sweep looks at some rows above one, and gives the last of them: 0 at the end,
// to begin anew.
func sweep(c *sqlite.Conn, from int64) (to int64, err error) {
	to, more, err := oneInt(c, sweepTo, func(b *binder) { b.int(from) })
	if err != nil {
		return 0, err
	}
	last := to
	if !more {
		last = math.MaxInt64
	}
	_, err = change(c, sweepPool, func(b *binder) { b.int(from); b.int(last) })
	return to, err
}

// Take is that of link.Pool.
func (s *Codes) Take(ctx context.Context, length, n int) (codes []link.Code, err error) {
	err = s.db.writeOne(ctx, func(c *sqlite.Conn) error {
		return query(c, takeFromPool, func(b *binder) { b.int(int64(length)); b.int(int64(n)) }, func(r *cells) bool {
			codes = append(codes, link.Code(r.text()))
			return true
		})
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// Left is that of link.Pool.
func (s *Codes) Left(ctx context.Context, length int) (left int, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		n, _, err := oneInt(c, countPool, func(b *binder) { b.int(int64(length)) })
		left = int(n)
		return err
	})
	return left, faulty(err)
}

// Lease is that of link.Nodes.
func (s *Codes) Lease(ctx context.Context, holder string, now, until time.Time) (node int, err error) {
	err = s.db.write(ctx, func(c *sqlite.Conn) error {
		for _, sql := range []string{renewNode, reuseNode, nextNode} {
			n, found, err := oneInt(c, sql, func(b *binder) {
				b.text(holder)
				b.time(now)
				b.time(until)
				if sql == nextNode {
					b.int(link.MaxNodes)
				}
			})
			if err != nil {
				return err
			}
			if found {
				node = int(n)
				return nil
			}
		}
		f := fault.New(fault.Unavailable, "All node numbers are lent right now, try again shortly")
		f.RetryAfter = until.Sub(now)
		return f
	})
	return node, err
}
