package contracttest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kurz/internal/fault"
	"kurz/internal/job"
)

// Jobs tests a job.Queue. Open gives a new, empty queue.
func Jobs(t *testing.T, open func(t *testing.T) job.Queue) {
	for name, test := range map[string]func(*testing.T, job.Queue){
		"Add and Get/round trip":              jobRoundTrip,
		"Add/ID taken":                        jobIDTaken,
		"not there":                           jobMissing,
		"chunks":                              jobChunks,
		"Acquire/oldest of the kind first":    jobOldestFirst,
		"Acquire/only what is ready":          jobReady,
		"Acquire/not before its time":         jobNotBefore,
		"Acquire/a lease that ended":          jobLeaseEnded,
		"Acquire/each job once in a race":     jobRace,
		"Acquire/one takes a lost job":        jobLostRace,
		"Save/round trip":                     jobSave,
		"Save/fixed fields":                   jobFixedFields,
		"Save/version":                        jobVersion,
		"Save/race for a version":             jobVersionRace,
		"Save/prolongs the lease":             jobProlonged,
		"Save/all or nothing":                 jobAllOrNothing,
		"Letters/replaced and paged by row":   jobLetters,
		"cancelled context does nothing":      jobCancelled,
		"results are the caller's own":        jobOwnResults,
		"refused, not done; refused but done": jobFailurePairs,
		"Acquire/who waits longest first":     jobFair,
		"List/newest first, page by page":     jobList,
		"Submit/once an operation":            jobSubmit,
		"Submit/version":                      jobSubmitVersion,
		"Results/paged by row":                jobResults,
		"Results/take letters away":           jobResultsForLetters,
		"Counts":                              jobCounts,
		"Drop":                                jobDrop,
		"Sweep/what is old or given up":       jobSweep,
		"Sweep/in small pieces":               jobSweepPieces,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

const (
	jobKind  = "bulk"
	jobLease = time.Minute
)

func jobAt(seconds int) time.Time {
	return time.Date(2026, 11, 22, 10, 0, seconds, 7_000_000, time.UTC)
}

// queued is a job of one owner, made n seconds after the start.
func queued(n int) job.Job {
	return job.Job{
		ID: job.ID(fmt.Sprintf("job_%03d", n)), Kind: jobKind, Owner: 7, Status: job.Queued,
		CreatedAt: jobAt(n), NotBefore: jobAt(0), Version: 1,
	}
}

func jobAdd(t *testing.T, q job.Queue, jobs ...job.Job) {
	t.Helper()
	for _, j := range jobs {
		if err := q.Add(t.Context(), j); err != nil {
			t.Fatalf("Add %s: %v", j.ID, err)
		}
	}
}

func jobAcquire(t *testing.T, q job.Queue, now int) job.Lease {
	t.Helper()
	l, err := q.Acquire(t.Context(), jobKind, "holder", jobAt(now), jobLease)
	if err != nil {
		t.Fatalf("Acquire at %d: %v", now, err)
	}
	return l
}

func jobNone(t *testing.T, q job.Queue, now int) {
	t.Helper()
	l, err := q.Acquire(t.Context(), jobKind, "holder", jobAt(now), jobLease)
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("Acquire at %d: %+v, error %v; want none", now, l.Job, err)
	}
}

func jobSaved(t *testing.T, q job.Queue, j job.Job, letters []job.Letter, until int) job.Job {
	t.Helper()
	saved, err := q.Save(t.Context(), j, job.Progress{Letters: letters}, jobAt(until))
	if err != nil {
		t.Fatalf("Save %s: %v", j.ID, err)
	}
	j.Version++
	if diff := cmp.Diff(j, saved, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
	return saved
}

func jobStored(t *testing.T, q job.Queue, want job.Job) {
	t.Helper()
	got, err := q.Get(t.Context(), want.ID)
	if err != nil {
		t.Fatalf("Get %s: %v", want.ID, err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func jobRoundTrip(t *testing.T, q job.Queue) {
	bare := job.Job{ID: "job_bare", Kind: "other", Status: job.Receiving, CreatedAt: jobAt(0), Version: 1}
	full := job.Job{
		ID: "job_full", Kind: jobKind, Owner: 1<<62 + 1, Params: []byte{0, 255, 'x'}, Status: job.Failed,
		Chunks: 3, Rows: 1 << 40, Succeeded: 1 << 39, DeadLetters: 5, Position: []byte("{\"at\":9}"), Error: "Größe ü\x00",
		CreatedAt: jobAt(1), StartedAt: jobAt(2), FinishedAt: jobAt(3), NotBefore: jobAt(4), Attempts: 6, Version: 1,
	}
	jobAdd(t, q, bare, full)
	jobStored(t, q, bare)
	jobStored(t, q, full)
	odd := queued(1)
	odd.Version = 9
	jobAdd(t, q, odd)
	jobStored(t, q, queued(1)) // as Version 1
}

func jobIDTaken(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	other := queued(1)
	other.Kind = "other"
	wantCode(t, "Add of a taken ID", q.Add(t.Context(), other), fault.AlreadyExists)
	jobStored(t, q, queued(1))
}

func jobMissing(t *testing.T, q job.Queue) {
	_, err := q.Get(t.Context(), "job_no")
	wantCode(t, "Get", err, fault.NotFound)
	wantCode(t, "PutChunk", q.PutChunk(t.Context(), "job_no", 0, []byte("x")), fault.NotFound)
	_, err = q.Chunk(t.Context(), "job_no", 0)
	wantCode(t, "Chunk", err, fault.NotFound)
	_, err = q.Save(t.Context(), queued(1), job.Progress{}, jobAt(1))
	wantCode(t, "Save", err, fault.NotFound)
	_, err = q.Letters(t.Context(), "job_no", 0, 10)
	wantCode(t, "Letters", err, fault.NotFound)
	jobNone(t, q, 1)
}

func jobChunks(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1), queued(2))
	chunks := map[int][]byte{0: []byte("first"), 1: {}, 7: bytes.Repeat([]byte{0, 255}, job.MaxChunk/2)}
	for n, data := range chunks {
		for _, d := range [][]byte{[]byte("replaced"), data} {
			if err := q.PutChunk(t.Context(), queued(1).ID, n, d); err != nil {
				t.Fatalf("PutChunk %d: %v", n, err)
			}
		}
	}
	for n, want := range chunks {
		got, err := q.Chunk(t.Context(), queued(1).ID, n)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("Chunk %d: %d bytes, error %v; want %d bytes", n, len(got), err, len(want))
		}
	}
	_, err := q.Chunk(t.Context(), queued(1).ID, 2)
	wantCode(t, "Chunk that was not put", err, fault.NotFound)
	_, err = q.Chunk(t.Context(), queued(2).ID, 0)
	wantCode(t, "another job's Chunk", err, fault.NotFound)
	err = q.PutChunk(t.Context(), queued(1).ID, 0, make([]byte, job.MaxChunk+1))
	wantCode(t, "PutChunk that is too large", err, fault.PayloadTooLarge)
	jobStored(t, q, queued(1)) // chunks leave it as it is
}

func jobOldestFirst(t *testing.T, q job.Queue) {
	other := queued(0)
	other.Kind = "other"
	jobAdd(t, q, queued(3), other, queued(1), queued(2))
	for i := 1; i <= 3; i++ {
		want := queued(i)
		want.Status, want.Attempts, want.StartedAt, want.Version = job.Running, 1, jobAt(10+i), 2
		l := jobAcquire(t, q, 10+i)
		if diff := cmp.Diff(job.Lease{Job: want, Holder: "holder", Until: jobAt(10 + i).Add(jobLease)}, l, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("lease %d (-want +got):\n%s", i, diff)
		}
		jobStored(t, q, want)
	}
	jobNone(t, q, 20)
}

func jobReady(t *testing.T, q job.Queue) {
	for i, s := range []job.Status{job.Receiving, job.Done, job.Failed, job.Cancelled} {
		j := queued(i)
		j.Status = s
		jobAdd(t, q, j)
	}
	jobNone(t, q, 10)
	// The last chunk has come, or someone opens it again.
	j := queued(0)
	j.Status = job.Queued
	jobSaved(t, q, j, nil, 0)
	if l := jobAcquire(t, q, 11); l.Job.ID != j.ID {
		t.Errorf("acquired %s, want %s", l.Job.ID, j.ID)
	}
}

func jobNotBefore(t *testing.T, q job.Queue) {
	soon, now := queued(1), queued(2)
	soon.NotBefore = jobAt(100)
	jobAdd(t, q, soon, now)
	if l := jobAcquire(t, q, 99); l.Job.ID != now.ID {
		t.Errorf("acquired %s, want %s", l.Job.ID, now.ID)
	}
	jobNone(t, q, 99)
	l := jobAcquire(t, q, 100)
	if l.Job.ID != soon.ID {
		t.Errorf("acquired %s, want %s", l.Job.ID, soon.ID)
	}
	// A worker puts a job off: no lease is in the way when its time comes.
	l.Job.Status, l.Job.NotBefore = job.Queued, jobAt(110)
	jobSaved(t, q, l.Job, nil, 1000)
	jobNone(t, q, 109)
	jobAcquire(t, q, 110)
}

func jobLeaseEnded(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	first := jobAcquire(t, q, 10)
	jobNone(t, q, 69)
	second := jobAcquire(t, q, 70)
	want := first.Job
	want.Attempts, want.Version = 2, 3
	if diff := cmp.Diff(want, second.Job, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("second lease (-want +got):\n%s", diff)
	}
	_, err := q.Save(t.Context(), first.Job, job.Progress{Letters: []job.Letter{{Row: 1}}}, jobAt(80))
	wantCode(t, "Save with a lost lease", err, fault.PreconditionFailed)
	jobNone(t, q, 129)
}

// jobRacers has n workers acquire until nothing is left and gives the jobs.
func jobRacers(t *testing.T, q job.Queue, n, now int) []job.ID {
	t.Helper()
	var mu sync.Mutex
	var got []job.ID
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				l, err := q.Acquire(t.Context(), jobKind, "holder", jobAt(now), jobLease)
				if err != nil {
					wantCode(t, "Acquire at the end", err, fault.NotFound)
					return
				}
				mu.Lock()
				got = append(got, l.Job.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(got)
	return got
}

func jobRace(t *testing.T, q job.Queue) {
	var want []job.ID
	for i := range 20 {
		jobAdd(t, q, queued(i))
		want = append(want, queued(i).ID)
	}
	if diff := cmp.Diff(want, jobRacers(t, q, 16, 30)); diff != "" {
		t.Errorf("acquired (-want +got):\n%s", diff)
	}
}

func jobLostRace(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	jobAcquire(t, q, 10)
	if got := jobRacers(t, q, 16, 100); len(got) != 1 {
		t.Errorf("%d workers got the job", len(got))
	}
}

func jobSave(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	j := jobAcquire(t, q, 10).Job
	j.Params, j.Chunks, j.Rows, j.Succeeded, j.DeadLetters = []byte{1}, 4, 1<<33, 1<<32, 2
	j.Position, j.NotBefore = []byte{0, 1}, jobAt(5)
	jobStored(t, q, jobSaved(t, q, j, nil, 90))
	j.Version++
	j.Status, j.Error, j.FinishedAt, j.Position = job.Failed, "why", jobAt(20), nil
	jobStored(t, q, jobSaved(t, q, j, nil, 90))
	jobNone(t, q, 1000)
}

func jobFixedFields(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	want := jobAcquire(t, q, 10).Job
	j := want
	j.Kind, j.Owner, j.CreatedAt = "other", 8, jobAt(99)
	got, err := q.Save(t.Context(), j, job.Progress{}, jobAt(90))
	if err != nil {
		t.Fatal(err)
	}
	want.Version++
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("saved (-want +got):\n%s", diff)
	}
	jobStored(t, q, want)
}

func jobVersion(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	worker := jobAcquire(t, q, 10).Job
	cancelled := worker
	cancelled.Status, cancelled.FinishedAt = job.Cancelled, jobAt(11)
	jobSaved(t, q, cancelled, nil, 0)
	for _, version := range []int64{worker.Version, worker.Version + 2, 0} {
		worker.Version = version
		_, err := q.Save(t.Context(), worker, job.Progress{Letters: []job.Letter{{Row: 1}}}, jobAt(99))
		wantCode(t, fmt.Sprintf("Save as version %d", version), err, fault.PreconditionFailed)
	}
	cancelled.Version++
	jobStored(t, q, cancelled)
	jobNone(t, q, 1000)
}

func jobVersionRace(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	j := jobAcquire(t, q, 10).Job
	var won sync.Map
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			mine := j
			mine.Rows = int64(i)
			_, err := q.Save(t.Context(), mine, job.Progress{Letters: []job.Letter{{Row: int64(i + 1)}}}, jobAt(90))
			if err == nil {
				won.Store(int64(i), true)
			} else if !fault.Is(err, fault.PreconditionFailed) {
				t.Errorf("Save: %v", err)
			}
		})
	}
	wg.Wait()
	winners := 0
	won.Range(func(i, _ any) bool {
		winners++
		j.Rows = i.(int64)
		return true
	})
	if winners != 1 {
		t.Fatalf("%d of 16 saved", winners)
	}
	j.Version++
	jobStored(t, q, j)
	wantLetters(t, q, []job.Letter{{Row: j.Rows + 1}})
}

func jobProlonged(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	j := jobAcquire(t, q, 10).Job
	j = jobSaved(t, q, j, nil, 200)
	jobNone(t, q, 199)
	jobSaved(t, q, j, nil, 50) // and given back before its end
	jobNone(t, q, 49)
	jobAcquire(t, q, 50)
}

func jobAllOrNothing(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	j := jobAcquire(t, q, 10).Job
	jobSaved(t, q, j, []job.Letter{{Row: 1, Code: "KEPT"}}, 90)
	stale := j
	stale.Rows = 99
	_, err := q.Save(t.Context(), stale, job.Progress{Letters: []job.Letter{{Row: 1, Code: "LOST"}, {Row: 2}}}, jobAt(5000))
	wantCode(t, "Save as an old version", err, fault.PreconditionFailed)
	wantLetters(t, q, []job.Letter{{Row: 1, Code: "KEPT"}})
	jobAcquire(t, q, 90) // the lease is as it was
}

func jobCancelled(t *testing.T, q job.Queue) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Add(ctx, queued(1)); err == nil {
		t.Error("Add with a context that ended: no error")
	}
	jobAdd(t, q, queued(1))
	if err := q.PutChunk(ctx, queued(1).ID, 0, nil); err == nil {
		t.Error("PutChunk with a context that ended: no error")
	}
	if _, err := q.Acquire(ctx, jobKind, "holder", jobAt(10), jobLease); err == nil || fault.Is(err, fault.NotFound) {
		t.Errorf("Acquire with a context that ended: %v", err)
	}
	j := jobAcquire(t, q, 10).Job
	if _, err := q.Save(ctx, j, job.Progress{Letters: []job.Letter{{Row: 1}}}, jobAt(90)); err == nil {
		t.Error("Save with a context that ended: no error")
	}
	jobStored(t, q, j)
	wantLetters(t, q, nil)
}

func jobOwnResults(t *testing.T, q job.Queue) {
	given := queued(1)
	given.Params, given.Position = []byte("params"), []byte("position")
	want := given
	want.Params, want.Position = []byte("params"), []byte("position")
	chunk := []byte("chunk")
	jobAdd(t, q, given)
	if err := q.PutChunk(t.Context(), given.ID, 0, chunk); err != nil {
		t.Fatal(err)
	}
	clear(given.Params)
	clear(chunk)
	for range 2 {
		jobStored(t, q, want)
		got, err := q.Get(t.Context(), given.ID)
		if err != nil {
			t.Fatal(err)
		}
		data, err := q.Chunk(t.Context(), given.ID, 0)
		if err != nil || string(data) != "chunk" {
			t.Fatalf("chunk %q, error %v", data, err)
		}
		clear(got.Params)
		clear(got.Position)
		clear(data)
	}
}

// jobFailurePairs has a worker that is told "refused" take up its work again:
// what it finds tells it whether it was done.
func jobFailurePairs(t *testing.T, q job.Queue) {
	for i, done := range []bool{false, true} {
		j := queued(i)
		if done {
			jobAdd(t, q, j)
		}
		if err := q.Add(t.Context(), j); done != fault.Is(err, fault.AlreadyExists) {
			t.Errorf("Add again, done %v: %v", done, err)
		}
		jobStored(t, q, j)
	}
	for i, done := range []bool{false, true} {
		mine := jobAcquire(t, q, 10).Job
		mine.Rows = 5
		if done {
			jobSaved(t, q, mine, []job.Letter{{Row: 1, Code: "X"}}, 40)
		}
		_, err := q.Save(t.Context(), mine, job.Progress{Letters: []job.Letter{{Row: 1, Code: "X"}}}, jobAt(40))
		if done != fault.Is(err, fault.PreconditionFailed) {
			t.Errorf("Save again, done %v: %v", done, err)
		}
		mine.Version++
		jobStored(t, q, mine)
		letters, err := q.Letters(t.Context(), queued(i).ID, 0, 10)
		if err != nil || len(letters) != 1 {
			t.Errorf("done %v: letters %v, error %v", done, letters, err)
		}
	}
}
