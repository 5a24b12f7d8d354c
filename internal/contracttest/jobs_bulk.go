package contracttest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/link"
)

func jobFair(t *testing.T, q job.Queue) {
	late, early := queued(1), queued(2)
	late.NotBefore, early.NotBefore = jobAt(9), jobAt(8)
	jobAdd(t, q, late, early)
	if l := jobAcquire(t, q, 10); l.Job.ID != early.ID {
		t.Errorf("acquired %s, want %s, which waits longer", l.Job.ID, early.ID)
	}
}

func jobList(t *testing.T, q job.Queue) {
	var mine, all []job.ID
	for i := range 7 {
		j := queued(i)
		j.CreatedAt = jobAt(i / 2) // two at a time
		j.Owner = account.ID(7 + i%3/2)
		if i == 5 {
			j.Kind = "other"
		}
		if i == 4 {
			j.Status = job.Receiving
		}
		jobAdd(t, q, j)
		if i == 4 || i == 5 {
			continue
		}
		all = append(all, j.ID)
		if j.Owner == 7 {
			mine = append(mine, j.ID)
		}
	}
	for owner, want := range map[account.ID][]job.ID{0: all, 7: mine, 9: nil} {
		slices.Reverse(want)
		var got []job.ID
		for ask := (job.Query{Kind: jobKind, Owner: owner, Limit: 2}); ; {
			page, err := q.List(t.Context(), ask)
			if err != nil || len(page) > 2 {
				t.Fatalf("List: %d jobs, error %v", len(page), err)
			}
			if len(page) == 0 {
				break
			}
			for _, j := range page {
				got = append(got, j.ID)
				jobStored(t, q, j)
			}
			last := page[len(page)-1]
			ask.After = job.Cursor{CreatedAt: last.CreatedAt, ID: last.ID}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("jobs of %d (-want +got):\n%s", owner, diff)
		}
	}
}

func receiving(n int) job.Job {
	j := queued(n)
	j.Status = job.Receiving
	return j
}

func jobSubmit(t *testing.T, q job.Queue) {
	jobAdd(t, q, receiving(1), receiving(2), receiving(3))
	submit := func(n int, op byte) job.Job {
		t.Helper()
		j := queued(n)
		j.Rows, j.Params = int64(n), []byte{byte(n)}
		got, err := q.Submit(t.Context(), j, job.Operation{op})
		if err != nil {
			t.Fatalf("Submit %d: %v", n, err)
		}
		return got
	}
	first := submit(1, 9)
	if first.Version != 2 || first.Rows != 1 || first.Status != job.Queued {
		t.Errorf("submitted %+v", first)
	}
	jobStored(t, q, first)
	_, err := q.Submitted(t.Context(), job.Operation{8})
	wantCode(t, "Submitted with another operation", err, fault.NotFound)
	_, err = q.Submitted(t.Context(), job.Operation{})
	wantCode(t, "Submitted without operation", err, fault.NotFound)
	running := jobAcquire(t, q, 10).Job
	if got, err := q.Submitted(t.Context(), job.Operation{9}); err != nil || !cmp.Equal(got, running, cmpopts.EquateEmpty()) {
		t.Errorf("Submitted: %+v, error %v", got, err)
	}
	for range 2 { // refused, but done; then by another upload
		if got := submit(1, 9); !cmp.Equal(got, running, cmpopts.EquateEmpty()) {
			t.Errorf("submitted again: %+v", got)
		}
	}
	if got := submit(2, 9); got.ID != first.ID {
		t.Errorf("another upload of the operation gives %s, want %s", got.ID, first.ID)
	}
	_, err = q.Get(t.Context(), queued(2).ID)
	wantCode(t, "Get of the other upload", err, fault.NotFound)
	if got := submit(3, 0); got.ID != queued(3).ID {
		t.Errorf("without operation: %s", got.ID)
	}
	// A job that is dropped leaves its operation to others.
	if err := q.Drop(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	_, err = q.Submitted(t.Context(), job.Operation{9})
	wantCode(t, "Submitted that is dropped", err, fault.NotFound)
	jobAdd(t, q, receiving(4))
	if got := submit(4, 9); got.ID != queued(4).ID {
		t.Errorf("after the drop: %s", got.ID)
	}
}

func jobSubmitVersion(t *testing.T, q job.Queue) {
	jobAdd(t, q, receiving(1))
	j := queued(1)
	j.Version = 7
	_, err := q.Submit(t.Context(), j, job.Operation{1})
	wantCode(t, "Submit as another version", err, fault.PreconditionFailed)
	_, err = q.Submit(t.Context(), queued(2), job.Operation{1})
	wantCode(t, "Submit of no job", err, fault.NotFound)
	jobStored(t, q, receiving(1))
	if got, err := q.Submit(t.Context(), queued(1), job.Operation{1}); err != nil || got.Version != 2 {
		t.Errorf("Submit: %+v, error %v", got, err)
	}
}

// madeOf gives a result of each row.
func madeOf(code string, rows ...int64) []job.Result {
	var list []job.Result
	for _, row := range rows {
		list = append(list, job.Result{Row: row, Key: link.Key{Code: link.Code(fmt.Sprintf("%s%d", code, row))}, Found: row%3 == 0})
	}
	return list
}

// wantResults reads the results of the first job, three a page.
func wantResults(t *testing.T, q job.Queue, want []job.Result) {
	t.Helper()
	var got []job.Result
	for after := int64(0); ; {
		page, err := q.Results(t.Context(), queued(1).ID, after, 3)
		if err != nil || len(page) > 3 {
			t.Fatalf("Results after %d: %d, error %v", after, len(page), err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = page[len(page)-1].Row
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func jobProgress(t *testing.T, q job.Queue, j job.Job, p job.Progress) job.Job {
	t.Helper()
	saved, err := q.Save(t.Context(), j, p, jobAt(500))
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func jobResults(t *testing.T, q job.Queue) {
	_, err := q.Results(t.Context(), "job_no", 0, 10)
	wantCode(t, "Results", err, fault.NotFound)
	jobAdd(t, q, queued(1), queued(2))
	j := jobAcquire(t, q, 10).Job
	other := jobAcquire(t, q, 10).Job
	wantResults(t, q, nil)
	j = jobProgress(t, q, j, job.Progress{Results: madeOf("a", 1, 2, 3, 4, 7, 8, 20)})
	jobProgress(t, q, other, job.Progress{Results: madeOf("other", 1, 5)})
	j = jobProgress(t, q, j, job.Progress{Results: madeOf("b", 5, 6, 1<<40)})
	there := job.Result{Row: 30, Key: link.Key{Domain: "go.example:8443", Code: "x"}, Found: true}
	j = jobProgress(t, q, j, job.Progress{Results: []job.Result{there}})
	want := slices.Concat(madeOf("a", 1, 2, 3, 4), madeOf("b", 5, 6), madeOf("a", 7, 8, 20), []job.Result{there}, madeOf("b", 1<<40))
	wantResults(t, q, want)
	// Those of a row replace earlier ones of that row.
	jobProgress(t, q, j, job.Progress{Results: madeOf("c", 2, 3, 8, 9)})
	want = slices.Concat(madeOf("a", 1), madeOf("c", 2, 3), madeOf("a", 4), madeOf("b", 5, 6), madeOf("a", 7), madeOf("c", 8, 9),
		madeOf("a", 20), []job.Result{there}, madeOf("b", 1<<40))
	wantResults(t, q, want)
	stale := j
	_, err = q.Save(t.Context(), stale, job.Progress{Results: madeOf("d", 1)}, jobAt(500))
	wantCode(t, "Save as an old version", err, fault.PreconditionFailed)
	wantResults(t, q, want)
}

func jobResultsForLetters(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1))
	j := jobAcquire(t, q, 10).Job
	j = jobProgress(t, q, j, job.Progress{Letters: []job.Letter{{Row: 2}, {Row: 3}, {Row: 5}}, Results: madeOf("a", 1, 4, 6)})
	wantLetters(t, q, []job.Letter{{Row: 2}, {Row: 3}, {Row: 5}})
	jobProgress(t, q, j, job.Progress{Letters: []job.Letter{{Row: 3, Code: "STILL"}}, Results: madeOf("b", 2, 5)})
	wantLetters(t, q, []job.Letter{{Row: 3, Code: "STILL"}})
	wantResults(t, q, slices.Concat(madeOf("a", 1), madeOf("b", 2), madeOf("a", 4), madeOf("b", 5), madeOf("a", 6)))
}

func jobCounts(t *testing.T, q job.Queue) {
	done, other := queued(3), queued(4)
	done.Status, other.Kind = job.Done, "other"
	jobAdd(t, q, queued(1), queued(2), done, other, receiving(5))
	jobAcquire(t, q, 10)
	got, err := q.Counts(t.Context(), jobKind)
	want := map[job.Status]int64{job.Queued: 1, job.Running: 1, job.Done: 1, job.Receiving: 1}
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("counts %v, error %v; want %v", got, err, want)
	}
}

// gone checks that there is nothing of a job.
func gone(t *testing.T, q job.Queue, j job.Job) {
	t.Helper()
	_, err := q.Get(t.Context(), j.ID)
	wantCode(t, "Get", err, fault.NotFound)
	_, err = q.Chunk(t.Context(), j.ID, 0)
	wantCode(t, "Chunk", err, fault.NotFound)
	wantCode(t, "PutChunk", q.PutChunk(t.Context(), j.ID, 1, nil), fault.NotFound)
	_, err = q.Save(t.Context(), j, job.Progress{}, jobAt(99))
	wantCode(t, "Save", err, fault.NotFound)
	_, err = q.Letters(t.Context(), j.ID, 0, 9)
	wantCode(t, "Letters", err, fault.NotFound)
	_, err = q.Results(t.Context(), j.ID, 0, 9)
	wantCode(t, "Results", err, fault.NotFound)
	wantCode(t, "Drop", q.Drop(t.Context(), j.ID), fault.NotFound)
	list, err := q.List(t.Context(), job.Query{Kind: jobKind, Limit: 500})
	if err != nil || slices.ContainsFunc(list, func(l job.Job) bool { return l.ID == j.ID }) {
		t.Errorf("listed: %v, error %v", list, err)
	}
}

func jobDrop(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1), queued(2))
	j := jobAcquire(t, q, 10).Job
	if err := q.Drop(t.Context(), j.ID); err != nil {
		t.Fatal(err)
	}
	gone(t, q, j)
	if l := jobAcquire(t, q, 1000); l.Job.ID != queued(2).ID {
		t.Errorf("acquired %s", l.Job.ID)
	}
}

func jobSweep(t *testing.T, q job.Queue) {
	var kept, swept []job.Job
	for i, c := range []struct {
		status    job.Status
		finished  time.Time
		notBefore time.Time
		swept     bool
	}{
		{job.Receiving, time.Time{}, jobAt(20), true},
		{job.Receiving, time.Time{}, jobAt(21), false},
		{job.Done, jobAt(9), time.Time{}, true},
		{job.Done, jobAt(10), time.Time{}, false},
		{job.Failed, jobAt(9), time.Time{}, true},
		{job.Cancelled, jobAt(9), time.Time{}, true},
		{job.Queued, jobAt(9), jobAt(9), false}, // taken back by a retry
		{job.Running, jobAt(9), jobAt(9), false},
	} {
		j := queued(i)
		j.Status, j.FinishedAt, j.NotBefore = c.status, c.finished, c.notBefore
		jobAdd(t, q, j)
		if err := q.PutChunk(t.Context(), j.ID, 0, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if c.swept {
			swept = append(swept, j)
		} else {
			kept = append(kept, j)
		}
	}
	sweepAll(t, q)
	for _, j := range kept {
		jobStored(t, q, j)
		if c, err := q.Chunk(t.Context(), j.ID, 0); err != nil || string(c) != "x" {
			t.Errorf("chunk of %s: %q, error %v", j.ID, c, err)
		}
	}
	for _, j := range swept {
		gone(t, q, j)
	}
}

// sweepAll sweeps what was over before second 10, at second 20.
func sweepAll(t *testing.T, q job.Queue) (calls int) {
	t.Helper()
	for {
		calls++
		n, err := q.Sweep(t.Context(), jobAt(20), jobAt(10), 3)
		if err != nil || n > 3 {
			t.Fatalf("Sweep: %d pieces, error %v", n, err)
		}
		if n < 3 {
			return calls
		}
	}
}

func jobSweepPieces(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1), queued(2))
	j := jobAcquire(t, q, 1).Job
	for n := range 10 {
		for _, id := range []job.ID{queued(1).ID, queued(2).ID} {
			if err := q.PutChunk(t.Context(), id, n, []byte("chunk")); err != nil {
				t.Fatal(err)
			}
		}
	}
	j.Status, j.FinishedAt = job.Done, jobAt(2)
	jobProgress(t, q, j, job.Progress{Letters: []job.Letter{{Row: 2}, {Row: 4}}, Results: madeOf("a", 1, 3, 5)})
	sweepAll(t, q)
	gone(t, q, j)
	jobStored(t, q, queued(2))
	for n := range 10 {
		if _, err := q.Chunk(t.Context(), queued(2).ID, n); err != nil {
			t.Errorf("chunk %d of the other job: %v", n, err)
		}
	}
	// The name is free again.
	jobAdd(t, q, queued(1))
	jobStored(t, q, queued(1))
	_, err := q.Chunk(t.Context(), queued(1).ID, 0)
	wantCode(t, "Chunk of the new job", err, fault.NotFound)
}
