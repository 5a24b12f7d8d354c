package client

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// BulkFormat is how a file of links is written.
type BulkFormat string

// The formats.
const (
	BulkCSV    BulkFormat = "text/csv"             // with a header row
	BulkJSON   BulkFormat = "application/json"     // an array of objects
	BulkNDJSON BulkFormat = "application/x-ndjson" // an object a line
)

// BulkJob is a file of links that was sent, and how far the server is with it.
// Times that are none are zero.
type BulkJob struct {
	ID         string    `json:"id"`
	Status     string    `json:"status"` // queued, running, done, failed or cancelled
	Format     string    `json:"format"`
	Owner      string    `json:"owner,omitempty"`
	Rows       int64     `json:"rows"`
	Done       int64     `json:"done"`
	Failed     int64     `json:"failed"`
	Error      string    `json:"error,omitempty"` // why the job, not a row of it, failed
	CreatedAt  time.Time `json:"created_at"`
	StartedAt  time.Time `json:"started_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

// Ended reports whether nothing more happens by itself.
func (j *BulkJob) Ended() bool {
	return j.Status == "done" || j.Status == "failed" || j.Status == "cancelled"
}

const bulkPath = "/api/v1/bulk"

// Bulk sends a file of links, as it is read, and gives the job that makes them.
// A file that is an io.Seeker is sent again where the connection breaks, from
// where it stood; the server makes one job of it. A file that gzip packed is sent
// as it is, with the format of what is in it. There is no time limit but ctx.
func (c *Client) Bulk(ctx context.Context, f BulkFormat, file io.Reader) (*BulkJob, error) {
	return c.BulkOnce(ctx, f, file, rand.Text())
}

// BulkOnce is Bulk for a file that the caller has a name for, of at most 255
// visible ASCII characters: for 24 hours the server gives the job that it made of
// it first.
func (c *Client) BulkOnce(ctx context.Context, f BulkFormat, file io.Reader, name string) (*BulkJob, error) {
	seeker, _ := file.(io.Seeker)
	var start int64
	if seeker != nil {
		var err error
		if start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			seeker = nil // a pipe
		}
	}
	q := call{method: http.MethodPost, path: bulkPath, contentType: string(f), idempotency: name}
	for attempt := 0; ; attempt++ {
		var j BulkJob
		body := &lent{file: file}
		in := bufio.NewReader(body)
		if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" { // a shorter file is not packed
			q.encoding = "gzip"
		}
		err := c.stream(ctx, q, io.NopCloser(in), func(answer io.Reader) error {
			return json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(&j)
		})
		if err == nil {
			return &j, nil
		}
		wait, again := c.again(q, err, attempt)
		if !again || seeker == nil || !sleep(ctx, wait) {
			return nil, err
		}
		body.takeBack()
		if _, err := seeker.Seek(start, io.SeekStart); err != nil {
			return nil, err
		}
	}
}

// lent is a file for the time of one request: net/http may go on to read a body
// after the answer.
type lent struct {
	mu   sync.Mutex
	file io.Reader // nil: it was taken back
}

func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0, io.ErrClosedPipe
	}
	return l.file.Read(p)
}

// takeBack waits for a Read that is under way; there is no other then.
func (l *lent) takeBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = nil
}

// BulkJob reads how far a job is.
func (c *Client) BulkJob(ctx context.Context, id string) (*BulkJob, error) {
	return c.bulk(ctx, call{method: http.MethodGet, path: bulkJobPath(id)})
}

// BulkJobs gives the caller's jobs (an admin's: everybody's), newest first. It
// ends after the first error.
func (c *Client) BulkJobs(ctx context.Context) iter.Seq2[*BulkJob, error] {
	return pages[*BulkJob](ctx, c, bulkPath, url.Values{"limit": {strconv.Itoa(100)}})
}

// WaitBulk asks about a job until it has ended, and tells of each answer, if told
// is not nil. Where ctx ends first, or would before the next answer, it gives the
// last one and an error.
func (c *Client) WaitBulk(ctx context.Context, id string, told func(*BulkJob)) (*BulkJob, error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		j, err := c.BulkJob(ctx, id)
		if err != nil {
			return nil, err
		}
		if told != nil {
			told(j)
		}
		if j.Ended() {
			return j, nil
		}
		if !sleep(ctx, wait) {
			return j, cmp.Or(context.Cause(ctx), context.DeadlineExceeded)
		}
	}
}

// CancelBulk ends a job; the links that are made stay. One that has ended is no
// error.
func (c *Client) CancelBulk(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: bulkJobPath(id)}, nil)
	return err
}

// RetryBulk has the rows of a job tried again that failed, and a job that did not
// come to its end go on.
func (c *Client) RetryBulk(ctx context.Context, id string) (*BulkJob, error) {
	return c.bulk(ctx, call{method: http.MethodPost, path: bulkJobPath(id) + "/retry"})
}

// BulkResults writes what became of each row as CSV.
func (c *Client) BulkResults(ctx context.Context, id string, w io.Writer) error {
	return c.download(ctx, bulkJobPath(id)+"/results.csv", w)
}

// BulkFailures writes the rows that failed as CSV, which can be corrected and
// sent with Bulk.
func (c *Client) BulkFailures(ctx context.Context, id string, w io.Writer) error {
	return c.download(ctx, bulkJobPath(id)+"/failures.csv", w)
}

func (c *Client) download(ctx context.Context, path string, w io.Writer) error {
	return c.stream(ctx, call{method: http.MethodGet, path: path}, nil, func(answer io.Reader) error {
		_, err := io.Copy(w, answer)
		return err
	})
}

// stream sends a call once, with a body of any length, and reads an answer of
// any length.
func (c *Client) stream(ctx context.Context, q call, body io.ReadCloser, read func(io.Reader) error) error {
	req, err := c.request(ctx, q, nil)
	if err != nil {
		return err
	}
	if body != nil {
		req.Body, req.ContentLength, req.GetBody = body, -1, nil
		req.Header.Set("Content-Type", q.contentType)
		if q.encoding != "" {
			req.Header.Set("Content-Encoding", q.encoding)
		}
	}
	h := *c.http
	h.Timeout = 0
	resp, err := h.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("%s %s: %w", q.method, q.path, err)
		}
		return errorOf(resp, answer)
	}
	if err := read(resp.Body); err != nil {
		return fmt.Errorf("%s %s: %w", q.method, q.path, err)
	}
	return nil
}

func (c *Client) bulk(ctx context.Context, q call) (*BulkJob, error) {
	var j BulkJob
	_, err := c.do(ctx, q, &j)
	return &j, err
}

func bulkJobPath(id string) string { return bulkPath + "/" + url.PathEscape(id) }
