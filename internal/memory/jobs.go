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
	s.jobs[j.ID] = &heldJob{job: j, chunks: map[int][]byte{}, letters: map[int64]job.Letter{}}
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
	return cmp.Or(q.job.CreatedAt.Compare(other.job.CreatedAt), cmp.Compare(q.job.ID, other.job.ID)) < 0
}

// Save implements job.Queue. ID, Kind, Owner and CreatedAt stay what they were.
func (s *Jobs) Save(ctx context.Context, j job.Job, letters []job.Letter, until time.Time) (saved job.Job, err error) {
	err = s.with(ctx, j.ID, func(q *heldJob) error {
		if q.job.Version != j.Version {
			return fault.New(fault.PreconditionFailed, "Job %s was changed by someone else", j.ID)
		}
		saved = cloneJob(j)
		saved.Kind, saved.Owner, saved.CreatedAt = q.job.Kind, q.job.Owner, q.job.CreatedAt
		saved.Version++
		q.job, q.leasedUntil = cloneJob(saved), until
		for _, l := range letters {
			l.Text = bytes.Clone(l.Text)
			q.letters[l.Row] = l
		}
		return nil
	})
	return saved, err
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
