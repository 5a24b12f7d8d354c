package memory

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"kurz/internal/fault"
	"kurz/internal/job"
)

// Jobs is a job.Queue.
type Jobs struct {
	mu   sync.Mutex
	jobs map[job.ID]*heldJob
}

// heldJob is a job with all that belongs to it.
type heldJob struct {
	job         job.Job
	leasedUntil time.Time
	chunks      map[int][]byte
	letters     map[int64]job.Letter
	results     map[int64]job.Result
	operation   job.Operation
}

// NewJobs makes an empty queue.
func NewJobs() *Jobs { return &Jobs{jobs: map[job.ID]*heldJob{}} }

// Add implements job.Queue.
func (s *Jobs) Add(ctx context.Context, j job.Job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[j.ID] != nil {
		return fault.New(fault.AlreadyExists, "Job %s exists", j.ID)
	}
	j = cloneJob(j)
	j.Version = 1
	s.jobs[j.ID] = &heldJob{job: j, chunks: map[int][]byte{}, letters: map[int64]job.Letter{}, results: map[int64]job.Result{}}
	return nil
}

// Get implements job.Queue.
func (s *Jobs) Get(ctx context.Context, id job.ID) (j job.Job, err error) {
	err = s.with(ctx, id, func(q *heldJob) error {
		j = cloneJob(q.job)
		return nil
	})
	return j, err
}

// PutChunk implements job.Queue.
func (s *Jobs) PutChunk(ctx context.Context, id job.ID, n int, data []byte) error {
	return s.with(ctx, id, func(q *heldJob) error {
		if len(data) > job.MaxChunk {
			return fault.New(fault.PayloadTooLarge, "A chunk has at most %d bytes", job.MaxChunk)
		}
		q.chunks[n] = bytes.Clone(data)
		return nil
	})
}

// Chunk implements job.Queue.
func (s *Jobs) Chunk(ctx context.Context, id job.ID, n int) (data []byte, err error) {
	err = s.with(ctx, id, func(q *heldJob) error {
		d, ok := q.chunks[n]
		if !ok {
			return fault.New(fault.NotFound, "Job %s has no chunk %d", id, n)
		}
		data = bytes.Clone(d)
		return nil
	})
	return data, err
}

// Acquire implements job.Queue.
func (s *Jobs) Acquire(ctx context.Context, kind, holder string, now time.Time, lease time.Duration) (job.Lease, error) {
	if err := ctx.Err(); err != nil {
		return job.Lease{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest *heldJob
	for _, q := range s.jobs {
		if q.ready(kind, now) && (oldest == nil || q.before(oldest)) {
			oldest = q
		}
	}
	if oldest == nil {
		return job.Lease{}, fault.New(fault.NotFound, "No job is waiting")
	}
	j := &oldest.job
	j.Status = job.Running
	j.Attempts++
	j.Version++
	if j.StartedAt.IsZero() {
		j.StartedAt = now
	}
	oldest.leasedUntil = now.Add(lease)
	return job.Lease{Job: cloneJob(*j), Holder: holder, Until: oldest.leasedUntil}, nil
}

func (q *heldJob) ready(kind string, now time.Time) bool {
	return q.job.Kind == kind && !now.Before(q.job.NotBefore) &&
		(q.job.Status == job.Queued || q.job.Status == job.Running && !now.Before(q.leasedUntil))
}

func (q *heldJob) before(other *heldJob) bool {
	return cmp.Or(q.job.NotBefore.Compare(other.job.NotBefore), q.job.CreatedAt.Compare(other.job.CreatedAt), cmp.Compare(q.job.ID, other.job.ID)) < 0
}

// Save implements job.Queue. ID, Kind, Owner and CreatedAt stay what they were.
func (s *Jobs) Save(ctx context.Context, j job.Job, p job.Progress, until time.Time) (saved job.Job, err error) {
	err = s.with(ctx, j.ID, func(q *heldJob) error {
		if saved, err = q.replace(j, until); err != nil {
			return err
		}
		for _, l := range p.Letters {
			l.Text = bytes.Clone(l.Text)
			q.letters[l.Row] = l
		}
		for _, r := range p.Results {
			q.results[r.Row] = r
			delete(q.letters, r.Row)
		}
		return nil
	})
	return saved, err
}

func (q *heldJob) replace(j job.Job, until time.Time) (job.Job, error) {
	if q.job.Version != j.Version {
		return job.Job{}, fault.New(fault.PreconditionFailed, "Job %s was changed by someone else", j.ID)
	}
	saved := cloneJob(j)
	saved.Kind, saved.Owner, saved.CreatedAt = q.job.Kind, q.job.Owner, q.job.CreatedAt
	saved.Version++
	q.job, q.leasedUntil = cloneJob(saved), until
	return saved, nil
}

// Submit implements job.Queue.
func (s *Jobs) Submit(ctx context.Context, j job.Job, op job.Operation) (submitted job.Job, err error) {
	if err := ctx.Err(); err != nil {
		return job.Job{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if op != (job.Operation{}) {
		for id, q := range s.jobs {
			if q.operation == op {
				if id != j.ID {
					delete(s.jobs, j.ID)
				}
				return cloneJob(q.job), nil
			}
		}
	}
	q := s.jobs[j.ID]
	if q == nil {
		return job.Job{}, fault.New(fault.NotFound, "Job %s not found", j.ID)
	}
	if submitted, err = q.replace(j, time.Time{}); err == nil {
		q.operation = op
	}
	return submitted, err
}

// Submitted implements job.Queue.
func (s *Jobs) Submitted(ctx context.Context, op job.Operation) (job.Job, error) {
	if err := ctx.Err(); err != nil {
		return job.Job{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.jobs {
		if q.operation == op && op != (job.Operation{}) {
			return cloneJob(q.job), nil
		}
	}
	return job.Job{}, fault.New(fault.NotFound, "No job was submitted with this operation")
}

// List implements job.Queue.
func (s *Jobs) List(ctx context.Context, q job.Query) ([]job.Job, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []job.Job
	for _, held := range s.jobs {
		j := held.job
		after := q.After == (job.Cursor{}) || cmp.Or(j.CreatedAt.Compare(q.After.CreatedAt), cmp.Compare(j.ID, q.After.ID)) < 0
		if j.Kind == q.Kind && j.Status != job.Receiving && (q.Owner == 0 || j.Owner == q.Owner) && after {
			list = append(list, cloneJob(j))
		}
	}
	slices.SortFunc(list, func(a, b job.Job) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return list[:min(len(list), q.Limit)], nil
}

// Counts implements job.Queue.
func (s *Jobs) Counts(ctx context.Context, kind string) (map[job.Status]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[job.Status]int64{}
	for _, q := range s.jobs {
		if q.job.Kind == kind {
			counts[q.job.Status]++
		}
	}
	return counts, nil
}

// Drop implements job.Queue.
func (s *Jobs) Drop(ctx context.Context, id job.ID) error {
	return s.with(ctx, id, func(*heldJob) error {
		delete(s.jobs, id)
		return nil
	})
}

// Sweep implements job.Queue. A job is one piece here.
func (s *Jobs) Sweep(ctx context.Context, now, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	swept := 0
	for id, q := range s.jobs {
		given := q.job.Status == job.Receiving && !now.Before(q.job.NotBefore)
		if swept < limit && (given || q.job.Status.Final() && q.job.FinishedAt.Before(before)) {
			delete(s.jobs, id)
			swept++
		}
	}
	return swept, nil
}

// Results implements job.Queue.
func (s *Jobs) Results(ctx context.Context, id job.ID, after int64, limit int) (results []job.Result, err error) {
	err = s.with(ctx, id, func(q *heldJob) error {
		for _, row := range slices.Sorted(maps.Keys(q.results)) {
			if row > after && len(results) < limit {
				results = append(results, q.results[row])
			}
		}
		return nil
	})
	return results, err
}

// Letters implements job.Queue.
func (s *Jobs) Letters(ctx context.Context, id job.ID, after int64, limit int) (letters []job.Letter, err error) {
	err = s.with(ctx, id, func(q *heldJob) error {
		for _, row := range slices.Sorted(maps.Keys(q.letters)) {
			if row > after && len(letters) < limit {
				l := q.letters[row]
				l.Text = bytes.Clone(l.Text)
				letters = append(letters, l)
			}
		}
		return nil
	})
	return letters, err
}

// with calls fn with the job, alone.
func (s *Jobs) with(ctx context.Context, id job.ID, fn func(q *heldJob) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.jobs[id]
	if q == nil {
		return fault.New(fault.NotFound, "Job %s not found", id)
	}
	return fn(q)
}

func cloneJob(j job.Job) job.Job {
	j.Params, j.Position = bytes.Clone(j.Params), bytes.Clone(j.Position)
	return j
}
