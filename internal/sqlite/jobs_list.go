package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/fault"
	"kurz/internal/job"
)

const (
	jobListed   = ` AND status NOT IN ('receiving', 'dropped')`
	listAllJobs = `SELECT ` + jobColumns + ` FROM jobs WHERE kind = ?` + jobListed + `
		ORDER BY created_at DESC, id DESC LIMIT ?`
	listAllJobsAfter = `SELECT ` + jobColumns + ` FROM jobs WHERE kind = ?` + jobListed + ` AND (created_at, id) < (?, ?)
		ORDER BY created_at DESC, id DESC LIMIT ?`
	listJobs = `SELECT ` + jobColumns + ` FROM jobs WHERE kind = ? AND owner = ?` + jobListed + `
		ORDER BY created_at DESC, id DESC LIMIT ?`
	listJobsAfter = `SELECT ` + jobColumns + ` FROM jobs WHERE kind = ? AND owner = ?` + jobListed + ` AND (created_at, id) < (?, ?)
		ORDER BY created_at DESC, id DESC LIMIT ?`
	countJobs = `SELECT status, count(*) FROM jobs WHERE kind = ? AND status <> 'dropped' GROUP BY status`

	jobOfOperation  = `SELECT ` + jobColumns + ` FROM jobs WHERE operation = ?`
	setJobOperation = `UPDATE jobs SET operation = ?2 WHERE id = ?1`
	dropJob         = `UPDATE jobs SET status = 'dropped', operation = NULL, version = version + 1 WHERE id = ? AND status <> 'dropped'`
	endJobLeases    = `UPDATE jobs SET leased_until = 0 WHERE status = 'running'`

	dropOldJobs = `UPDATE jobs SET status = 'dropped', operation = NULL, version = version + 1
		WHERE status = 'receiving' AND not_before <= ?1
			OR status IN ('done', 'failed', 'cancelled') AND finished_at < ?2`
	droppedJob     = `SELECT id FROM jobs WHERE status = 'dropped' ORDER BY id LIMIT 1`
	sweepChunks    = `DELETE FROM job_chunks WHERE rowid IN (SELECT rowid FROM job_chunks WHERE job = ? LIMIT ?)`
	sweepResults   = `DELETE FROM job_results WHERE rowid IN (SELECT rowid FROM job_results WHERE job = ? LIMIT ?)`
	sweepLetters   = `DELETE FROM job_letters WHERE job = ?1 AND row IN (SELECT row FROM job_letters WHERE job = ?1 ORDER BY row LIMIT ?2)`
	sweepJobItself = `DELETE FROM jobs WHERE id = ? AND 0 < ?`
)

// List implements job.Queue.
func (s *Jobs) List(ctx context.Context, q job.Query) (list []job.Job, err error) {
	sql, args := listAllJobs, []any{q.Kind}
	if q.Owner != 0 {
		sql, args = listJobs, append(args, int64(q.Owner))
	}
	if q.After != (job.Cursor{}) {
		if sql = listAllJobsAfter; q.Owner != 0 {
			sql = listJobsAfter
		}
		args = append(args, millis(q.After.CreatedAt), string(q.After.ID))
	}
	args = append(args, q.Limit)
	err = s.db.read(ctx, func(c *sqlite.Conn) (err error) {
		list, err = jobsOf(c, sql, args...)
		return err
	})
	return list, err
}

// Counts implements job.Queue.
func (s *Jobs) Counts(ctx context.Context, kind string) (map[job.Status]int64, error) {
	counts := map[job.Status]int64{}
	err := s.db.read(ctx, func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, countJobs, &sqlitex.ExecOptions{
			Args: []any{kind},
			ResultFunc: func(s *sqlite.Stmt) error {
				counts[job.Status(s.ColumnText(0))] = s.ColumnInt64(1)
				return nil
			},
		})
	})
	return counts, err
}

// Submit implements job.Queue.
func (s *Jobs) Submit(ctx context.Context, j job.Job, op job.Operation) (submitted job.Job, err error) {
	err = s.db.write(ctx, func(c *sqlite.Conn) error {
		if op != (job.Operation{}) {
			var found bool
			if submitted, found, err = oneJob(c, jobOfOperation, op[:]); err != nil {
				return err
			}
			if found {
				if submitted.ID == j.ID {
					return nil
				}
				return sqlitex.Execute(c, dropJob, &sqlitex.ExecOptions{Args: []any{string(j.ID)}})
			}
		}
		if submitted, err = replaceJob(c, j, time.Time{}); err != nil || op == (job.Operation{}) {
			return err
		}
		return sqlitex.Execute(c, setJobOperation, &sqlitex.ExecOptions{Args: []any{string(j.ID), op[:]}})
	})
	if err != nil {
		return job.Job{}, err
	}
	return submitted, nil
}

// Submitted implements job.Queue.
func (s *Jobs) Submitted(ctx context.Context, op job.Operation) (j job.Job, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		var found bool
		if j, found, err = oneJob(c, jobOfOperation, op[:]); err == nil && !found {
			err = fault.New(fault.NotFound, "No job was submitted with this operation")
		}
		return err
	})
	return j, err
}

// Drop implements job.Queue.
func (s *Jobs) Drop(ctx context.Context, id job.ID) error {
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		err := sqlitex.Execute(c, dropJob, &sqlitex.ExecOptions{Args: []any{string(id)}})
		if err == nil && c.Changes() == 0 {
			err = noJob(id)
		}
		return err
	})
}

// Sweep implements job.Queue.
func (s *Jobs) Sweep(ctx context.Context, now, before time.Time, limit int) (swept int, err error) {
	err = s.db.write(ctx, func(c *sqlite.Conn) error {
		swept = 0
		if err := sqlitex.Execute(c, dropOldJobs, &sqlitex.ExecOptions{Args: []any{millis(now), millis(before)}}); err != nil {
			return err
		}
		for swept < limit {
			id := ""
			if err := sqlitex.Execute(c, droppedJob, &sqlitex.ExecOptions{
				ResultFunc: func(s *sqlite.Stmt) error { id = s.ColumnText(0); return nil },
			}); err != nil || id == "" {
				return err
			}
			for _, sql := range []string{sweepChunks, sweepResults, sweepLetters, sweepJobItself} {
				if swept >= limit {
					break
				}
				if err := sqlitex.Execute(c, sql, &sqlitex.ExecOptions{Args: []any{id, limit - swept}}); err != nil {
					return err
				}
				swept += c.Changes()
			}
		}
		return nil
	})
	return swept, err
}

// EndLeases ends the leases of all jobs: of those who held them none is left,
// since one server at a time has the file.
func (s *Jobs) EndLeases(ctx context.Context) error {
	return s.db.write(ctx, func(c *sqlite.Conn) error { return sqlitex.Execute(c, endJobLeases, nil) })
}
