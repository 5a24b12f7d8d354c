package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/fault"
	"kurz/internal/idempotency"
)

// Idempotency is an idempotency.Store.
type Idempotency struct{ db *DB }

// NewIdempotency gives the store kept in a file of schema Main.
func NewIdempotency(db *DB) *Idempotency { return &Idempotency{db: db} }

const (
	selectOnce = `SELECT fingerprint, operation, holder, leased_until, kept_until, status, header, body
		FROM idempotency WHERE id = ?`
	beginOnce = `INSERT INTO idempotency (id, fingerprint, operation, holder, leased_until, kept_until)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (id) DO UPDATE SET fingerprint = ?2, operation = ?3, holder = ?4, leased_until = ?5,
			kept_until = ?6, status = NULL, header = NULL, body = NULL`
	takeOverOnce = `UPDATE idempotency SET holder = ?2, leased_until = ?3 WHERE id = ?1`
	// The first answer of a holder stays.
	finishOnce = `UPDATE idempotency SET status = coalesce(status, ?3),
			header = iif(status IS NULL, ?4, header), body = iif(status IS NULL, ?5, body)
		WHERE id = ?1 AND holder = ?2`
	abandonOnce = `UPDATE idempotency SET holder = NULL WHERE id = ?1 AND holder = ?2 AND status IS NULL`
	endLeases   = `UPDATE idempotency SET holder = NULL WHERE status IS NULL`
	sweepOnce   = `DELETE FROM idempotency WHERE rowid IN
		(SELECT rowid FROM idempotency WHERE kept_until <= ?1 ORDER BY kept_until LIMIT ?2)`
)

// once is a row.
type once struct {
	fingerprint, operation []byte
	held                   bool
	leasedUntil, keptUntil int64
	done                   bool
	answer                 idempotency.Answer
}

// Begin implements idempotency.Store.
func (s *Idempotency) Begin(ctx context.Context, a idempotency.Attempt) (idempotency.Outcome, idempotency.Record, error) {
	var outcome idempotency.Outcome
	var record idempotency.Record
	err := s.db.writeOne(ctx, func(c *sqlite.Conn) (err error) {
		outcome, record, err = begin(c, a)
		return err
	})
	if err != nil {
		return 0, idempotency.Record{}, err
	}
	return outcome, record, nil
}

func begin(c *sqlite.Conn, a idempotency.Attempt) (idempotency.Outcome, idempotency.Record, error) {
	now, until := a.Now.UnixMilli(), a.Now.Add(a.Lease).UnixMilli()
	record := idempotency.Record{Operation: a.Operation}
	r, found, err := readOnce(c, a.ID)
	switch {
	case err != nil:
		return 0, idempotency.Record{}, err
	case !found || now >= r.keptUntil:
		err := sqlitex.Execute(c, beginOnce, &sqlitex.ExecOptions{Args: []any{
			a.ID[:], a.Fingerprint[:], a.Operation[:], a.Holder[:], until, a.Now.Add(a.Keep).UnixMilli(),
		}})
		return idempotency.Started, record, err
	case !bytes.Equal(r.fingerprint, a.Fingerprint[:]):
		return idempotency.Reused, idempotency.Record{}, nil
	}
	copy(record.Operation[:], r.operation)
	switch {
	case r.done:
		record.Answer = r.answer
		return idempotency.Done, record, nil
	case r.held && now < r.leasedUntil:
		return idempotency.InProgress, idempotency.Record{}, nil
	}
	err = sqlitex.Execute(c, takeOverOnce, &sqlitex.ExecOptions{Args: []any{a.ID[:], a.Holder[:], until}})
	return idempotency.Started, record, err
}

func readOnce(c *sqlite.Conn, id idempotency.ID) (r once, found bool, err error) {
	err = sqlitex.Execute(c, selectOnce, &sqlitex.ExecOptions{
		Args: []any{id[:]},
		ResultFunc: func(s *sqlite.Stmt) error {
			found = true
			r = once{
				fingerprint: columnBytes(s, 0), operation: columnBytes(s, 1), held: !s.ColumnIsNull(2),
				leasedUntil: s.ColumnInt64(3), keptUntil: s.ColumnInt64(4), done: !s.ColumnIsNull(5),
			}
			if !r.done {
				return nil
			}
			r.answer = idempotency.Answer{Status: s.ColumnInt(5), Body: columnBytes(s, 7)}
			if err := json.Unmarshal([]byte(s.ColumnText(6)), &r.answer.Header); err != nil {
				return fmt.Errorf("stored header: %w", err)
			}
			return nil
		},
	})
	return r, found, err
}

// Find implements idempotency.Store.
func (s *Idempotency) Find(ctx context.Context, id idempotency.ID, f idempotency.Fingerprint, now time.Time) (outcome idempotency.Outcome, record idempotency.Record, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		r, found, err := readOnce(c, id)
		switch {
		case err != nil:
			return err
		case !found || now.UnixMilli() >= r.keptUntil:
			return fault.New(fault.NotFound, "No request with this key is known")
		case !bytes.Equal(r.fingerprint, f[:]):
			outcome = idempotency.Reused
		case !r.done:
			outcome = idempotency.InProgress
		default:
			outcome, record.Answer = idempotency.Done, r.answer
			copy(record.Operation[:], r.operation)
		}
		return nil
	})
	return outcome, record, err
}

// EndLeases ends every lease, for a server that has just become the only one
// on this file: whoever held one is dead, and a retry need not wait.
func (s *Idempotency) EndLeases(ctx context.Context) error {
	return s.db.writeOne(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, endLeases, nil)
	})
}

// Finish implements idempotency.Store. The first answer of a holder stays.
func (s *Idempotency) Finish(ctx context.Context, id idempotency.ID, holder [16]byte, answer idempotency.Answer) error {
	header, err := json.Marshal(answer.Header)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	return s.db.writeOne(ctx, func(c *sqlite.Conn) error {
		err := sqlitex.Execute(c, finishOnce, &sqlitex.ExecOptions{
			Args: []any{id[:], holder[:], answer.Status, string(header), answer.Body},
		})
		if err == nil && c.Changes() == 0 {
			err = fault.New(fault.NotFound, "The request was taken over by a later one")
		}
		return err
	})
}

// Abandon implements idempotency.Store.
func (s *Idempotency) Abandon(ctx context.Context, id idempotency.ID, holder [16]byte) error {
	return s.db.writeOne(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, abandonOnce, &sqlitex.ExecOptions{Args: []any{id[:], holder[:]}})
	})
}

// Sweep implements idempotency.Store.
func (s *Idempotency) Sweep(ctx context.Context, now time.Time, limit int) (int, error) {
	n := 0
	err := s.db.writeOne(ctx, func(c *sqlite.Conn) error {
		err := sqlitex.Execute(c, sweepOnce, &sqlitex.ExecOptions{Args: []any{now.UnixMilli(), limit}})
		n = c.Changes()
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
