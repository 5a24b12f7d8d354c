package redirect

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
)

// Changed takes in that a link was made or changed. When it returns, no later
// Resolve on this node gives what was before, and the shared cache, if it
// could be told, doesn't either. It is called after the change is durable; with
// a Route of Version 0 where nobody knows whether it is, or will be.
func (r *Resolver) Changed(ctx context.Context, c link.Change) {
	r.count.changes.Add(1)
	route := c.Route
	if route.Version == 0 {
		r.census.doubt(c.Key)
		return
	}
	r.census.add(c.Key)
	route.LoadedAt = r.s.Now()
	r.take(ctx, c.Key, &route)
	if r.s.Shared != nil {
		// Others must be told even where whoever made the change has left.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.s.LoadTime)
		defer cancel()
		if err := r.s.Shared.Forget(ctx, c.Key, route.Version); err != nil {
			r.noteShared(err)
			r.s.Logger.Warn("shared cache not told of a changed link", "error", err)
		}
	}
}

// take calls off the key's look-up and puts a newer route in memory.
func (r *Resolver) take(ctx context.Context, k link.Key, route *link.Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, k)
	if err := r.s.Memory.Put(ctx, k, route); err != nil {
		// What can't be replaced must at least go.
		_ = r.s.Memory.Forget(ctx, k, route.Version)
	}
}

// Watch brings in what other processes change until ctx ends: it asks the
// store every PollInterval. A store that can't be asked is asked again. Routes
// read before its first answer, or before it fell behind, may have missed a
// change, and are read again before they are served. From that answer on it
// learns which keys there are.
func (r *Resolver) Watch(ctx context.Context) error {
	w := watcher{r: r, mark: -1}
	defer w.stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		more, err := w.poll(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil && !w.failing:
			r.s.Logger.Warn("changes made by other processes can't be read", "error", err)
		case err == nil && w.failing:
			r.s.Logger.Info("changes made by other processes are read again")
		}
		w.failing = err != nil
		wait := r.s.PollInterval
		if more {
			wait = 0
		}
		timer.Reset(wait)
	}
}

// watcher is the state of Watch.
type watcher struct {
	r       *Resolver
	mark    int64 // of the changes taken in; negative: none yet
	failing bool
	taking  atomic.Bool // a census is under way
	cancel  func()      // ends it and waits for it; nil before the first
}

// poll takes in the changes after the mark. If one of them can't be, the mark
// stays and all are taken in again.
func (w *watcher) poll(ctx context.Context) (more bool, err error) {
	r, began := w.r, w.r.s.Now()
	keys, next, err := w.changes(ctx)
	if errors.Is(err, link.ErrBehind) {
		// Any link may have changed or been made unheard.
		w.stop()
		r.census.forget()
		w.mark = -1
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if w.mark < 0 {
		r.watching.Store(r.s.Now().UnixNano())
	}
	r.census.add(keys...)
	for _, k := range keys {
		if err := r.follow(ctx, k); err != nil {
			return false, err
		}
	}
	w.mark = next
	if more = len(keys) >= changesPage; !more {
		r.census.heard.Store(int64(began.Sub(r.census.began)))
	}
	w.take(ctx)
	return more, nil
}

func (w *watcher) changes(ctx context.Context) ([]link.Key, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, w.r.s.LoadTime)
	defer cancel()
	return w.r.s.Store.Changes(ctx, w.mark)
}

// take begins a census where one is needed. One that fails is begun again.
func (w *watcher) take(ctx context.Context) {
	room := w.r.census.room()
	if room == 0 || w.taking.Load() {
		return
	}
	w.stop()
	w.taking.Store(true)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	w.cancel = func() { cancel(); <-done }
	go func() {
		defer close(done)
		defer w.taking.Store(false)
		err := w.r.census.take(ctx, w.r.s.Store, room, w.r.s.LoadTime)
		if err != nil && ctx.Err() == nil {
			w.r.s.Logger.Warn("keys of the links not read", "error", err)
		}
	}()
}

// stop ends a census that is under way.
func (w *watcher) stop() {
	if w.cancel != nil {
		w.cancel()
	}
}

// changesPage is how many keys link.Store.Changes gives at most.
const changesPage = 1000

// follow takes in that another process may have changed a key.
func (r *Resolver) follow(ctx context.Context, k link.Key) error {
	r.mu.Lock()
	delete(r.flights, k)
	r.mu.Unlock()
	// Only what is in memory, and what is on its way there, can be old.
	known, ok, err := r.s.Memory.Get(ctx, k)
	if err != nil || !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.s.LoadTime)
	defer cancel()
	route := link.Missing(r.s.Now())
	found, err := r.s.Store.Route(ctx, k)
	switch {
	case err == nil:
		found.LoadedAt, route = route.LoadedAt, found
	case !fault.Is(err, fault.URLNotFound):
		return err
	}
	if route.Version == known.Version {
		return nil
	}
	r.count.changes.Add(1)
	if route.Version == 0 {
		return r.s.Memory.Forget(ctx, k, known.Version+1)
	}
	r.take(ctx, k, &route)
	return nil
}

// counters are what Stats tells.
type counters struct {
	hits, absent, excluded, misses, shared, sharedErrors atomic.Uint64
	loads, errors, refused, refreshes, changes           atomic.Uint64
}

// Stats counts since the start.
type Stats struct {
	Hits         uint64 // links found in memory
	Absent       uint64 // "no such link" found in memory
	Excluded     uint64 // not found in memory, nor among the keys of the store
	Misses       uint64 // not found in memory otherwise
	Shared       uint64 // found in the shared cache
	SharedErrors uint64
	Loads        uint64 // look-ups in the store
	LoadErrors   uint64
	Refused      uint64 // look-ups not begun, as too many were under way
	Refreshes    uint64
	Changes      uint64 // made by this process, or followed
	Loading      int    // look-ups under way now
	Keys         int    // known to be in the store, about; 0: they are not known
	KeyBytes     int    // of memory for these
}

// Stats gives a snapshot; its numbers may be a request or two apart.
func (r *Resolver) Stats() Stats {
	r.mu.Lock()
	loading := r.loading
	r.mu.Unlock()
	c := &r.count
	keys, bytes := r.census.size()
	return Stats{
		Keys: keys, KeyBytes: bytes,
		Hits: c.hits.Load(), Absent: c.absent.Load(), Excluded: c.excluded.Load(), Misses: c.misses.Load(),
		Shared: c.shared.Load(), SharedErrors: c.sharedErrors.Load(),
		Loads: c.loads.Load(), LoadErrors: c.errors.Load(), Refused: c.refused.Load(),
		Refreshes: c.refreshes.Load(), Changes: c.changes.Load(), Loading: loading,
	}
}
