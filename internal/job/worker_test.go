package job_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/link"
	"kurz/internal/memory"
)

// world is a queue with a worker and its links, in memory.
type world struct {
	queue  *fakeQueue
	links  *memory.Links
	maker  *fakeMaker
	bulk   *job.Bulk
	users  map[account.ID]account.User
	worker *job.Worker
	ann    account.Actor
}

func newWorld(t *testing.T) *world {
	t.Helper()
	base, err := url.Parse("https://kurz.example")
	if err != nil {
		t.Fatal(err)
	}
	domains, err := link.NewDomains(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		queue: &fakeQueue{Queue: memory.NewJobs()}, links: memory.NewLinks(),
		users: map[account.ID]account.User{7: {ID: 7, Email: "ann@example.com", Role: account.Member, Tier: account.Free}},
		ann:   account.Actor{User: 7, Role: account.Member},
	}
	w.maker = &fakeMaker{Maker: link.NewRegistry(link.Settings{
		Store: w.links, Codes: link.RandomCodes{Rand: rand.Reader}, IDs: link.NewIDs(time.Now, rand.Reader),
		Domains: domains, Policy: link.Policy{Domains: domains}, CodeLength: link.DefaultCode, Now: time.Now,
	})}
	w.worker = w.newWorker()
	w.bulk = job.NewBulk(job.BulkSettings{Queue: w.queue, Reader: api.BulkFiles{}, Now: time.Now, Rand: rand.Reader, Wake: w.worker.Wake})
	return w
}

func (w *world) newWorker() *job.Worker {
	return job.NewWorker(job.WorkerSettings{
		Queue: w.queue, Reader: api.BulkFiles{}, Maker: w.maker, Now: time.Now, Holder: "test", Batch: 500,
		User: func(_ context.Context, id account.ID) (account.User, error) {
			u, ok := w.users[id]
			if !ok {
				return u, fault.New(fault.NotFound, "no such user")
			}
			return u, nil
		},
	})
}

// fakeQueue and fakeMaker fail as they are told, before or after what they do.
type fakeQueue struct {
	job.Queue
	mu     sync.Mutex
	before func() error // of Save
	after  func() error
}

func (q *fakeQueue) Save(ctx context.Context, j job.Job, p job.Progress, until time.Time) (job.Job, error) {
	q.mu.Lock()
	before, after := q.before, q.after
	q.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return job.Job{}, err
		}
	}
	saved, err := q.Queue.Save(ctx, j, p, until)
	if err == nil && after != nil {
		if err := after(); err != nil {
			return job.Job{}, err
		}
	}
	return saved, err
}

type fakeMaker struct {
	job.Maker
	before, after func() error
	row           func(link.Creation) error
	batches       int
}

func (m *fakeMaker) CreateMany(ctx context.Context, a account.Actor, cs []link.Creation) ([]link.Made, error) {
	m.batches++
	if m.before != nil {
		if err := m.before(); err != nil {
			return nil, err
		}
	}
	made, err := m.Maker.CreateMany(ctx, a, cs)
	if err == nil && m.row != nil {
		for i := range made {
			if err := m.row(cs[i]); err != nil {
				made[i] = link.Made{Err: err}
			}
		}
	}
	if err == nil && m.after != nil {
		if err := m.after(); err != nil {
			return nil, err
		}
	}
	return made, err
}

// rows gives CSV whose every tenth row is wrong.
func rows(n int) string {
	var b strings.Builder
	b.WriteString("long_url\n")
	for i := 1; i <= n; i++ {
		if i%10 == 0 {
			b.WriteString("ftp://example.com/\n")
			continue
		}
		fmt.Fprintf(&b, "https://example.com/%d\n", i)
	}
	return b.String()
}

func (w *world) send(t *testing.T, text string) job.Job {
	t.Helper()
	u, err := w.bulk.Receive(t.Context(), w.ann, job.CSV, strings.NewReader(text), func(int64) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	j, err := u.Submit(t.Context(), job.Operation{})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// run has a worker work until the job has ended, and gives it.
func (w *world) run(t *testing.T, id job.ID) job.Job {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var working sync.WaitGroup
	working.Go(func() { _ = w.worker.Run(ctx) })
	defer working.Wait()
	defer end()
	for range 100_000 {
		j := w.get(t, id)
		if j.Status.Final() {
			return j
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the job does not end")
	return job.Job{}
}

func (w *world) get(t *testing.T, id job.ID) job.Job {
	t.Helper()
	j, err := w.queue.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// count gives how many links there are, and checks that each is told once.
func (w *world) count(t *testing.T, id job.ID) int {
	t.Helper()
	j := w.get(t, id)
	links := map[link.Key]bool{}
	q := link.Query{Sort: link.NewestFirst, Limit: 500, Now: time.Now()}
	for {
		page, next, err := w.links.Page(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page {
			links[l.Key] = true
			if l.Owner != 7 {
				t.Errorf("link of %d", l.Owner)
			}
		}
		if q.After = next; next.IsZero() {
			break
		}
	}
	told := map[link.Key]bool{}
	var done, failed, waiting int64
	for o, err := range w.bulk.Outcomes(t.Context(), j) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case o.Result != nil && o.Letter != nil:
			t.Errorf("row %d succeeded and failed", o.Row.Number)
		case o.Result != nil:
			done++
			told[o.Result.Key] = true
		case o.Letter != nil:
			failed++
		default:
			waiting++
		}
	}
	if done != j.Succeeded || failed != j.DeadLetters || done+failed+waiting != j.Rows {
		t.Errorf("%d done, %d failed, %d waiting; the job says %d, %d of %d", done, failed, waiting, j.Succeeded, j.DeadLetters, j.Rows)
	}
	if len(told) != len(links) || int64(len(told)) != done {
		t.Errorf("%d links of which %d are told, for %d rows", len(links), len(told), done)
	}
	return len(links)
}

func (w *world) wantDone(t *testing.T, id job.ID, rows int) {
	t.Helper()
	j := w.run(t, id)
	if j.Status != job.Done || j.Rows != int64(rows) || j.Succeeded != int64(rows-rows/10) || j.DeadLetters != int64(rows/10) || j.Error != "" {
		t.Errorf("job %+v", j)
	}
	if n := w.count(t, id); n != rows-rows/10 {
		t.Errorf("%d links", n)
	}
}

func TestRowsBecomeLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.wantDone(t, w.send(t, rows(2345)).ID, 2345)
		if s := w.worker.Stats(); s.Done != 2111 || s.Failed != 234 || s.PutOff != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// nth fails each nth time.
func nth(n int, err error) func() error {
	calls := 0
	return func() error {
		if calls++; calls%n == 0 {
			return err
		}
		return nil
	}
}

func TestNoRowTwiceOverFailures(t *testing.T) {
	broken := fault.New(fault.Unavailable, "the store is away")
	for name, breakIt := range map[string]func(*world){
		"create refused":              func(w *world) { w.maker.before = nth(3, broken) },
		"create refused but done":     func(w *world) { w.maker.after = nth(3, broken) },
		"create fails without a code": func(w *world) { w.maker.after = nth(3, errors.New("odd")) },
		"save refused":                func(w *world) { w.queue.before = nth(4, broken) },
		"save refused but done":       func(w *world) { w.queue.after = nth(4, broken) },
		"rows fail for a while": func(w *world) {
			fails := nth(701, broken)
			w.maker.row = func(link.Creation) error { return fails() }
		},
		"all of it": func(w *world) {
			w.maker.before, w.maker.after, w.queue.before, w.queue.after = nth(5, broken), nth(7, broken), nth(4, broken), nth(3, broken)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				breakIt(w)
				w.wantDone(t, w.send(t, rows(5000)).ID, 5000)
			})
		})
	}
}

func TestAProcessThatDiesLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := w.send(t, rows(4000))
		for n := range 6 {
			// The process dies between making links and saving that.
			ctx, die := context.WithCancel(t.Context())
			saves := 0
			w.queue.before = func() error {
				if saves++; saves > n%3 {
					die()
					return ctx.Err()
				}
				return nil
			}
			if err := w.newWorker().Run(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		w.queue.before = nil
		w.wantDone(t, j.ID, 4000)
	})
}

func TestAnInternalErrorOfARowIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maker.row = func(c link.Creation) error {
			if c.LongURL == "https://example.com/7" {
				return errors.New("no free code found")
			}
			return nil
		}
		j := w.run(t, w.send(t, rows(9)).ID)
		if j.Status != job.Done || j.DeadLetters != 1 {
			t.Errorf("job %+v", j)
		}
		for l, err := range w.bulk.Failures(t.Context(), j) {
			if err != nil || l.Row != 7 || l.Code != "INTERNAL" || strings.Contains(l.Error, "code") || !strings.Contains(string(l.Text), "/7") {
				t.Errorf("letter %+v, error %v", l, err)
			}
		}
	})
}

func TestAStoreThatStaysAwayFailsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maker.before = func() error { return fault.New(fault.Unavailable, "away") }
		sent := w.send(t, rows(2000))
		began := time.Now()
		j := w.run(t, sent.ID)
		if j.Status != job.Failed || !strings.Contains(j.Error, "retry") || j.FinishedAt.IsZero() {
			t.Errorf("job %+v", j)
		}
		if took := time.Since(began); took < 20*time.Minute || took > 3*time.Hour {
			t.Errorf("given up after %v", took)
		}
		w.maker.before = nil
		if _, err := w.bulk.Retry(t.Context(), w.ann, j.ID, anyRows); err != nil {
			t.Fatal(err)
		}
		w.wantDone(t, j.ID, 2000)
	})
}

func TestOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		u := w.users[7]
		u.DisabledAt = time.Now()
		w.users[7] = u
		j := w.run(t, w.send(t, rows(10)).ID)
		if j.Status != job.Failed || !strings.Contains(j.Error, "disabled") || w.maker.batches != 0 {
			t.Errorf("job %+v", j)
		}
		delete(w.users, 7)
		if j = w.run(t, w.send(t, rows(10)).ID); j.Status != job.Failed || !strings.Contains(j.Error, "unknown") {
			t.Errorf("job %+v", j)
		}
	})
}

func TestCancelAndGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := w.send(t, rows(4000))
		w.maker.after = func() error {
			if w.maker.batches == 4 { // made, and not saved
				_, _, err := w.bulk.Cancel(t.Context(), w.ann, j.ID)
				return err
			}
			return nil
		}
		j = w.run(t, j.ID)
		if j.Status != job.Cancelled || j.FinishedAt.IsZero() {
			t.Fatalf("job %+v", j)
		}
		synctest.Wait()
		if n := w.count(t, j.ID); n < 1800 || n > 2500 {
			t.Errorf("%d links, want those of four batches, or of five", n)
		}
		if _, _, err := w.bulk.Cancel(t.Context(), w.ann, j.ID); err != nil {
			t.Errorf("cancelled again: %v", err)
		}
		if _, err := w.bulk.Retry(t.Context(), w.ann, j.ID, anyRows); err != nil {
			t.Fatal(err)
		}
		w.wantDone(t, j.ID, 4000)
	})
}

// TestCancelWaitsForWhatWasBegun: once it returns, the job tells of each link that
// there will be.
func TestCancelWaitsForWhatWasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bulk := job.NewBulk(job.BulkSettings{Queue: w.queue, Reader: api.BulkFiles{}, Now: time.Now, Rand: rand.Reader, Leave: w.worker.Leave})
		w.maker.before = func() error { time.Sleep(time.Second); return nil }
		sent := w.send(t, rows(10_000))
		ctx, end := context.WithCancel(t.Context())
		defer end()
		var working sync.WaitGroup
		working.Go(func() { _ = w.worker.Run(ctx) })
		time.Sleep(3500 * time.Millisecond) // three batches are made, and the fourth begun
		j, cancelled, err := bulk.Cancel(t.Context(), w.ann, sent.ID)
		if err != nil || !cancelled || j.Status != job.Cancelled {
			t.Fatalf("job %+v, error %v", j, err)
		}
		if n := w.count(t, sent.ID); n != 4*450 || j.Succeeded != int64(n) || j.DeadLetters != 4*50 {
			t.Errorf("%d links, told %d and %d that failed", n, j.Succeeded, j.DeadLetters)
		}
		if !j.FinishedAt.Equal(time.Now()) {
			t.Errorf("finished at %v, and it is %v", j.FinishedAt, time.Now())
		}
		time.Sleep(time.Minute)
		if n := w.count(t, sent.ID); n != 4*450 {
			t.Errorf("%d links after a minute", n)
		}
		end()
		working.Wait()
	})
}

func TestRetryTriesOnlyWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		taken := true
		tried := 0
		w.maker.row = func(c link.Creation) error {
			tried++
			if taken && strings.HasSuffix(c.LongURL, "3") {
				return fault.New(fault.AliasTaken, "taken")
			}
			return nil
		}
		// What is refused here is made all the same, as if its answer was lost.
		j := w.run(t, w.send(t, rows(3000)).ID)
		if j.DeadLetters != 600 {
			t.Fatalf("job %+v", j)
		}
		for _, still := range []bool{true, false} {
			taken, tried = still, 0
			if _, err := w.bulk.Retry(t.Context(), w.ann, j.ID, anyRows); err != nil {
				t.Fatal(err)
			}
			j = w.run(t, j.ID)
			if tried != 600 {
				t.Errorf("%d rows tried again, want those that failed", tried)
			}
		}
		if j.Status != job.Done || j.DeadLetters != 300 || j.Succeeded != 2700 || w.count(t, j.ID) != 2700 {
			t.Errorf("job %+v", j)
		}
		w.wantDone(t, j.ID, 3000)
	})
}

func TestJobsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.maker.before = func() error { time.Sleep(time.Second); return nil }
		large := w.send(t, rows(10_000))
		time.Sleep(time.Second)
		small := w.send(t, rows(500))
		other := w.send(t, rows(500))
		for _, id := range []job.ID{small.ID, other.ID} {
			if j := w.run(t, id); j.Status != job.Done {
				t.Errorf("job %+v", j)
			}
			if j := w.get(t, large.ID); j.Status.Final() || j.Succeeded == 0 {
				t.Errorf("the large one: %+v", j)
			}
		}
		j := w.run(t, large.ID)
		if j.Succeeded != 9000 || j.DeadLetters != 1000 {
			t.Errorf("the large one: %+v", j)
		}
	})
}

func anyRows(account.ID, int64) error { return nil }

func TestCounted(t *testing.T) {
	begun := time.Unix(1, 0)
	for name, c := range map[string]struct {
		job  job.Job
		want int64
	}{
		"waiting":            {job.Job{Status: job.Queued, Rows: 9000}, 9000},
		"failed":             {job.Job{Status: job.Failed, Rows: 9000, StartedAt: begun, Succeeded: 1}, 9000},
		"cancelled, waiting": {job.Job{Status: job.Cancelled, Rows: 9000}, 0},
		"cancelled, begun":   {job.Job{Status: job.Cancelled, Rows: 90_000, StartedAt: begun, Succeeded: 3000, DeadLetters: 1000}, 4000},
	} {
		if got := c.job.Counted(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
