package api

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"kurz/internal/account"
	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// Streams bound live streams. A zero value has the given default.
type Streams struct {
	All     int // at once: 1,000
	PerUser int // at once: 20
	// Heartbeat is how long a stream is silent at most: 15 s.
	Heartbeat time.Duration
	// Check is how often it is asked whether the key still works and may
	// still see what it sees: 5 s.
	Check time.Duration
	// Stall is how long a client may take to read what was sent: 10 s.
	Stall time.Duration
}

func (s *Streams) fill() {
	for _, n := range []struct {
		p     *int
		value int
	}{{&s.All, 1000}, {&s.PerUser, 20}} {
		if *n.p == 0 {
			*n.p = n.value
		}
	}
	for _, d := range []struct {
		p     *time.Duration
		value time.Duration
	}{{&s.Heartbeat, 15 * time.Second}, {&s.Check, 5 * time.Second}, {&s.Stall, 10 * time.Second}} {
		if *d.p == 0 {
			*d.p = d.value
		}
	}
}

const (
	// comeBack is after what time a client comes back, in milliseconds.
	comeBack = 2000
	// maxReplay bounds the clicks that are sent to one who comes back.
	maxReplay = 10_000
	// blind is for how long a stream goes on while nobody can say whether it
	// still may.
	blind = time.Minute
)

// missedJSON says what a client did not get: the Missed schema.
type missedJSON struct {
	Clicks *int64 `json:"clicks"` // null: nobody counted them
}

// subjects says whose clicks a stream shows, to the one who asks now.
type subjects func(c *call) (click.Subject, link.Key, error)

func (a *API) linkLive(c *call) error {
	return a.live(c, func(c *call) (click.Subject, link.Key, error) {
		var q click.Query
		l, err := a.clicksOf(c, &q)
		return q.Subject, l.Key, err
	})
}

func (a *API) allLive(c *call) error {
	return a.live(c, func(c *call) (click.Subject, link.Key, error) {
		of, err := owner(c)
		return click.Subject{Owner: of}, link.Key{}, err
	})
}

// live streams clicks as they are counted: server-sent events (WHATWG HTML,
// section 9.2). It ends when the client goes, does not read, or may no longer,
// and when the server ends.
func (a *API) live(c *call, whose subjects) error {
	q, queryErr := watchQuery(c)
	after, afterErr := lastEvent(c.r.Header)
	if err := gather(queryErr, afterErr); err != nil {
		return err
	}
	var err error
	s := &stream{api: a, call: c, whose: whose}
	if q.Subject, s.key, err = whose(c); err != nil {
		return err
	}
	s.query = q
	h := c.w.Header()
	h.Set("X-Accel-Buffering", "no") // nginx would gather events
	if c.r.Method == http.MethodHead {
		h.Set("Content-Type", typeEvents)
		return nil
	}
	free, err := a.streams.take(c.actor.User)
	if err != nil {
		return err
	}
	defer free()
	watch, resumed, err := a.Live.Watch(q, after)
	if err != nil {
		return err
	}
	defer watch.Close()
	h.Set("Content-Type", typeEvents)
	switch {
	case after == 0:
		// Whoever is cut off before the first click comes back for all from now on.
		s.begins = click.NewID(a.Now(), 0) - 1
	case resumed:
		after = 0
	}
	s.run(watch, after)
	return nil
}

const typeEvents = "text/event-stream"

// watchQuery reads the parameters of a stream: kinds and filters as in reports.
func watchQuery(c *call) (q click.Query, err error) {
	var kindErr, filterErr error
	q.Kinds, kindErr = oneOf(c.query, "kind", click.Humans, click.Bots, click.AllKind)
	q.Filters, filterErr = filters(c.query)
	return q, gather(kindErr, filterErr)
}

// lastEvent reads Last-Event-ID: the click that a client has seen last; 0 is
// none.
func lastEvent(h http.Header) (click.ID, error) {
	const name = "Last-Event-ID"
	s := h.Get(name)
	if s == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(s, 10, 64)
	if err != nil || id < 0 || strconv.FormatInt(id, 10) != s {
		return 0, fault.Invalid(name, "must be the id of an event, or be left out")
	}
	return click.ID(id), nil
}

// stream is one answer that goes on.
type stream struct {
	api     *API
	call    *call
	whose   subjects
	query   click.Query
	key     link.Key // of its one link; zero: of many
	begins  click.ID // where it begins; 0: where another ended
	control *http.ResponseController
	out     bytes.Buffer
	written time.Time
	allowed time.Time // when that was last known
}

// run sends until something ends it. What was missed after the click of an ID,
// unless 0, comes first.
func (s *stream) run(watch *click.Watch, after click.ID) {
	s.control = http.NewResponseController(s.call.w)
	// Whoever only listens sends nothing: the deadline of requests is not his.
	_ = s.control.SetReadDeadline(time.Time{}) // where there is a connection
	s.call.w.WriteHeader(ok)
	s.out.WriteString("retry: " + strconv.Itoa(comeBack) + "\n")
	if s.begins > 0 {
		s.out.WriteString("id: " + strconv.FormatInt(int64(s.begins), 10) + "\n")
	}
	s.out.WriteString("\n")
	if !s.flush() {
		return
	}
	repeated, good := s.replay(after)
	if !good {
		return
	}
	s.allowed = time.Now()
	tick := time.NewTicker(min(s.api.Streams.Heartbeat, s.api.Streams.Check))
	defer tick.Stop()
	for {
		select {
		case <-s.call.ctx().Done():
			return
		case <-watch.Done():
			return
		case <-watch.Ready():
			events, missed := watch.Take()
			if !s.send(events, repeated) || missed > 0 && !s.miss(&missed) {
				return
			}
		case now := <-tick.C:
			if now.Sub(s.written) >= s.api.Streams.Heartbeat {
				s.out.WriteString(":\n\n")
			}
			if !s.flush() || !s.may(now) {
				return
			}
		}
	}
}

// may reports whether the one who asked may still see all this. Where that
// can't be found out, it holds for a while.
func (s *stream) may(now time.Time) bool {
	if now.Sub(s.allowed) < s.api.Streams.Check {
		return true
	}
	ctx, cancel := context.WithTimeout(s.call.ctx(), s.api.Streams.Check)
	defer cancel()
	again := *s.call
	again.r = s.call.r.WithContext(ctx)
	err := s.api.authenticate(&again)
	if err == nil {
		var subject click.Subject
		if subject, _, err = s.whose(&again); err == nil && subject == s.query.Subject {
			s.allowed = now
			return true
		}
	}
	unknown := fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Internal)
	return unknown && now.Sub(s.allowed) < blind
}

// replay sends what was counted since the click of an ID, oldest first, and
// tells which clicks these were, since the watch may show them again.
func (s *stream) replay(after click.ID) (repeated map[click.ID]bool, good bool) {
	if after == 0 {
		return nil, true
	}
	q := s.query
	q.From, q.To = after.Time(), time.Unix(1<<40, 0)
	var events []click.Event
	for before := click.ID(0); ; {
		page, next, err := s.api.Reports.Events(s.call.ctx(), q, before, exportPage)
		if err != nil {
			s.api.Warn(s.call.ctx(), "a live stream ends: what was missed can't be read", err)
			return nil, false
		}
		seen := slices.IndexFunc(page, func(e click.Event) bool { return e.ID <= after })
		if seen >= 0 {
			page, next = page[:seen], 0
		}
		events = append(events, page...)
		if next == 0 {
			break
		}
		if before = next; len(events) >= maxReplay {
			if !s.miss(nil) {
				return nil, false
			}
			break
		}
	}
	slices.Reverse(events)
	repeated = make(map[click.ID]bool, len(events))
	pointers := make([]*click.Event, len(events))
	for i := range events {
		pointers[i] = &events[i]
	}
	good = s.send(pointers, nil)
	for i := range events {
		repeated[events[i].ID] = true
	}
	return repeated, good
}

// sendAtOnce bounds the clicks that are written without a look at whether the
// client reads them.
const sendAtOnce = 100

// send writes clicks, but for those that were already, and reports whether the
// stream goes on.
func (s *stream) send(events []*click.Event, already map[click.ID]bool) bool {
	for some := range slices.Chunk(events, sendAtOnce) {
		var ids []link.ID
		for _, e := range some {
			ids = append(ids, e.Link)
		}
		keys, err := map[link.ID]link.Key{s.query.Link: s.key}, error(nil)
		if s.query.Link == 0 {
			keys, err = s.api.Registry.Keys(s.call.ctx(), ids)
		}
		if err != nil {
			// The client comes back for them.
			s.api.Warn(s.call.ctx(), "a live stream ends: the names of its links can't be read", err)
			return false
		}
		for _, e := range some {
			if already[e.ID] {
				delete(already, e.ID)
				continue
			}
			n := s.api.nameOf(e, keys[e.Link])
			s.event("click", n.id(), n.show())
		}
		if !s.flush() {
			return false
		}
	}
	return true
}

// miss tells that clicks were left out; nil is an unknown number.
func (s *stream) miss(clicks *int64) bool {
	s.event("missed", "", missedJSON{clicks})
	return s.flush()
}

// event writes one event into memory. JSON has no line ends.
func (s *stream) event(name, id string, data any) {
	b, err := json.Marshal(data)
	if err != nil {
		return // numbers and texts always have a JSON form
	}
	if id != "" {
		s.out.WriteString("id: " + id + "\n")
	}
	s.out.WriteString("event: " + name + "\ndata: ")
	s.out.Write(b)
	s.out.WriteString("\n\n")
}

// flush sends what was written; false where the client does not read it.
func (s *stream) flush() bool {
	if s.out.Len() == 0 {
		return true
	}
	now := time.Now()
	_ = s.control.SetWriteDeadline(now.Add(s.api.Streams.Stall)) // where there is a connection
	_, err := s.out.WriteTo(s.call.w)
	if err == nil {
		err = s.control.Flush()
	}
	s.written = now
	return err == nil
}

// streams counts those that run.
type streams struct {
	limits *Streams
	mu     sync.Mutex
	all    int
	users  map[account.ID]int
}

// take makes room for one more, to be freed at its end.
func (s *streams) take(user account.ID) (free func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.users[user] >= s.limits.PerUser:
		f := fault.New(fault.RateLimitExceeded, "You have %d live streams already: end one before you begin another", s.limits.PerUser)
		f.RetryAfter = s.limits.Heartbeat
		return nil, f
	case s.all >= s.limits.All:
		f := fault.New(fault.Unavailable, "There are as many live streams as this server has room for")
		f.RetryAfter = s.limits.Heartbeat
		return nil, f
	}
	s.all++
	s.users[user]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.users[user]--; s.users[user] == 0 {
			delete(s.users, user)
		}
	}, nil
}
