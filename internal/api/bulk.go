package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kurz/internal/account"
	"kurz/internal/export"
	"kurz/internal/fault"
	"kurz/internal/idempotency"
	"kurz/internal/job"
)

// bulkTypes are the media types of uploads.
var bulkTypes = []struct {
	kind   string
	format job.Format
}{{"text/csv", job.CSV}, {typeJSON, job.JSON}, {"application/x-ndjson", job.NDJSON}}

// jobJSON is a bulk job: the BulkJob schema.
type jobJSON struct {
	ID         string  `json:"id"`
	Status     string  `json:"status"`
	Format     string  `json:"format"`
	Owner      *string `json:"owner"`
	Rows       int64   `json:"rows"`
	Done       int64   `json:"done"`
	Failed     int64   `json:"failed"`
	Error      *string `json:"error"`
	CreatedAt  string  `json:"created_at"`
	StartedAt  *string `json:"started_at"`
	FinishedAt *string `json:"finished_at"`
}

func showJob(j *job.Job) jobJSON {
	return jobJSON{
		ID: string(j.ID), Status: string(j.Status), Format: string(j.Format()), Owner: text(j.Owner.String()),
		Rows: j.Rows, Done: j.Succeeded, Failed: j.DeadLetters, Error: text(j.Error),
		CreatedAt: moment(j.CreatedAt), StartedAt: stamp(j.StartedAt), FinishedAt: stamp(j.FinishedAt),
	}
}

const bulkPath = "/api/v1/bulk"

// accepted answers for a job that waits now.
func accepted(j *job.Job) (idempotency.Answer, error) {
	return answer(http.StatusAccepted, showJob(j), map[string]string{"Location": bulkPath + "/" + string(j.ID)})
}

// createBulk receives an upload and submits it. With an Idempotency-Key the
// upload is received first, and hashed on the way; only then is it judged
// whether it was submitted before, in which case it is dropped.
func (a *API) createBulk(c *call) error {
	asked, keyed, err := c.asked(nil)
	if err != nil {
		return err
	}
	format, err := c.bulkFormat()
	if err != nil {
		return err
	}
	if err := a.room(c, keyed); err != nil {
		return err
	}
	leave, err := a.uploads.enter(c.actor.User, asked.Key)
	if err != nil {
		return err
	}
	defer leave()
	body, err := c.openUpload(a.Now)
	if err != nil {
		return err
	}
	defer body.end()
	upload, err := a.Bulk.Receive(c.ctx(), c.actor, format, body, func(rows int64) error {
		return a.Rates.admits(c.actor, rows)
	})
	if err != nil {
		return body.why(err)
	}
	defer upload.Discard(c.ctx())
	return a.once(c, body.digest(c.r.Header), func(ctx context.Context, op idempotency.Operation) (idempotency.Answer, error) {
		// One that was submitted, and the answer lost, has been counted.
		j, err := a.Bulk.Submitted(ctx, job.Operation(op))
		if err == nil {
			return accepted(&j)
		} else if !fault.Is(err, fault.NotFound) {
			return idempotency.Answer{}, err
		}
		if err := a.countRows(c, c.actor, upload.Rows()); err != nil {
			return idempotency.Answer{}, err
		}
		j, err = upload.Submit(ctx, job.Operation(op))
		if err != nil {
			return idempotency.Answer{}, err
		}
		return accepted(&j)
	})
}

// bulkFormat reads Content-Type.
func (c *call) bulkFormat() (job.Format, error) {
	h := http.Header{"Content-Type": c.r.Header.Values("Content-Type")}
	names := make([]string, len(bulkTypes))
	for i, t := range bulkTypes {
		if names[i] = t.kind; checkType(h, names[i:i+1]) == nil {
			return t.format, nil
		}
	}
	return "", checkType(h, names)
}

func (a *API) listBulk(c *call) error {
	var q job.Query
	var errs [3]error
	q.Limit, errs[0] = c.query.limit()
	q.Owner, errs[1] = owner(c)
	q.After, errs[2] = parseJobCursor(c.query.text("cursor"))
	if err := gather(errs[:]...); err != nil {
		return err
	}
	page := q.Limit
	q.Limit++ // whether there is another page
	jobs, err := a.Bulk.List(c.ctx(), c.actor, q)
	if err != nil {
		return err
	}
	next := ""
	if len(jobs) > page {
		jobs = jobs[:page]
		next = jobCursor(&jobs[page-1])
	}
	shown := make([]jobJSON, len(jobs))
	for i := range jobs {
		shown[i] = showJob(&jobs[i])
	}
	return c.reply(newList(shown, next), nil)
}

func jobCursor(j *job.Job) string {
	return base64.RawURLEncoding.EncodeToString([]byte("j" + strconv.FormatInt(j.CreatedAt.UnixMilli(), 10) + "." + string(j.ID)))
}

// parseJobCursor reads what jobCursor wrote.
func parseJobCursor(s string) (job.Cursor, error) {
	if s == "" {
		return job.Cursor{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err == nil && len(b) > 0 && b[0] == 'j' && len(b) <= 128 {
		ms, id, _ := strings.Cut(string(b[1:]), ".")
		at, err := strconv.ParseInt(ms, 10, 64)
		cursor := job.Cursor{CreatedAt: time.UnixMilli(at).UTC(), ID: job.ID(id)}
		// Compared, since the decoders overlook line ends and signs.
		if err == nil && jobCursor(&job.Job{ID: cursor.ID, CreatedAt: cursor.CreatedAt}) == s {
			return cursor, nil
		}
	}
	return job.Cursor{}, fault.Invalid("cursor", "is not one that this listing gave out: leave it out to begin again")
}

func (a *API) getBulk(c *call) error {
	j, err := a.Bulk.Get(c.ctx(), c.actor, job.ID(c.segment))
	if err != nil {
		return err
	}
	return c.reply(showJob(&j), nil)
}

func (a *API) cancelBulk(c *call) error {
	j, err := a.Bulk.Get(c.ctx(), c.actor, job.ID(c.segment))
	if err != nil {
		return err
	}
	owner, err := a.ownerOf(c, j.Owner)
	if err != nil {
		return err
	}
	j, cancelled, err := a.Bulk.Cancel(c.ctx(), c.actor, j.ID)
	if err != nil {
		return err
	}
	if cancelled {
		a.giveBack(c, owner, &j)
	}
	return c.empty(http.StatusNoContent)
}

// retryBulk takes the failed rows of a job back. It needs no body, and is given
// none.
func (a *API) retryBulk(c *call) error {
	if n, _ := c.r.Body.Read(make([]byte, 1)); n > 0 {
		return fault.Invalid("body", "must be empty: the rows that failed are tried as they are")
	}
	return a.once(c, nil, func(ctx context.Context, _ idempotency.Operation) (idempotency.Answer, error) {
		j, err := a.Bulk.Retry(ctx, c.actor, job.ID(c.segment), func(id account.ID, rows int64) error {
			owner, err := a.ownerOf(c, id)
			if err != nil {
				return err
			}
			return a.countRows(c, owner, rows)
		})
		if err != nil {
			return idempotency.Answer{}, err
		}
		return accepted(&j)
	})
}

// resultColumns is the header row of results.csv.
var resultColumns = []string{"row", "status", "long_url", "short_code", "short_url", "code", "error"}

func (a *API) bulkResults(c *call) error {
	j, err := a.Bulk.Get(c.ctx(), c.actor, job.ID(c.segment))
	if err != nil {
		return err
	}
	out := c.streamCSV("results-"+string(j.ID)+".csv", resultColumns)
	if c.r.Method == http.MethodHead {
		return nil
	}
	for o, err := range a.Bulk.Outcomes(c.ctx(), j) {
		if err == nil {
			err = out.row(a.resultRow(&o)...)
		}
		if err != nil {
			return err // which cuts the connection: a part is not taken for the whole
		}
	}
	return out.end()
}

func (a *API) resultRow(o *job.Outcome) []string {
	row := []string{number(o.Row.Number), "waiting", harmless(o.Row.Creation.LongURL), "", "", "", ""}
	switch {
	case o.Result != nil:
		if row[1] = "created"; o.Result.Found {
			row[1] = "found"
		}
		row[3], row[4] = harmless(string(o.Result.Key.Code)), a.Domains.ShortURL(o.Result.Key)
	case o.Letter != nil:
		row[1], row[5], row[6] = "failed", o.Letter.Code, harmless(o.Letter.Error)
	}
	return row
}

func (a *API) bulkFailures(c *call) error {
	j, err := a.Bulk.Get(c.ctx(), c.actor, job.ID(c.segment))
	if err != nil {
		return err
	}
	table, err := a.failureTable(c.ctx(), j)
	if err != nil {
		return err
	}
	out := c.streamCSV("failures-"+string(j.ID)+".csv", table.Header())
	if c.r.Method == http.MethodHead {
		return nil
	}
	for l, err := range a.Bulk.Failures(c.ctx(), j) {
		if err != nil {
			return err
		}
		cells := table.Cells(l.Text)
		if err := out.row(append(cells, number(l.Row), l.Code, export.Harmless(l.Error))...); err != nil {
			return err
		}
	}
	return out.end()
}

// csvStream is an answer in CSV of any length, a part of it in memory.
type csvStream struct {
	c       *call
	b       bytes.Buffer
	control *http.ResponseController
	write   func([]string) error
	flush   func()
}

// streamCSV begins such an answer.
func (c *call) streamCSV(file string, header []string) *csvStream {
	s := &csvStream{c: c, control: http.NewResponseController(c.w)}
	out := newCSV(&s.b)
	s.write, s.flush = out.Write, out.Flush
	c.beginCSV(file)
	_ = s.write(header) // into memory
	return s
}

// csvPart is how much is sent at a time.
const csvPart = 64 << 10

func (s *csvStream) row(cells ...string) error {
	if err := s.write(cells); err != nil || s.b.Len() < csvPart {
		return err
	}
	return s.end()
}

// end sends what is in memory.
func (s *csvStream) end() error {
	s.flush()
	_ = s.control.SetWriteDeadline(time.Now().Add(exportTime)) // where there is a connection
	if _, err := s.b.WriteTo(s.c.w); err != nil {
		return fault.Wrap(fault.Unavailable, err, "The client went away")
	}
	return nil
}
