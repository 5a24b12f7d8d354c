package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/test/wire"
)

// ledger is what a client knows: what it sent, and what it was answered.
type ledger struct {
	mu         sync.Mutex
	next       int
	hot        []*entry          // links that are redirected under load, each by one visitor
	links      map[string]*entry // by destination: every create that was sent
	order      []*entry          // the same, oldest first
	open       []*entry          // creates with an Idempotency-Key and without an answer
	fresh      int               // of order: those before were resolved after a restart
	redirected int               // redirects answered under load
	timed      bool              // answers are kept with their times

	lostCreates, doubledCreates, lostClicks, doubledClicks int
}

type entry struct {
	destination    string
	operation      string // Idempotency-Key, or ""
	code           string // "": not acknowledged
	sent, answered int    // redirects

	// When redirects were answered under load, of a hot link, where the ledger is timed.
	answers []time.Time
}

// Clients of the load, and the links that visitors follow.
const (
	creators = 24
	visitors = 8
	hotLinks = 64
)

func newLedger(t *testing.T, s *server, key string) *ledger {
	t.Helper()
	l := &ledger{links: map[string]*entry{}}
	for i := range hotLinks {
		e := &entry{destination: fmt.Sprintf("https://example.com/hot/%d", i)}
		e.code = s.create(t, key, e.destination)
		l.add(e)
		l.hot = append(l.hot, e)
	}
	return l
}

func (l *ledger) add(e *entry) {
	l.links[e.destination] = e
	l.order = append(l.order, e)
}

// all gives every create that was sent.
func (l *ledger) all() []*entry { return l.order }

// some gives those that are new since the last call, and some of the others.
func (l *ledger) some(random *rand.Rand) []*entry {
	list := append([]*entry(nil), l.order[l.fresh:]...)
	for range min(l.fresh, 500) {
		list = append(list, l.order[random.IntN(l.fresh)])
	}
	l.fresh = len(l.order)
	return list
}

// begin notes a create that is about to be sent; every other one has an
// Idempotency-Key.
func (l *ledger) begin() *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	e := &entry{destination: fmt.Sprintf("https://example.com/%d", l.next)}
	if l.next%2 == 0 {
		e.operation = fmt.Sprintf("create-%d", l.next)
	}
	l.add(e)
	return e
}

// underLoad runs clients, ends the server in the middle of their work, and
// returns when all of them have noticed.
func (s *server) underLoad(t *testing.T, l *ledger, length time.Duration, end func()) {
	t.Helper()
	var wg sync.WaitGroup
	for range creators {
		wg.Go(func() { s.creator(t, l) })
	}
	for i := range visitors {
		wg.Go(func() { s.visitor(t, l, i) })
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	<-timer.C
	end()
	wg.Wait()
}

// creator creates links until the connection breaks.
func (s *server) creator(t *testing.T, l *ledger) {
	conn, err := wire.Dial(t.Context(), s.Addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for {
		e := l.begin()
		r, err := conn.Do(s.createRequest(e))
		l.mu.Lock()
		switch {
		case err != nil:
			if e.operation != "" {
				l.open = append(l.open, e)
			}
		case r.Status == http.StatusCreated:
			e.code = codeOf(r.Body)
		default:
			err = fmt.Errorf("create: %d %s", r.Status, r.Body)
			t.Error(err)
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *server) createRequest(e *entry) []byte {
	header := ""
	if e.operation != "" {
		header = "Idempotency-Key: " + e.operation + "\r\n"
	}
	return wire.AppendPost(nil, s.Addr, "/api/v1/urls", header, []byte(`{"long_url":"`+e.destination+`"}`))
}

func codeOf(body []byte) string {
	var made struct {
		Code string `json:"short_code"`
	}
	if json.Unmarshal(body, &made) != nil {
		return ""
	}
	return made.Code
}

// visitor follows hot links of its own until the connection breaks.
func (s *server) visitor(t *testing.T, l *ledger, first int) {
	conn, err := wire.Dial(t.Context(), s.Addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for i := first; ; i = (i + visitors) % len(l.hot) {
		e := l.hot[i]
		if !s.visit(t, l, conn, e) {
			return
		}
		l.mu.Lock()
		l.redirected++
		if l.timed {
			e.answers = append(e.answers, time.Now())
		}
		l.mu.Unlock()
	}
}

// visit follows a link and notes it; false says that the connection broke.
func (s *server) visit(t *testing.T, l *ledger, conn *wire.Conn, e *entry) bool {
	l.mu.Lock()
	e.sent++
	l.mu.Unlock()
	r, err := conn.Do(wire.AppendGet(nil, s.Addr, "/"+e.code))
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Status != http.StatusFound || string(r.Location) != e.destination {
		l.lostCreates++
		t.Errorf("%s was acknowledged for %s and answers %d %s", e.code, e.destination, r.Status, r.Location)
		return true
	}
	e.answered++
	return true
}

// retry sends the creates that got no answer again, with the same
// Idempotency-Key, until they have one.
func (s *server) retry(t *testing.T, l *ledger) {
	t.Helper()
	for _, e := range l.open {
		eventually(t, 5*time.Second, func() string {
			r, err := s.do(t.Context(), ask{
				method: "POST", path: "/api/v1/urls", body: `{"long_url":"` + e.destination + `"}`,
				header: map[string]string{"Idempotency-Key": e.operation},
			})
			if err != nil || r.status != http.StatusCreated {
				return fmt.Sprintf("retry of a create: %d %s %v", r.status, r.body, err)
			}
			e.code = r.text("short_code")
			return ""
		})
	}
	l.open = nil
}

// resolve follows links that were acknowledged.
func (s *server) resolve(t *testing.T, l *ledger, list []*entry) {
	t.Helper()
	conn, err := wire.Dial(t.Context(), s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, e := range list {
		if e.code != "" && !s.visit(t, l, conn, e) {
			t.Fatal("the connection broke without a kill")
		}
	}
}

// countCreates lists every link there is: each acknowledged create is there
// once, and no destination twice.
func (s *server) countCreates(t *testing.T, l *ledger, key string) (acknowledged, made int) {
	t.Helper()
	there := map[string][]string{}
	s.everyLink(t, key, func(link listed) { there[link.Destination] = append(there[link.Destination], link.Code) })
	for destination, e := range l.links {
		codes := there[destination]
		made += len(codes)
		if e.code != "" {
			acknowledged++
			if len(codes) == 0 || codes[0] != e.code {
				l.lostCreates++
				t.Errorf("%s for %s was acknowledged; there is %v", e.code, destination, codes)
			}
		}
		if len(codes) > 1 {
			l.doubledCreates++
			t.Errorf("%s was created %d times", destination, len(codes))
		}
	}
	return acknowledged, made
}

// countClicks waits until the statistics have caught up, and compares each
// link's clicks with what was sent and answered.
func (s *server) countClicks(t *testing.T, l *ledger, key string) (answered, sent, counted int) {
	t.Helper()
	for _, e := range l.links {
		answered, sent = answered+e.answered, sent+e.sent
	}
	settled := func() string {
		before := s.total(t, key)
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		<-ctx.Done() // longer than the pump waits between two batches
		if counted = s.total(t, key); counted < answered || counted != before {
			return fmt.Sprintf("%d clicks counted, %d answered", counted, answered)
		}
		return ""
	}
	eventually(t, time.Minute, settled)
	byLink := 0
	s.everyLink(t, key, func(link listed) {
		byLink += link.Clicks
		e := l.links[link.Destination]
		switch {
		case e == nil:
			t.Errorf("%s was never asked for", link.Destination)
		case link.Clicks < e.answered:
			l.lostClicks += e.answered - link.Clicks
			t.Errorf("%s: %d redirects answered, %d counted", link.Code, e.answered, link.Clicks)
		case link.Clicks > e.sent:
			l.doubledClicks += link.Clicks - e.sent
			t.Errorf("%s: %d redirects sent, %d counted", link.Code, e.sent, link.Clicks)
		}
	})
	if byLink != counted {
		t.Errorf("the links have %d clicks, the report %d", byLink, counted)
	}
	return answered, sent, counted
}

func (s *server) total(t *testing.T, key string) int {
	t.Helper()
	r := s.must(t, 200, ask{method: "GET", path: "/api/v1/stats", key: key})
	n, err := strconv.Atoi(r.text("total_clicks"))
	if err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return n
}

type listed struct {
	Code        string `json:"short_code"`
	Destination string `json:"long_url"`
	Clicks      int
}

// everyLink pages through all links.
func (s *server) everyLink(t *testing.T, key string, each func(listed)) {
	t.Helper()
	const path = "/api/v1/urls?limit=500"
	for at := path; at != ""; {
		r := s.must(t, 200, ask{method: "GET", path: at, key: key})
		var page struct {
			Items []listed
			Next  string `json:"next_cursor"`
		}
		if err := json.NewDecoder(strings.NewReader(string(r.body))).Decode(&page); err != nil {
			t.Fatal(err)
		}
		for _, link := range page.Items {
			each(link)
		}
		at = ""
		if page.Next != "" {
			at = path + "&cursor=" + page.Next
		}
	}
}
