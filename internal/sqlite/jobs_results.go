package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/internal/job"
	"kurz/internal/link"
)

const (
	deleteLetters = `DELETE FROM job_letters WHERE job = ? AND row BETWEEN ? AND ?`
	runsFrom      = `SELECT first_row, last_row, data FROM job_results WHERE job = ? AND last_row >= ? ORDER BY last_row`
	deleteRuns    = `DELETE FROM job_results WHERE job = ? AND last_row BETWEEN ? AND ?`
	putResult     = `INSERT INTO job_results (job, first_row, last_row, data) VALUES (?, ?, ?, ?)`
	selectResults = `SELECT first_row, data FROM job_results WHERE job = ? AND last_row > ? ORDER BY last_row`
)

// maxRun bounds the results that are stored as one.
const maxRun = 4096

// putResults stores results, those of rows that follow one another as one, and
// takes away the letters of their rows.
func putResults(c *sqlite.Conn, id job.ID, results []job.Result) error {
	for len(results) > 0 {
		n := 1
		for n < len(results) && n < maxRun && results[n].Row == results[n-1].Row+1 {
			n++
		}
		run := results[:n]
		results = results[n:]
		first, last := run[0].Row, run[n-1].Row
		args := []any{string(id), first, last}
		if err := sqlitex.Execute(c, deleteLetters, &sqlitex.ExecOptions{Args: args}); err != nil {
			return err
		}
		if err := makeRoom(c, id, first, last); err != nil {
			return err
		}
		err := sqlitex.Execute(c, putResult, &sqlitex.ExecOptions{Args: []any{string(id), first, last, packResults(run)}})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeRoom takes results of the rows first to last away, and keeps those of
// other rows in the same runs. Runs do not overlap, so that the first that
// begins behind last ends the search.
func makeRoom(c *sqlite.Conn, id job.ID, first, last int64) error {
	var kept []job.Result
	var end int64
	err := sqlitex.Execute(c, runsFrom, &sqlitex.ExecOptions{
		Args: []any{string(id), first},
		ResultFunc: func(s *sqlite.Stmt) (err error) {
			if s.ColumnInt64(0) > last {
				return errEnough
			}
			end = s.ColumnInt64(1)
			kept, err = appendResults(kept, s.ColumnInt64(0), columnBytes(s, 2))
			return err
		},
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err != nil || end == 0 {
		return err
	}
	if err := sqlitex.Execute(c, deleteRuns, &sqlitex.ExecOptions{Args: []any{string(id), first, end}}); err != nil {
		return err
	}
	return putResults(c, id, slices.DeleteFunc(kept, func(r job.Result) bool { return r.Row >= first && r.Row <= last }))
}

func packResults(run []job.Result) []byte {
	b := make([]byte, 0, 12*len(run))
	for _, r := range run {
		b = binary.AppendUvarint(b, uint64(len(r.Key.Domain)))
		b = append(b, r.Key.Domain...)
		b = binary.AppendUvarint(b, uint64(len(r.Key.Code)))
		b = append(b, r.Key.Code...)
		if r.Found {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

var errResults = errors.New("stored results of a job are damaged")

// appendResults appends what packResults packed, whose first row is given.
func appendResults(list []job.Result, row int64, b []byte) ([]job.Result, error) {
	text := func() (s string, ok bool) {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return "", false
		}
		s, b = string(b[size:size+int(n)]), b[size+int(n):]
		return s, true
	}
	for ; len(b) > 0; row++ {
		domain, ok := text()
		code, ok2 := text()
		if !ok || !ok2 || len(b) == 0 {
			return list, errResults
		}
		list = append(list, job.Result{Row: row, Key: link.Key{Domain: link.Domain(domain), Code: link.Code(code)}, Found: b[0] == 1})
		b = b[1:]
	}
	return list, nil
}

var errEnough = errors.New("enough")

// Results implements job.Queue.
func (s *Jobs) Results(ctx context.Context, id job.ID, after int64, limit int) (list []job.Result, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		list = nil
		if err := mustHaveJob(c, id); err != nil {
			return err
		}
		err := sqlitex.Execute(c, selectResults, &sqlitex.ExecOptions{
			Args: []any{string(id), after},
			ResultFunc: func(s *sqlite.Stmt) (err error) {
				list, err = appendResults(list, s.ColumnInt64(0), columnBytes(s, 1))
				list = slices.DeleteFunc(list, func(r job.Result) bool { return r.Row <= after })
				if err == nil && len(list) >= limit {
					list, err = list[:limit], errEnough
				}
				return err
			},
		})
		if errors.Is(err, errEnough) {
			err = nil
		}
		return err
	})
	return list, err
}
