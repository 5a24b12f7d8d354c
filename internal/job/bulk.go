package job

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/big"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// Kind is that of jobs whose items are rows that each make a link.
const Kind = "bulk"

// Bounds of an upload, and for how long a finished job is kept.
const (
	MaxRows  = 1_000_000
	MaxBytes = 256 << 20 // uncompressed
	Keep     = 30 * 24 * time.Hour
)

const (
	// givenUp is after what time without a sign an upload counts as given up.
	givenUp = 10 * time.Minute
	// signEvery is how often it gives one.
	signEvery = time.Minute
)

// BulkSettings are what Bulk works with.
type BulkSettings struct {
	Queue  Queue
	Reader Reader
	Now    func() time.Time
	Rand   io.Reader // secure
	// MaxRows and MaxBytes bound an upload: the constants of these names where 0.
	MaxRows, MaxBytes int64
	// Wake, unless nil, is told that there is work.
	Wake func()
	// Leave, unless nil, is Worker.Leave.
	Leave func(context.Context, ID)
}

// Bulk holds the rules for bulk jobs: who may send, see, cancel and retry
// them. It is safe for concurrent use.
type Bulk struct{ s BulkSettings }

// NewBulk makes a Bulk.
func NewBulk(s BulkSettings) *Bulk {
	if s.Wake == nil {
		s.Wake = func() {}
	}
	if s.Leave == nil {
		s.Leave = func(context.Context, ID) {}
	}
	s.MaxRows, s.MaxBytes = cmp.Or(s.MaxRows, MaxRows), cmp.Or(s.MaxBytes, MaxBytes)
	return &Bulk{s}
}

// params is what a job keeps of how to read its chunks.
type params struct {
	Format Format `json:"format"`
}

// Format tells how the rows of a job are written.
func (j *Job) Format() Format {
	var p params
	_ = json.Unmarshal(j.Params, &p) // kurz wrote it
	return p.Format
}

// Upload is a job that is being received.
type Upload struct {
	bulk *Bulk
	job  Job
}

// Receive reads an upload to its end and keeps it, chunk by chunk. What is
// wrong with it as a whole is a fault, and then nothing of it stays; rows that
// are wrong fail one by one, later. admit is asked before more is read whether
// so many rows may be sent.
func (b *Bulk) Receive(ctx context.Context, a account.Actor, f Format, r io.Reader, admit func(rows int64) error) (*Upload, error) {
	if a.Anonymous() {
		return nil, a.MayManage(0)
	}
	bounded := &boundedReader{r: r, left: b.s.MaxBytes, most: b.s.MaxBytes}
	cutter, err := b.s.Reader.Cutter(bounded, f)
	if err != nil {
		return nil, bounded.why(err)
	}
	id, err := b.newID()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(params{f})
	if err != nil {
		return nil, err
	}
	now := b.now()
	u := &Upload{bulk: b, job: Job{
		ID: id, Kind: Kind, Owner: a.User, Params: text, Status: Receiving,
		CreatedAt: now, NotBefore: now.Add(givenUp), Version: 1,
	}}
	if err := b.s.Queue.Add(ctx, u.job); err != nil {
		return nil, err
	}
	if err := u.receive(ctx, cutter, admit); err != nil {
		u.Discard(ctx)
		return nil, bounded.why(err)
	}
	return u, nil
}

func (u *Upload) receive(ctx context.Context, cutter Cutter, admit func(rows int64) error) error {
	q := u.bulk.s.Queue
	for {
		chunk, rows, err := cutter.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if u.job.Rows += rows; u.job.Rows > u.bulk.s.MaxRows {
			return fault.New(fault.PayloadTooLarge, "An upload may have at most %d rows: send it in parts", u.bulk.s.MaxRows)
		}
		if err := admit(u.job.Rows); err != nil {
			return err
		}
		if err := q.PutChunk(ctx, u.job.ID, u.job.Chunks, chunk); err != nil {
			return err
		}
		u.job.Chunks++
		if now := u.bulk.now(); u.job.NotBefore.Sub(now) < givenUp-signEvery {
			u.job.NotBefore = now.Add(givenUp)
			if u.job, err = q.Save(ctx, u.job, Progress{}, now); err != nil {
				return err
			}
		}
	}
	if u.job.Rows == 0 {
		return fault.Invalid("body", "has no rows")
	}
	return nil
}

// Rows tells how many rows there are.
func (u *Upload) Rows() int64 { return u.job.Rows }

// Submit makes the upload a job that waits for its turn. Where another was
// submitted with the same op, that job is given, and this upload is gone.
func (u *Upload) Submit(ctx context.Context, op Operation) (Job, error) {
	j := u.job
	j.Status, j.CreatedAt, j.NotBefore = Queued, u.job.CreatedAt, u.bulk.now()
	j, err := u.bulk.s.Queue.Submit(ctx, j, op)
	if err == nil {
		u.job = Job{}
		u.bulk.s.Wake()
	}
	return j, err
}

// Submitted gives the job that was submitted with op; fault.NotFound if there is
// none.
func (b *Bulk) Submitted(ctx context.Context, op Operation) (Job, error) {
	if op == (Operation{}) {
		return Job{}, fault.New(fault.NotFound, "This upload has no operation")
	}
	return b.s.Queue.Submitted(ctx, op)
}

// Discard lets go of an upload that was not submitted; of any other it does
// nothing. If that fails, it is swept later.
func (u *Upload) Discard(ctx context.Context) {
	if u.job.ID != "" {
		_ = u.bulk.s.Queue.Drop(context.WithoutCancel(ctx), u.job.ID)
	}
}

// Get reads a job for its owner or an admin.
func (b *Bulk) Get(ctx context.Context, a account.Actor, id ID) (Job, error) {
	if a.Anonymous() {
		return Job{}, a.MayManage(0)
	}
	j, err := b.s.Queue.Get(ctx, id)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return Job{}, err
	case err != nil, j.Kind != Kind, j.Status == Receiving:
		return Job{}, fault.New(fault.NotFound, "There is no bulk job of this ID")
	case !a.IsAdmin() && a.User != j.Owner:
		return Job{}, fault.New(fault.Forbidden, "This bulk job belongs to someone else")
	}
	return j, nil
}

// List gives jobs, newest first: an admin's query may be about everybody's,
// anyone else's is about their own.
func (b *Bulk) List(ctx context.Context, a account.Actor, q Query) ([]Job, error) {
	if a.Anonymous() {
		return nil, a.MayManage(0)
	}
	if q.Kind = Kind; !a.IsAdmin() {
		q.Owner = a.User
	}
	return b.s.Queue.List(ctx, q)
}

// Since gives a user's jobs that were made at the given time or later, newest
// first. It ends after the first error.
func (b *Bulk) Since(ctx context.Context, owner account.ID, since time.Time) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		for q := (Query{Kind: Kind, Owner: owner, Limit: jobsPage}); ; {
			page, err := b.s.Queue.List(ctx, q)
			if err != nil {
				yield(Job{}, err)
				return
			}
			for _, j := range page {
				if j.CreatedAt.Before(since) || !yield(j, nil) {
					return
				}
				q.After = Cursor{j.CreatedAt, j.ID}
			}
			if len(page) < q.Limit {
				return
			}
		}
	}
}

// Cancel ends a job and reports whether it did; what is done stays, and j tells of
// it all, unless it takes a worker more than 5 s to end. One that has ended is left
// as it is.
func (b *Bulk) Cancel(ctx context.Context, a account.Actor, id ID) (j Job, cancelled bool, err error) {
	j, err = b.change(ctx, a, id, func(j *Job) (bool, error) {
		if cancelled = !j.Status.Final(); cancelled {
			j.Status, j.FinishedAt = Cancelled, b.now()
		}
		return cancelled, nil
	})
	if err != nil || !cancelled {
		return j, false, err
	}
	leaving, stop := context.WithTimeout(ctx, farewell)
	defer stop()
	b.s.Leave(leaving, id)
	if told, err := b.s.Queue.Get(ctx, id); err == nil {
		j = told
	}
	return j, true, nil
}

// Retry takes a job back: the rows that failed are tried again, and one that
// did not come to its end goes on where it stopped. A job that is waiting or
// running, and one that has nothing left to do, is left as it is. admit is asked
// before whether so many rows, which did not count while it was cancelled, may be
// worked on for its owner.
func (b *Bulk) Retry(ctx context.Context, a account.Actor, id ID, admit func(owner account.ID, rows int64) error) (Job, error) {
	var admitted int64
	j, err := b.change(ctx, a, id, func(j *Job) (bool, error) {
		at, err := parsePosition(j.Position)
		if err != nil || !j.Status.Final() || j.DeadLetters == 0 && at.Chunk >= j.Chunks {
			return false, err
		}
		if rows := j.Rows - j.Counted() - admitted; rows > 0 {
			if err := admit(j.Owner, rows); err != nil {
				return false, err
			}
			admitted += rows
		}
		if j.DeadLetters > 0 {
			at.Retrying, at.After, at.Until = true, 0, at.Row
		}
		j.Status, j.Error, j.Attempts, j.Position = Queued, "", 0, at.bytes()
		j.FinishedAt, j.NotBefore = time.Time{}, b.now()
		return true, nil
	})
	if err == nil {
		b.s.Wake()
	}
	return j, err
}

// change reads a job, changes and stores it, again from the start where the
// worker was faster.
func (b *Bulk) change(ctx context.Context, a account.Actor, id ID, edit func(*Job) (bool, error)) (Job, error) {
	for attempt := 0; ; attempt++ {
		j, err := b.Get(ctx, a, id)
		if err != nil {
			return Job{}, err
		}
		changed, err := edit(&j)
		if err != nil || !changed {
			return j, err
		}
		saved, err := b.s.Queue.Save(ctx, j, Progress{}, b.now())
		if err == nil || !fault.Is(err, fault.PreconditionFailed) || attempt == 100 {
			return saved, err
		}
	}
}

func (b *Bulk) newID() (ID, error) {
	var random [16]byte
	if _, err := io.ReadFull(b.s.Rand, random[:]); err != nil {
		return "", err
	}
	return ID("job_" + new(big.Int).SetBytes(random[:]).Text(62)), nil
}

func (b *Bulk) now() time.Time { return b.s.Now().UTC().Truncate(time.Millisecond) }

// position is how far a job is: Job.Position.
type position struct {
	Chunk int   `json:"chunk"` // the next one, or the one begun
	Done  int   `json:"done"`  // rows of it
	Row   int64 `json:"row"`   // rows of all
	// Retrying says that the letters of rows up to Until are gone through
	// first, and After how far that is.
	Retrying bool  `json:"retrying,omitempty"`
	After    int64 `json:"after,omitempty"`
	Until    int64 `json:"until,omitempty"`
}

func parsePosition(b []byte) (at position, err error) {
	if len(b) > 0 {
		if err = json.Unmarshal(b, &at); err != nil {
			err = fmt.Errorf("position of a job: %w", err)
		}
	}
	return at, err
}

func (p position) bytes() []byte {
	b, err := json.Marshal(p)
	if err != nil { // numbers only: it can't fail
		return nil
	}
	return b
}

// operationOf names the creation of a row, in every attempt: by 12 bytes of a hash
// of the job's ID around the row's number, so that those of a job follow one
// another in a store's index.
func operationOf(id ID, row int64) link.Operation {
	sum := sha256.Sum256([]byte("kurz bulk rows of " + id))
	op := link.Operation(sum[:16])
	binary.BigEndian.PutUint32(op[6:], uint32(row))
	return op
}

// boundedReader reads at most so many bytes and knows whether there were more.
type boundedReader struct {
	r    io.Reader
	left int64
	most int64
	over bool
}

var errTooLarge = errors.New("upload too large")

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.over {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		b.over = true
		return 0, errTooLarge
	}
	return n, err
}

// why gives the fault of an upload that could not be read.
func (b *boundedReader) why(err error) error {
	if b.over {
		return fault.New(fault.PayloadTooLarge, "An upload may have at most %d bytes: send it in parts", b.most)
	}
	return err
}
