package click

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kurz/internal/fault"
)

// Live shows clicks to those who watch, as they are counted. Whoever comes back
// within a minute goes on where they were.
//
// It never blocks the one who tells it of clicks, whatever the watchers do, and
// costs next to nothing while nobody watches. It is safe for concurrent use.
type Live struct {
	now func() time.Time
	// busy is set while there are watches, or recent clicks kept for some that
	// may come back.
	busy atomic.Bool

	mu       sync.Mutex
	watches  map[Subject]map[*Watch]struct{}
	watching int
	left     time.Time // when the last watch ended
	// recent is a ring of the clicks shown last; oldest is where the next goes.
	recent []*Event
	oldest int
	closed chan struct{}
}

const (
	// keptRecent is how many clicks are kept for those who come back, and
	// lingers for how long after the last of them left.
	keptRecent = 1 << 14
	lingers    = time.Minute
	// maxWaiting is how many clicks may wait for one watcher: more than a batch
	// of the pump has, which comes at once. Watchers share the clicks.
	maxWaiting = 1 << 14
)

// NewLive makes a Live.
func NewLive(now func() time.Time) *Live {
	return &Live{now: now, watches: map[Subject]map[*Watch]struct{}{}, closed: make(chan struct{})}
}

// Show tells of clicks that are counted, in the order in which they were. It
// keeps nothing of events, and waits for nobody.
func (l *Live) Show(events []Event) {
	if !l.busy.Load() || len(events) == 0 {
		return
	}
	shown := make([]*Event, len(events))
	for i := range events {
		e := events[i] // each apart, so that one that is kept does not keep all
		shown[i] = &e
	}
	slices.SortStableFunc(shown, func(a, b *Event) int { return cmp.Compare(a.ID, b.ID) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended() || l.watching == 0 && l.now().Sub(l.left) >= lingers {
		l.recent, l.oldest = nil, 0
		l.busy.Store(false)
		return
	}
	for _, e := range shown {
		l.keep(e)
		l.tell(Subject{}, e)
		l.tell(Subject{Link: e.Link}, e)
		if e.Owner != 0 {
			l.tell(Subject{Owner: e.Owner}, e)
		}
	}
}

func (l *Live) tell(of Subject, e *Event) {
	for w := range l.watches[of] {
		w.add(e)
	}
}

// keep remembers a click for those who come back.
func (l *Live) keep(e *Event) {
	if len(l.recent) < keptRecent {
		l.recent = append(l.recent, e)
		return
	}
	l.recent[l.oldest] = e
	l.oldest = (l.oldest + 1) % keptRecent
}

// Watch begins to watch the clicks that q selects, whatever its From and To;
// its subject is a link, an owner or everybody. Where after is not 0, it goes
// on behind the click of that ID: resumed reports that nothing between is
// missing, and otherwise what is missing is to be had from Reports. Once the
// Live is closed it is fault.Unavailable. The watch must be closed.
func (l *Live) Watch(q Query, after ID) (w *Watch, resumed bool, err error) {
	q.From, q.To = time.Time{}, time.Unix(1<<40, 0) // ever
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended() {
		return nil, false, fault.New(fault.Unavailable, "The server is about to end: come back in a moment")
	}
	w = &Watch{live: l, query: q, ready: make(chan struct{}, 1)}
	if after != 0 {
		resumed = l.resume(w, after)
	}
	of := l.watches[q.Subject]
	if of == nil {
		of = map[*Watch]struct{}{}
		l.watches[q.Subject] = of
	}
	of[w] = struct{}{}
	l.watching++
	l.busy.Store(true)
	return w, resumed, nil
}

// resume hands a watch what was shown since a click, if that is still known.
func (l *Live) resume(w *Watch, after ID) bool {
	n := len(l.recent)
	at := func(i int) *Event { return l.recent[(l.oldest+i)%n] }
	for i := n - 1; i >= 0; i-- {
		if at(i).ID != after {
			continue
		}
		for i++; i < n; i++ {
			if e := at(i); w.query.Selects(e) {
				w.waiting = append(w.waiting, e)
			}
		}
		w.wake()
		return true
	}
	return false
}

// Close ends all watches, for good. Doing it again changes nothing.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended() {
		close(l.closed)
	}
}

func (l *Live) ended() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// Watching tells how many watches there are.
func (l *Live) Watching() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watching
}

// Watch is one who watches. Its methods are for one goroutine.
type Watch struct {
	live  *Live
	query Query
	ready chan struct{}
	over  bool

	mu      sync.Mutex
	waiting []*Event
	missed  int64
}

// add lets an event wait for the watcher, or counts it as missed.
func (w *Watch) add(e *Event) {
	if !w.query.Selects(e) {
		return
	}
	w.mu.Lock()
	// What came after a gap must not be told before it.
	if w.missed > 0 || len(w.waiting) >= maxWaiting {
		w.missed++
	} else {
		w.waiting = append(w.waiting, e)
	}
	w.mu.Unlock()
	w.wake()
}

func (w *Watch) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// Ready gives a channel on which a value arrives when Take has something.
func (w *Watch) Ready() <-chan struct{} { return w.ready }

// Done gives a channel that is closed when there will be no more.
func (w *Watch) Done() <-chan struct{} { return w.live.closed }

// Take gives the clicks that wait, in order, and how many came after them that
// there was no room for: they are counted, and in the reports. The events are
// others' too, and not to be changed.
func (w *Watch) Take() (events []*Event, missed int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, missed = w.waiting, w.missed
	w.waiting, w.missed = nil, 0
	return events, missed
}

// Close ends the watch.
func (w *Watch) Close() {
	l := w.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.over {
		return
	}
	w.over = true
	of := l.watches[w.query.Subject]
	delete(of, w)
	if len(of) == 0 {
		delete(l.watches, w.query.Subject)
	}
	l.watching--
	l.left = l.now()
}
