package job

import (
	"context"
	"errors"
	"io"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// task is a job under work. While links are made of some rows, what became of
// those before them is saved and those after them are read.
type task struct {
	w     *Worker
	job   Job      // as it was saved last
	at    position // behind the rows that are made
	actor account.Actor
	turn  *turn
	ends  time.Time // of its turn, if others wait
	next  *Lease    // of the job whose turn it is then

	// Of whoever reads:
	source Job  // as it was when its turn began
	chunk  int  // the one that rows reads
	rows   Rows // nil: none is open
	header []byte

	saving *batch        // nil: nothing is being saved
	saved  chan struct{} // closed once that is done
}

// batch is what became of some rows.
type batch struct {
	Progress
	at       position // behind them
	retrying bool

	job Job // as it was saved
	err error
}

// applied gives the job with what became of the rows.
func (b *batch) applied(j Job) Job {
	j.Position = b.at.bytes()
	j.Succeeded += int64(len(b.Results))
	if b.retrying {
		j.DeadLetters -= int64(len(b.Results))
	} else {
		j.DeadLetters += int64(len(b.Letters))
	}
	return j
}

// run works to the end of the job or of its turn.
func (t *task) run(ctx context.Context) error {
	if t.job.Attempts > maxAttempts {
		return errBroken{fault.New(fault.Internal, "This was begun %d times, and the program ended before anything was done", maxAttempts)}
	}
	var err error
	if t.at, err = parsePosition(t.job.Position); err != nil {
		return errBroken{fault.New(fault.Internal, "What is kept of this job is damaged")}
	}
	if t.actor, err = t.w.owner(ctx, t.job.Owner); err != nil {
		return err
	}
	next := t.readAside(ctx, t.at)
	defer func() { <-next.done }()
	for {
		<-next.done
		now := next
		if now.err != nil {
			return now.err
		}
		if len(now.rows) == 0 && now.at == t.at {
			if err := t.flush(ctx, nil); err != nil {
				return err
			}
			return t.finish(ctx)
		}
		if t.turn.over.Load() {
			return t.flush(ctx, nil)
		}
		next = t.readAside(ctx, now.at)
		if err := t.do(ctx, now.rows, now.at); err != nil {
			return err
		}
		if now := t.w.now(); !now.Before(t.ends) {
			if over, err := t.yield(ctx, now); over || err != nil {
				return err
			}
			if t.actor, err = t.w.owner(ctx, t.job.Owner); err != nil {
				return err
			}
		}
	}
}

// reading are rows that are read while links are made of those before them.
type reading struct {
	rows []Row
	at   position // behind them
	err  error
	done chan struct{} // closed once they are read
}

// readAside reads what is next behind a place. Only one may be at it.
func (t *task) readAside(ctx context.Context, at position) *reading {
	r := &reading{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.rows, r.at, r.err = t.read(ctx, at)
	}()
	return r
}

// read gives the rows behind a place and where the job is once they are done; no
// rows and the same place at its end.
func (t *task) read(ctx context.Context, at position) ([]Row, position, error) {
	if at.Retrying {
		return t.failed(ctx, at)
	}
	var batch []Row
	for size := 0; len(batch) < t.w.s.Batch && size < batchBytes; {
		if t.rows == nil || t.chunk != at.Chunk {
			if at.Chunk >= t.source.Chunks {
				return batch, at, nil
			}
			if err := t.open(ctx, at); err != nil {
				return nil, at, err
			}
		}
		row, err := t.rows.Next()
		if errors.Is(err, io.EOF) {
			t.rows, at.Chunk, at.Done = nil, at.Chunk+1, 0
			continue
		}
		if err != nil {
			return nil, at, errBroken{fault.Wrap(fault.Internal, err, "What is kept of the upload can't be read")}
		}
		t.w.s.Breathe()
		at.Done, at.Row = at.Done+1, at.Row+1
		row.Number = at.Row
		batch, size = append(batch, row), size+len(row.Text)
	}
	return batch, at, nil
}

// open opens the chunk of a position, behind the rows that are done.
func (t *task) open(ctx context.Context, at position) error {
	rows, err := openChunk(ctx, t.w.s.Queue, t.w.s.Reader, &t.source, at.Chunk)
	for n := 0; n < at.Done && err == nil; n++ {
		_, err = rows.Next()
	}
	t.chunk, t.rows = at.Chunk, rows
	return err
}

// failed gives rows that failed before.
func (t *task) failed(ctx context.Context, at position) ([]Row, position, error) {
	var rows []Row
	for size := 0; len(rows) < t.w.s.Batch && size < batchBytes; {
		letters, err := t.w.s.Queue.Letters(ctx, t.source.ID, at.After, lettersPage)
		if err != nil {
			return nil, at, err
		}
		for _, l := range letters {
			if l.Row > at.Until {
				letters = nil
				break
			}
			row, err := t.again(ctx, l)
			if err != nil {
				return nil, at, err
			}
			rows, at.After, size = append(rows, row), l.Row, size+len(l.Text)
		}
		if len(letters) < lettersPage {
			break
		}
	}
	if len(rows) == 0 {
		at.Retrying, at.After, at.Until = false, 0, 0
	}
	return rows, at, nil
}

// again reads the row of a letter once more.
func (t *task) again(ctx context.Context, l Letter) (Row, error) {
	var err error
	if t.header == nil {
		if t.header, err = headerOf(ctx, t.w.s.Queue, &t.source); err != nil {
			return Row{}, err
		}
	}
	return readAgain(t.w.s.Reader, t.header, t.source.Format(), l), nil
}

// do makes links of rows and begins to save what became of them, and that the
// job is at the given place then.
func (t *task) do(ctx context.Context, rows []Row, at position) error {
	results, letters, err := t.make(ctx, rows)
	if err != nil {
		return err
	}
	b := &batch{Progress: Progress{Letters: letters, Results: results}, at: at, retrying: t.at.Retrying}
	if err := t.flush(ctx, b); err != nil {
		return err
	}
	t.at = at
	j := b.applied(t.job)
	j.Attempts = 0
	t.saving, t.saved = b, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		// At the end of the program, too, what is made is told.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
		defer cancel()
		b.job, b.err = t.w.s.Queue.Save(ctx, j, b.Progress, t.w.now().Add(lease))
	}(t.saved)
	return nil
}

// flush waits until what is being saved is saved. Where the job was cancelled
// meanwhile, what was made is told all the same: that, and next, which is nil or
// was made meanwhile.
func (t *task) flush(ctx context.Context, next *batch) error {
	b := t.saving
	if b == nil {
		return nil
	}
	<-t.saved
	t.saving = nil
	switch {
	case b.err == nil:
		t.job = b.job
		t.count(b)
		return nil
	case !fault.Is(b.err, fault.PreconditionFailed):
		return b.err
	}
	j, err := t.w.s.Queue.Get(ctx, t.job.ID)
	if err != nil || j.Status != Cancelled || j.Version != t.job.Version+1 {
		return b.err // someone else has it, and will find what was made
	}
	for _, late := range []*batch{b, next} {
		if late == nil {
			break
		}
		told := late.applied(j)
		told.FinishedAt = t.w.now()
		if j, err = t.w.s.Queue.Save(ctx, told, late.Progress, told.FinishedAt); err != nil {
			break
		}
		t.count(late)
	}
	return b.err
}

func (t *task) count(b *batch) {
	t.w.done.Add(uint64(len(b.Results)))
	t.w.failed.Add(uint64(len(b.Letters)))
}

// patience is how often rows that hit a passing fault are tried within a batch,
// and stubborn after how many attempts at a batch an internal error counts as
// one of the row.
const (
	patience = 3
	stubborn = 3
)

// make makes links of rows. An error means that some of them hit a fault that
// passes.
func (t *task) make(ctx context.Context, rows []Row) (results []Result, letters []Letter, err error) {
	made := make([]link.Made, len(rows))
	open := make([]int, 0, len(rows))
	for i := range rows {
		if made[i].Err = rows[i].Err; made[i].Err == nil {
			open = append(open, i)
		}
	}
	for attempt := 1; len(open) > 0; attempt++ {
		if open, err = t.attempt(ctx, rows, made, open); err != nil {
			return nil, nil, err
		}
		if len(open) == 0 {
			break
		}
		why := made[open[0]].Err
		if attempt < patience {
			if err := sleep(ctx, minBackoff/10<<attempt); err != nil {
				return nil, nil, err
			}
			continue
		}
		if fault.Is(why, fault.Unavailable) || t.job.Attempts < stubborn {
			return nil, nil, why
		}
		for _, i := range open {
			t.w.s.Logger.Error("row of a bulk job failed", "job", t.job.ID, "row", rows[i].Number, "error", made[i].Err)
		}
		break
	}
	for i := range rows {
		if made[i].Err != nil {
			letters = append(letters, letterOf(&rows[i], made[i].Err))
			continue
		}
		results = append(results, Result{Row: rows[i].Number, Key: made[i].Link.Key, Found: made[i].Outcome == link.Found})
	}
	return results, letters, nil
}

// attempt makes the open ones among the rows and gives those that are still
// open.
func (t *task) attempt(ctx context.Context, rows []Row, made []link.Made, open []int) ([]int, error) {
	creations := make([]link.Creation, len(open))
	for n, i := range open {
		creations[n] = rows[i].Creation
		creations[n].Operation = operationOf(t.job.ID, rows[i].Number)
	}
	got, err := t.w.s.Maker.CreateMany(ctx, t.actor, creations)
	if err != nil {
		return nil, err
	}
	var still []int
	for n, i := range open {
		if made[i] = got[n]; passing(got[n].Err) {
			still = append(still, i)
		}
	}
	return still, nil
}

// passing reports whether a fault is not about the row.
func passing(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Internal)
}

// letterOf tells what people may read of a failure.
func letterOf(row *Row, err error) Letter {
	f := fault.Of(err)
	return Letter{Row: row.Number, Text: row.Text, Code: string(f.Code), Error: f.Message}
}

// finish ends the job.
func (t *task) finish(ctx context.Context) error {
	j := t.job
	j.Status, j.FinishedAt = Done, t.w.now()
	_, err := t.w.s.Queue.Save(ctx, j, Progress{}, j.FinishedAt)
	return err
}

// yield lets another job have its turn, if one waits.
func (t *task) yield(ctx context.Context, now time.Time) (over bool, err error) {
	if err := t.flush(ctx, nil); err != nil {
		return false, err
	}
	next, err := t.w.acquire(ctx)
	if fault.Is(err, fault.NotFound) {
		t.ends = now.Add(turnLength)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t.next = &next
	j := t.job
	j.Status, j.NotBefore = Queued, now
	_, err = t.w.s.Queue.Save(ctx, j, Progress{}, now)
	if err != nil && !fault.Is(err, fault.PreconditionFailed) && !fault.Is(err, fault.NotFound) {
		// Its lease will end.
		t.w.s.Logger.Warn("bulk job not given back", "job", j.ID, "error", err)
	}
	return true, nil
}

// giveBack ends the lease, since the program ends.
func (t *task) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	j := t.job
	j.Attempts = max(j.Attempts-1, 0) // that was no failure
	if _, err := t.w.s.Queue.Save(ctx, j, Progress{}, t.w.now()); err != nil && !fault.Is(err, fault.PreconditionFailed) {
		t.w.s.Logger.Warn("bulk job not given back", "job", j.ID, "error", err)
	}
}

// putOff lets the job wait longer with each attempt. If that can't be saved,
// the lease ends by itself.
func (t *task) putOff(ctx context.Context) {
	j := t.job
	j.Status, j.NotBefore = Queued, t.w.now().Add(backoff(j.Attempts))
	if _, err := t.w.s.Queue.Save(ctx, j, Progress{}, t.w.now()); err != nil {
		_ = sleep(ctx, backoff(1))
	}
}

// fail ends the job before its end.
func (t *task) fail(ctx context.Context, why string) {
	j := t.job
	j.Status, j.Error, j.FinishedAt = Failed, why, t.w.now()
	if _, err := t.w.s.Queue.Save(ctx, j, Progress{}, j.FinishedAt); err != nil {
		t.w.s.Logger.Warn("bulk job not ended", "job", j.ID, "error", err)
		_ = sleep(ctx, backoff(1))
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
