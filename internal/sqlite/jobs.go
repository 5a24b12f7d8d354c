package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/job"
)

// Jobs is a job.Queue.
type Jobs struct{ db *DB }

// NewJobs gives the queue kept in a file of schema Main.
func NewJobs(db *DB) *Jobs { return &Jobs{db: db} }

const (
	jobColumns = `id, kind, owner, params, status, chunks, row_count, succeeded, dead_letters, position, error,
		created_at, started_at, finished_at, not_before, attempts, version`
	// dropped is the status of jobs that only the sweep still sees.
	selectJob = `SELECT ` + jobColumns + ` FROM jobs WHERE id = ? AND status <> 'dropped'`
	insertJob = `INSERT INTO jobs (` + jobColumns + `)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (id) DO NOTHING`
	acquireJob = `UPDATE jobs SET status = 'running', attempts = attempts + 1, version = version + 1,
			started_at = iif(started_at = 0, ?2, started_at), holder = ?3, leased_until = ?4
		WHERE id = (SELECT id FROM jobs
			WHERE kind = ?1 AND status IN ('queued', 'running') AND (status = 'queued' OR leased_until <= ?2) AND not_before <= ?2
			ORDER BY not_before, created_at, id LIMIT 1)
		RETURNING ` + jobColumns
	saveJob = `UPDATE jobs SET params = ?3, status = ?4, chunks = ?5, row_count = ?6, succeeded = ?7, dead_letters = ?8,
			position = ?9, error = ?10, started_at = ?11, finished_at = ?12, not_before = ?13, attempts = ?14,
			version = version + 1, leased_until = ?15
		WHERE id = ?1 AND version = ?2 AND status <> 'dropped'
		RETURNING ` + jobColumns
	jobExists = `SELECT 1 FROM jobs WHERE id = ? AND status <> 'dropped'`
	putChunk  = `INSERT INTO job_chunks (job, n, data) SELECT id, ?2, ?3 FROM jobs WHERE id = ?1 AND status <> 'dropped'
		ON CONFLICT (job, n) DO UPDATE SET data = excluded.data`
	selectChunk = `SELECT data FROM job_chunks WHERE job = ? AND n = ?`
	putLetter   = `INSERT INTO job_letters (job, row, text, code, error) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (job, row) DO UPDATE SET text = excluded.text, code = excluded.code, error = excluded.error`
	selectLetters = `SELECT row, text, code, error FROM job_letters WHERE job = ? AND row > ? ORDER BY row LIMIT ?`
)

// Add implements job.Queue.
func (s *Jobs) Add(ctx context.Context, j job.Job) error {
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		err := sqlitex.Execute(c, insertJob, &sqlitex.ExecOptions{Args: []any{
			string(j.ID), j.Kind, int64(j.Owner), j.Params, string(j.Status), j.Chunks, j.Rows, j.Succeeded, j.DeadLetters,
			j.Position, j.Error, millis(j.CreatedAt), millis(j.StartedAt), millis(j.FinishedAt), millis(j.NotBefore), j.Attempts,
		}})
		if err == nil && c.Changes() == 0 {
			err = fault.New(fault.AlreadyExists, "Job %s exists", j.ID)
		}
		return err
	})
}

// Get implements job.Queue.
func (s *Jobs) Get(ctx context.Context, id job.ID) (j job.Job, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		var found bool
		if j, found, err = oneJob(c, selectJob, string(id)); err == nil && !found {
			err = noJob(id)
		}
		return err
	})
	return j, err
}

func noJob(id job.ID) error { return fault.New(fault.NotFound, "Job %s not found", id) }

// PutChunk implements job.Queue.
func (s *Jobs) PutChunk(ctx context.Context, id job.ID, n int, data []byte) error {
	if len(data) > job.MaxChunk {
		return fault.New(fault.PayloadTooLarge, "A chunk has at most %d bytes", job.MaxChunk)
	}
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		err := sqlitex.Execute(c, putChunk, &sqlitex.ExecOptions{Args: []any{string(id), n, data}})
		if err == nil && c.Changes() == 0 {
			err = noJob(id)
		}
		return err
	})
}

// Chunk implements job.Queue.
func (s *Jobs) Chunk(ctx context.Context, id job.ID, n int) (data []byte, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		found := false
		err := sqlitex.Execute(c, selectChunk, &sqlitex.ExecOptions{
			Args: []any{string(id), n},
			ResultFunc: func(s *sqlite.Stmt) error {
				found, data = true, columnBytes(s, 0)
				return nil
			},
		})
		if err == nil && !found {
			err = fault.New(fault.NotFound, "Job %s has no chunk %d", id, n)
		}
		return err
	})
	return data, err
}

// Acquire implements job.Queue.
func (s *Jobs) Acquire(ctx context.Context, kind, holder string, now time.Time, lease time.Duration) (job.Lease, error) {
	l := job.Lease{Holder: holder, Until: now.Add(lease)}
	err := s.db.write(ctx, func(c *sqlite.Conn) (err error) {
		var found bool
		l.Job, found, err = oneJob(c, acquireJob, kind, millis(now), holder, millis(l.Until))
		if err == nil && !found {
			err = fault.New(fault.NotFound, "No job is waiting")
		}
		return err
	})
	if err != nil {
		return job.Lease{}, err
	}
	return l, nil
}

// Save implements job.Queue.
func (s *Jobs) Save(ctx context.Context, j job.Job, p job.Progress, until time.Time) (job.Job, error) {
	var saved job.Job
	err := s.db.writeMany(ctx, func(c *sqlite.Conn) (err error) {
		if saved, err = replaceJob(c, j, until); err != nil {
			return err
		}
		for _, l := range p.Letters {
			args := []any{string(j.ID), l.Row, l.Text, l.Code, l.Error}
			if err := sqlitex.Execute(c, putLetter, &sqlitex.ExecOptions{Args: args}); err != nil {
				return err
			}
		}
		return putResults(c, j.ID, p.Results)
	})
	if err != nil {
		return job.Job{}, err
	}
	return saved, nil
}

// replaceJob stores what Save and Submit are given.
func replaceJob(c *sqlite.Conn, j job.Job, until time.Time) (job.Job, error) {
	saved, found, err := oneJob(c, saveJob, string(j.ID), j.Version, j.Params, string(j.Status), j.Chunks, j.Rows,
		j.Succeeded, j.DeadLetters, j.Position, j.Error, millis(j.StartedAt), millis(j.FinishedAt), millis(j.NotBefore),
		j.Attempts, millis(until))
	if err == nil && !found {
		err = whyNotSaved(c, j.ID)
	}
	return saved, err
}

func whyNotSaved(c *sqlite.Conn, id job.ID) error {
	if err := mustHaveJob(c, id); err != nil {
		return err
	}
	return fault.New(fault.PreconditionFailed, "Job %s was changed by someone else", id)
}

func mustHaveJob(c *sqlite.Conn, id job.ID) error {
	err := noJob(id)
	if failed := sqlitex.Execute(c, jobExists, &sqlitex.ExecOptions{
		Args:       []any{string(id)},
		ResultFunc: func(*sqlite.Stmt) error { err = nil; return nil },
	}); failed != nil {
		return failed
	}
	return err
}

// Letters implements job.Queue.
func (s *Jobs) Letters(ctx context.Context, id job.ID, after int64, limit int) (letters []job.Letter, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		if err := mustHaveJob(c, id); err != nil {
			return err
		}
		return sqlitex.Execute(c, selectLetters, &sqlitex.ExecOptions{
			Args: []any{string(id), after, limit},
			ResultFunc: func(s *sqlite.Stmt) error {
				letters = append(letters, job.Letter{
					Row: s.ColumnInt64(0), Text: columnBytes(s, 1), Code: s.ColumnText(2), Error: s.ColumnText(3),
				})
				return nil
			},
		})
	})
	return letters, err
}

// oneJob runs a statement that gives jobColumns of at most one row.
func oneJob(c *sqlite.Conn, sql string, args ...any) (j job.Job, found bool, err error) {
	list, err := jobsOf(c, sql, args...)
	if len(list) == 0 {
		return j, false, err
	}
	return list[0], true, err
}

// jobsOf runs a statement that gives jobColumns.
func jobsOf(c *sqlite.Conn, sql string, args ...any) (list []job.Job, err error) {
	err = sqlitex.Execute(c, sql, &sqlitex.ExecOptions{
		Args: args,
		ResultFunc: func(s *sqlite.Stmt) error {
			list = append(list, job.Job{
				ID: job.ID(s.ColumnText(0)), Kind: s.ColumnText(1), Owner: account.ID(s.ColumnInt64(2)), Params: columnBytes(s, 3),
				Status: job.Status(s.ColumnText(4)), Chunks: s.ColumnInt(5), Rows: s.ColumnInt64(6), Succeeded: s.ColumnInt64(7),
				DeadLetters: s.ColumnInt64(8), Position: columnBytes(s, 9), Error: s.ColumnText(10),
				CreatedAt: fromMillis(s.ColumnInt64(11)), StartedAt: fromMillis(s.ColumnInt64(12)),
				FinishedAt: fromMillis(s.ColumnInt64(13)), NotBefore: fromMillis(s.ColumnInt64(14)),
				Attempts: s.ColumnInt(15), Version: s.ColumnInt64(16),
			})
			return nil
		},
	})
	return list, err
}
