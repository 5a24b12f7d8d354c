package app

import (
	"context"
	"crypto/rand"
	"time"

	"kurz/internal/api"
	"kurz/internal/job"
	"kurz/internal/telemetry"
)

// sweepPieces is how much of old jobs is given back at a time, some 4 MB, so
// that others who write wait little for it.
const sweepPieces = 16

// newWorker makes the worker of bulk jobs and the rules for them.
func (a *App) newWorker(p Parts, w Surroundings) {
	a.worker = job.NewWorker(job.WorkerSettings{
		Queue: p.Jobs, Reader: api.BulkFiles{}, Maker: a.core.Registry, User: a.directory.User, Now: w.Now,
		Holder: rand.Text(), Breathe: w.Breathe, Logger: w.Logger,
	})
	a.jobs = p.Jobs
	a.bulk = job.NewBulk(job.BulkSettings{
		Queue: p.Jobs, Reader: api.BulkFiles{}, Now: w.Now, Rand: w.Rand, Wake: a.worker.Wake, Leave: a.worker.Leave,
	})
}

// measureBulk shows the jobs and what became of their rows.
func (a *App) measureBulk(m *telemetry.Metrics) {
	m.Counters("kurz_bulk_rows_total", "Rows of bulk jobs that were worked on, by what became of them; one that is retried counts again.",
		"result", []string{"done", "failed"}, func() map[string]float64 {
			s := a.worker.Stats()
			return map[string]float64{"done": float64(s.Done), "failed": float64(s.Failed)}
		})
	m.Counter("kurz_bulk_put_off_total", "Times that a bulk job was put off, since something could not be asked.",
		func() float64 { return float64(a.worker.Stats().PutOff) })
	statuses := []job.Status{job.Receiving, job.Queued, job.Running, job.Done, job.Failed, job.Cancelled}
	names := make([]string, len(statuses))
	for i, s := range statuses {
		names[i] = string(s)
	}
	m.Gauges("kurz_bulk_jobs", "Bulk jobs that are kept, by status.", "status", names, func() map[string]float64 {
		ctx, cancel := context.WithTimeout(context.Background(), checkTime)
		defer cancel()
		counts, err := a.jobs.Counts(ctx, job.Kind)
		if err != nil {
			return nil
		}
		found := map[string]float64{}
		for status, n := range counts {
			found[string(status)] = float64(n)
		}
		return found
	})
}

// sweepJobs drops jobs that are kept long enough, and uploads that were given
// up.
func (a *App) sweepJobs(ctx context.Context) error {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		for {
			now := a.now()
			n, err := a.jobs.Sweep(ctx, now, now.Add(-job.Keep), sweepPieces)
			if err != nil {
				if ctx.Err() == nil {
					a.logger.Warn("old bulk jobs not swept", "error", err)
				}
				break
			}
			if n < sweepPieces {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
