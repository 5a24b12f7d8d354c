package job

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// Maker makes links, many at a time: a link.Registry.
type Maker interface {
	CreateMany(ctx context.Context, a account.Actor, cs []link.Creation) ([]link.Made, error)
}

// WorkerSettings are what a Worker works with. All but Breathe and Logger are
// needed.
type WorkerSettings struct {
	Queue  Queue
	Reader Reader
	Maker  Maker
	// User reads the owner of a job, as of now.
	User func(ctx context.Context, id account.ID) (account.User, error)
	Now  func() time.Time
	// Holder names this worker among others.
	Holder string
	// Batch is how many rows are made at once, at most; 0: 10,000.
	Batch int
	// Breathe, unless nil, is called between rows, and may hold up the work.
	Breathe func()
	Logger  *slog.Logger
}

// Worker makes links of the rows of bulk jobs, one job at a time. Jobs take
// turns, so that none waits for a large one to end.
//
// A row is made with an operation of its own, derived from the job and the
// row's number, so that a row that is done again, since the process died
// before its progress was saved, makes nothing twice.
type Worker struct {
	s    WorkerSettings
	wake chan struct{}

	done, failed, retried atomic.Uint64

	mu   sync.Mutex
	turn *turn // nil: no job is at work
}

// turn is a job at work.
type turn struct {
	job  ID
	over atomic.Bool   // no more of its rows are begun
	left chan struct{} // closed once what was begun is told
}

// Rhythm and bounds of the work.
const (
	batchRows = 10_000
	// batchBytes of text, and the row that reaches it, are the end of a batch.
	batchBytes = 8 << 20
	// lease is longer than a batch takes; each one that is saved prolongs it.
	lease = 30 * time.Second
	// turnLength is for how long a job is worked on while others wait.
	turnLength = 3 * time.Second
	poll       = 2 * time.Second
	// maxAttempts is how often in a row a job may be begun without getting on:
	// for about an hour.
	maxAttempts = 20
	minBackoff  = time.Second
	maxBackoff  = 5 * time.Minute
	// farewell bounds what is saved at the end of the program.
	farewell = 5 * time.Second
)

// NewWorker makes a Worker.
func NewWorker(s WorkerSettings) *Worker {
	if s.Batch == 0 {
		s.Batch = batchRows
	}
	if s.Breathe == nil {
		s.Breathe = func() {}
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return &Worker{s: s, wake: make(chan struct{}, 1)}
}

// Wake tells that there is work. It does not block.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Leave has the work on a job end that was cancelled, if it is here, and waits
// until what was made of it is told, or ctx ends.
func (w *Worker) Leave(ctx context.Context, id ID) {
	w.mu.Lock()
	t := w.turn
	w.mu.Unlock()
	if t == nil || t.job != id {
		return
	}
	t.over.Store(true)
	select {
	case <-t.left:
	case <-ctx.Done():
	}
}

// begin and end stand around a job's turn.
func (w *Worker) begin(id ID) *turn {
	t := &turn{job: id, left: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn = t
	return t
}

func (w *Worker) end(t *turn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn = nil
	close(t.left)
}

// Stats are counts since the start.
type Stats struct {
	Done, Failed uint64 // rows
	PutOff       uint64 // jobs, since something could not be asked
}

// Stats gives the counts so far.
func (w *Worker) Stats() Stats {
	return Stats{w.done.Load(), w.failed.Load(), w.retried.Load()}
}

// Run works until ctx ends. A job that is at work then is given back, and
// whoever is next goes on with it.
func (w *Worker) Run(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		l, err := w.acquire(ctx)
		for err == nil {
			failures = 0
			next := w.work(ctx, l.Job)
			if next == nil {
				break
			}
			l = *next
		}
		if err == nil {
			continue // there may be more
		}
		wait := poll
		if !fault.Is(err, fault.NotFound) && ctx.Err() == nil {
			if failures++; failures == 1 {
				w.s.Logger.Warn("bulk jobs wait: the queue can't be asked", "error", err)
			}
			wait = backoff(failures)
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-time.After(wait):
		}
	}
	return nil
}

func (w *Worker) acquire(ctx context.Context) (Lease, error) {
	return w.s.Queue.Acquire(ctx, Kind, w.s.Holder, w.now(), lease)
}

func (w *Worker) now() time.Time { return w.s.Now().UTC().Truncate(time.Millisecond) }

// backoff gives half of 1 s, 2 s, 4 s … 5 min to all of it, so that workers do
// not come back together.
func backoff(attempt int) time.Duration {
	d := min(minBackoff<<min(max(attempt-1, 0), 20), maxBackoff)
	return d/2 + rand.N(d/2+1)
}

// errBroken is why a job can't ever go on; its text is for people.
type errBroken struct{ fault error }

func (e errBroken) Error() string { return e.fault.Error() }

// work does a job until it ends, someone else has it, or its turn is over; then
// it gives the lease of the next.
func (w *Worker) work(ctx context.Context, j Job) *Lease {
	t := &task{w: w, job: j, source: j, turn: w.begin(j.ID), ends: w.now().Add(turnLength)}
	defer w.end(t.turn)
	err := t.run(ctx)
	if late := t.flush(ctx, nil); late != nil && ctx.Err() == nil {
		err = late
	}
	switch broken, isBroken := errors.AsType[errBroken](err); {
	case err == nil, fault.Is(err, fault.PreconditionFailed), fault.Is(err, fault.NotFound):
		return t.next // it is done, or no longer ours
	case ctx.Err() != nil:
		t.giveBack(ctx)
	case isBroken:
		t.fail(ctx, fault.Of(broken.fault).Message)
	case t.job.Attempts >= maxAttempts:
		w.s.Logger.Error("bulk job given up", "job", j.ID, "attempts", t.job.Attempts, "error", err)
		t.fail(ctx, "The links could not be stored, however often it was tried. Nothing that was done is lost: retry goes on from there")
	default:
		w.retried.Add(1)
		w.s.Logger.Warn("bulk job put off", "job", j.ID, "attempts", t.job.Attempts, "error", err)
		t.putOff(ctx)
	}
	return nil
}

// owner gives the owner of a job as who acts.
func (w *Worker) owner(ctx context.Context, id account.ID) (account.Actor, error) {
	u, err := w.s.User(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return account.Actor{}, errBroken{fault.New(fault.NotFound, "The user who sent this is unknown")}
	case err != nil:
		return account.Actor{}, err
	case !u.DisabledAt.IsZero() && !w.s.Now().Before(u.DisabledAt):
		return account.Actor{}, errBroken{fault.New(fault.Forbidden, "The user who sent this is disabled: enable the user, then retry")}
	}
	return account.Actor{User: u.ID, Email: u.Email, Role: u.Role, Tier: u.Tier}, nil
}
