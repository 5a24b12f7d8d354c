package job

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"

	"kurz/internal/fault"
)

// Pages of what is read of jobs: letters have long texts.
const (
	jobsPage    = 500
	lettersPage = 100
	resultsPage = 1000
)

// openChunk opens a chunk of a job's input.
func openChunk(ctx context.Context, q Queue, r Reader, j *Job, n int) (Rows, error) {
	data, err := q.Chunk(ctx, j.ID, n)
	if err != nil {
		return nil, err
	}
	rows, err := r.Rows(bytes.NewReader(data), j.Format())
	if err != nil {
		return nil, errBroken{fault.Wrap(fault.Internal, err, "What is kept of the upload can't be read")}
	}
	return rows, nil
}

// Outcome is what became of a row so far.
type Outcome struct {
	Row    Row
	Result *Result // it succeeded
	Letter *Letter // it failed; with neither it waits
}

// Outcomes goes through the rows of a job in order, with a bounded part of them
// in memory. It ends after the first error.
func (b *Bulk) Outcomes(ctx context.Context, j Job) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		results := &ahead[Result]{row: func(r *Result) int64 { return r.Row }, more: func(after int64) ([]Result, error) {
			return b.s.Queue.Results(ctx, j.ID, after, resultsPage)
		}}
		letters := &ahead[Letter]{row: func(l *Letter) int64 { return l.Row }, more: func(after int64) ([]Letter, error) {
			return b.s.Queue.Letters(ctx, j.ID, after, lettersPage)
		}}
		var number int64
		for n := range j.Chunks {
			rows, err := openChunk(ctx, b.s.Queue, b.s.Reader, &j, n)
			for err == nil {
				var o Outcome
				if o.Row, err = rows.Next(); err != nil {
					break
				}
				number++
				o.Row.Number = number
				if o.Result, err = results.at(number); err == nil {
					o.Letter, err = letters.at(number)
				}
				if err == nil && !yield(o, nil) {
					return
				}
			}
			if !errors.Is(err, io.EOF) {
				yield(Outcome{}, err)
				return
			}
		}
	}
}

// ahead reads a list by row, page by page.
type ahead[T any] struct {
	row  func(*T) int64
	more func(after int64) ([]T, error)
	page []T
	end  bool
}

// at gives the element of a row, nil if there is none; rows are asked for in
// order.
func (a *ahead[T]) at(row int64) (*T, error) {
	for {
		for len(a.page) > 0 && a.row(&a.page[0]) < row {
			a.page = a.page[1:]
		}
		if len(a.page) > 0 {
			if a.row(&a.page[0]) == row {
				return &a.page[0], nil
			}
			return nil, nil //nolint:nilnil // rows that wait have none
		}
		if a.end {
			return nil, nil //nolint:nilnil // as above
		}
		var err error
		if a.page, err = a.more(row - 1); err != nil {
			return nil, err
		}
		a.end = len(a.page) == 0
	}
}

// Failures goes through the dead letters of a job by row. It ends after the
// first error.
func (b *Bulk) Failures(ctx context.Context, j Job) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		for after := int64(0); ; {
			page, err := b.s.Queue.Letters(ctx, j.ID, after, lettersPage)
			if err != nil {
				yield(Letter{}, err)
				return
			}
			for _, l := range page {
				if !yield(l, nil) {
					return
				}
				after = l.Row
			}
			if len(page) < lettersPage {
				return
			}
		}
	}
}

// headerOf gives the header row of a job in CSV, empty for other formats.
func headerOf(ctx context.Context, q Queue, j *Job) ([]byte, error) {
	if j.Format() != CSV {
		return []byte{}, nil
	}
	data, err := q.Chunk(ctx, j.ID, 0)
	if err != nil {
		return nil, err
	}
	return data[:bytes.IndexByte(data, '\n')+1], nil
}

// Header gives the header row of a job in CSV, empty for other formats.
func (b *Bulk) Header(ctx context.Context, j Job) ([]byte, error) {
	return headerOf(ctx, b.s.Queue, &j)
}

// readAgain reads the row of a letter.
func readAgain(r Reader, header []byte, f Format, l Letter) Row {
	text := l.Text
	if f == CSV {
		text = append(append([]byte{}, header...), l.Text...)
	} else {
		f = NDJSON
	}
	row := Row{Number: l.Row, Text: l.Text}
	rows, err := r.Rows(bytes.NewReader(text), f)
	if err == nil {
		row, err = rows.Next()
	}
	if err != nil && row.Err == nil {
		row.Err = fault.Invalid("row", "can't be read")
	}
	row.Number, row.Text = l.Row, l.Text
	return row
}
