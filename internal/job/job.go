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
	// NotBefore is when it may be leased next.
	NotBefore time.Time
	// Attempts counts the leases that were given.
	Attempts int
	// Version is 1 when added and one more with each change.
	Version int64
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

// Queue keeps jobs. All methods may block, are durable when they return nil,
// and are safe for concurrent use. What is not there is fault.NotFound.
type Queue interface {
	// Add adds a job whose ID is free, else fault.AlreadyExists, as Version 1.
	Add(ctx context.Context, j Job) error
	// Get reads a job.
	Get(ctx context.Context, id ID) (Job, error)
	// PutChunk stores chunk n of a job's input, from 0, of at most MaxChunk
	// bytes, else fault.PayloadTooLarge; the same n again replaces it. It
	// leaves the job itself as it is.
	PutChunk(ctx context.Context, id ID, n int, data []byte) error
	// Chunk reads chunk n.
	Chunk(ctx context.Context, id ID, n int) ([]byte, error)
	// Acquire leases the oldest job of a kind that is Queued, or Running with a
	// lease that has ended, and whose NotBefore has come. It makes it Running,
	// counts the attempt and sets StartedAt with the first one.
	// fault.NotFound if there is none. Of parallel calls one gets a job.
	Acquire(ctx context.Context, kind, holder string, now time.Time, lease time.Duration) (Lease, error)
	// Save replaces the job if its stored version is j.Version, makes it
	// j.Version+1 and gives it back, adds letters (those of a row replace
	// earlier ones of that row) and sets the lease to end at until; all of it
	// or nothing. Kind, Owner and CreatedAt stay what they were. Another
	// version is fault.PreconditionFailed: someone else has the job or has
	// cancelled it.
	Save(ctx context.Context, j Job, letters []Letter, until time.Time) (Job, error)
	// Letters gives at most limit dead letters with rows above after, by row.
	Letters(ctx context.Context, id ID, after int64, limit int) ([]Letter, error)
}
