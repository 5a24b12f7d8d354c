// Package job is background work that outlives the process: leased by one
// worker at a time, resumed by another when that one dies, with its progress
// and its failures (dead letters) kept.
//
// A job's input is a numbered sequence of chunks, so that a store need not hold
// it in one value. A worker saves its progress with its lease; what is done
// between two saves is done again after a crash, so each item carries an
// operation of its own that makes doing it twice a no-op.
package job

import (
	"context"
	"time"

	"kurz/internal/account"
	"kurz/internal/link"
)

// ID names a job: "job_" and base 62.
type ID string

// MaxChunk is the size of the largest chunk, in bytes.
const MaxChunk = 256 << 10

// Status is where a job is.
type Status string

// The statuses. The last three are final, but that Reopen takes a job back.
const (
	Receiving Status = "receiving" // chunks are still being added
	Queued    Status = "queued"
	Running   Status = "running"
	Done      Status = "done"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Final reports whether nothing more will happen to the job by itself.
func (s Status) Final() bool { return s == Done || s == Failed || s == Cancelled }

// Job is a piece of work and how far it is.
type Job struct {
	ID     ID
	Kind   string // which worker takes it
	Owner  account.ID
	Params []byte // for the worker: how to read the chunks
	Status Status
	// Chunks is the number of chunks of input.
	Chunks int
	// Rows, Succeeded and DeadLetters count items.
	Rows, Succeeded, DeadLetters int64
	// Position is the worker's own note of where to go on.
	Position []byte
	// Error is why it Failed, for people.
	Error      string
	CreatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	// NotBefore is when it may be leased next; of a Receiving one, when its
	// upload counts as given up.
	NotBefore time.Time
	// Attempts counts the leases that were given; a worker that gets on sets it
	// back.
	Attempts int
	// Version is 1 when added and one more with each change.
	Version int64
}

// Counted is how many rows count as worked on: all, unless it was cancelled
// before.
func (j *Job) Counted() int64 {
	if j.Status == Cancelled {
		return j.Succeeded + j.DeadLetters
	}
	return j.Rows
}

// Lease is the right to work on a job until it ends.
type Lease struct {
	Job    Job
	Holder string
	Until  time.Time
}

// Letter is an item that failed: a dead letter.
type Letter struct {
	Row   int64  // from 1
	Text  []byte // as it came
	Code  string
	Error string
}

// Result is an item that succeeded: the link that a row made or found.
type Result struct {
	Row   int64 // from 1
	Key   link.Key
	Found bool // the link was there before
}

// Progress is what became of items since the last Save.
type Progress struct {
	// Letters replace earlier ones of their rows.
	Letters []Letter
	// Results, by row, replace earlier ones of their rows. The letters of these
	// rows are taken away.
	Results []Result
}

// Operation names one upload, the same for each retry of it; the zero
// Operation names none.
type Operation [16]byte

// Query selects jobs for a listing.
type Query struct {
	Kind  string
	Owner account.ID // 0: everybody's
	After Cursor
	Limit int // 1 to 500
}

// Cursor is the last job of a page; the zero Cursor begins with the newest.
type Cursor struct {
	CreatedAt time.Time
	ID        ID
}

// Queue keeps jobs. All methods may block, are durable when they return nil,
// and are safe for concurrent use. What is not there is fault.NotFound.
type Queue interface {
	// Add adds a job whose ID is free, else fault.AlreadyExists, as Version 1.
	Add(ctx context.Context, j Job) error
	// Get reads a job.
	Get(ctx context.Context, id ID) (Job, error)
	// List gives jobs that are no longer Receiving, newest first: by CreatedAt,
	// then by ID.
	List(ctx context.Context, q Query) ([]Job, error)
	// PutChunk stores chunk n of a job's input, from 0, of at most MaxChunk
	// bytes, else fault.PayloadTooLarge; the same n again replaces it. It
	// leaves the job itself as it is.
	PutChunk(ctx context.Context, id ID, n int, data []byte) error
	// Chunk reads chunk n.
	Chunk(ctx context.Context, id ID, n int) ([]byte, error)
	// Submit ends the receiving of a job: it replaces it as Save does. Where a
	// job was submitted with the same op before, unless op is zero, that one is
	// given back as it is now, and j with all that belongs to it is dropped.
	Submit(ctx context.Context, j Job, op Operation) (Job, error)
	// Submitted reads the job that was submitted with op.
	Submitted(ctx context.Context, op Operation) (Job, error)
	// Acquire leases the job of a kind that is Queued, or Running with a lease
	// that has ended, and whose NotBefore has come: the one whose NotBefore came
	// first, of several the oldest. It makes it Running, counts the attempt and
	// sets StartedAt with the first one. fault.NotFound if there is none. Of
	// parallel calls one gets a job.
	Acquire(ctx context.Context, kind, holder string, now time.Time, lease time.Duration) (Lease, error)
	// Save replaces the job if its stored version is j.Version, makes it
	// j.Version+1 and gives it back, adds the progress and sets the lease to
	// end at until; all of it or nothing. Kind, Owner and CreatedAt stay what
	// they were. Another version is fault.PreconditionFailed: someone else has
	// the job or has cancelled it.
	Save(ctx context.Context, j Job, p Progress, until time.Time) (Job, error)
	// Letters gives at most limit dead letters with rows above after, by row.
	Letters(ctx context.Context, id ID, after int64, limit int) ([]Letter, error)
	// Results gives at most limit results with rows above after, by row.
	Results(ctx context.Context, id ID, after int64, limit int) ([]Result, error)
	// Counts tells how many jobs of a kind there are with each status.
	Counts(ctx context.Context, kind string) (map[Status]int64, error)
	// Drop makes that there is no such job, whoever works on it. What it took
	// is given back by Sweep.
	Drop(ctx context.Context, id ID) error
	// Sweep drops jobs that are Receiving and whose NotBefore has come at now,
	// and those that are final and were so before the given time, and gives
	// back what dropped jobs took: at most limit pieces, each no larger than a
	// chunk. It says how many; fewer than limit are the last.
	Sweep(ctx context.Context, now, before time.Time, limit int) (int, error)
}
