package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Watch says which clicks are watched. The zero Watch is people's, all of them.
type Watch struct {
	Kind    string     // human, bot or all
	Filters url.Values // as in Stats
	// After is the ID of the last click that was seen, "" for none: what was
	// counted since then comes first.
	After string
	// Away, unless nil, is told why there is no connection, each time before the
	// next attempt.
	Away func(err error)
}

// LiveEvent is what comes over a live stream: a click, or that some were left
// out.
type LiveEvent struct {
	Click *Click // nil where clicks were missed
	// JSON is the click as the server wrote it, on one line.
	JSON json.RawMessage
	// Missed is how many clicks the server left out since it was not read fast
	// enough, -1 where nobody counted them. They are in lists and reports.
	Missed int64
}

// Live gives the clicks of a link as they are counted. Where the connection
// breaks or the server starts anew, it comes back and goes on with what was
// missed, for as long as ctx lives; no click comes twice. It ends with the
// first error that coming back can't mend, such as a key that was revoked, and
// with that of ctx.
func (c *Client) Live(ctx context.Context, code string, w Watch) iter.Seq2[LiveEvent, error] {
	return c.live(ctx, codePath(code)+"/live", c.onDomain(w.query()), w)
}

// AllLive gives the clicks of all of the caller's links, as Live does.
func (c *Client) AllLive(ctx context.Context, w Watch) iter.Seq2[LiveEvent, error] {
	return c.live(ctx, "/api/v1/live", w.query(), w)
}

func (w Watch) query() url.Values {
	s := Stats{Kind: w.Kind, Filters: w.Filters}
	return s.query()
}

const (
	// silent is for how long nothing may come before a connection counts as
	// broken: three of the server's heartbeats.
	silent = 45 * time.Second
	// remembered is how many clicks are known again: after a restart, a server
	// may send one of the last once more.
	remembered = 10_000
	longest    = 30 * time.Second // between attempts
)

// watcher is one who watches, over several connections.
type watcher struct {
	*Client
	path  string
	query url.Values
	last  string
	retry time.Duration
	yield func(LiveEvent, error) bool
	// opened is set once a server has streamed: from then on it is one that is
	// away for a while, before that perhaps none at all.
	opened bool
	heard  bool // anything on this connection
	seen   map[string]bool
	order  []string // of seen, a ring
	next   int
}

// errStopped says that nobody wants more.
var errStopped = errors.New("stopped")

func (c *Client) live(ctx context.Context, path string, query url.Values, watch Watch) iter.Seq2[LiveEvent, error] {
	return func(yield func(LiveEvent, error) bool) {
		w := &watcher{Client: c, path: path, query: query, last: watch.After, retry: time.Second, yield: yield, seen: map[string]bool{}}
		for attempt := 0; ; attempt++ {
			w.heard = false
			err := w.connect(ctx)
			switch {
			case errors.Is(err, errStopped):
				return
			case ctx.Err() != nil:
				yield(LiveEvent{}, ctx.Err())
				return
			case !passing(err), !w.opened && attempt >= c.retries:
				yield(LiveEvent{}, err)
				return
			}
			if w.heard {
				attempt = 0
			}
			if watch.Away != nil {
				watch.Away(err)
			}
			wait := jitter(min(w.retry<<min(attempt, 5), longest))
			if e, ok := errors.AsType[*Error](err); ok {
				wait = max(wait, e.RetryAfter)
			}
			if !sleep(ctx, wait) {
				<-ctx.Done()
				yield(LiveEvent{}, ctx.Err())
				return
			}
		}
	}
}

// unreadable says that an event is none of kurz's.
type unreadable struct{ error }

func (e unreadable) Unwrap() error { return e.error }

// passing reports whether an error may be gone at the next attempt.
func passing(err error) bool {
	if _, ok := errors.AsType[unreadable](err); ok || errors.Is(err, errTooLong) {
		return false
	}
	e, ok := errors.AsType[*Error](err)
	return !ok || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// connect reads one stream to its end.
func (w *watcher) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silent, cancel)
	defer watchdog.Stop()
	req, err := w.request(ctx, call{method: http.MethodGet, path: w.path, query: w.query}, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if w.last != "" {
		req.Header.Set("Last-Event-ID", w.last)
	}
	endless := *w.http
	endless.Timeout = 0
	resp, err := endless.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return err
		}
		return errorOf(resp, body)
	}
	w.opened = true
	events := newStream(resp.Body, func() { watchdog.Reset(silent) })
	for {
		e, err := events.next()
		if events.retry >= 0 {
			w.retry = min(events.retry, longest)
		}
		if err != nil {
			if events.last != "" {
				w.last = events.last
			}
			return err
		}
		if err := w.tell(e); err != nil {
			return err
		}
	}
}

// tell hands on an event; unknown ones are of a newer server.
func (w *watcher) tell(e streamEvent) error {
	w.heard = true
	var event LiveEvent
	switch e.name {
	case "click":
		event.Click = &Click{}
		var line bytes.Buffer
		if err := errors.Join(json.Unmarshal([]byte(e.data), event.Click), json.Compact(&line, []byte(e.data))); err != nil {
			return unreadable{fmt.Errorf("GET %s: the event can't be read: %w", w.path, err)}
		}
		event.JSON = line.Bytes()
		w.last = e.id
		if !w.remember(e.id) {
			return nil
		}
	case "missed":
		var missed struct{ Clicks *int64 }
		if err := json.Unmarshal([]byte(e.data), &missed); err != nil {
			return unreadable{fmt.Errorf("GET %s: the event can't be read: %w", w.path, err)}
		}
		if event.Missed = -1; missed.Clicks != nil {
			event.Missed = *missed.Clicks
		}
	default:
		return nil
	}
	if !w.yield(event, nil) {
		return errStopped
	}
	return nil
}

// remember notes a click, and reports whether it is new.
func (w *watcher) remember(id string) bool {
	if w.seen[id] {
		return false
	}
	if len(w.order) < remembered {
		w.order = append(w.order, id)
	} else {
		delete(w.seen, w.order[w.next])
		w.order[w.next] = id
		w.next = (w.next + 1) % remembered
	}
	w.seen[id] = true
	return true
}
