package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/test/program"
	"kurz/test/wire"
)

// Writers of the load beside a backup, and how many creates and edits a second
// they make together.
const (
	bookKeepers   = 8
	writesASecond = 500
)

// TestBackup backs up a server, KURZ_BACKUPS times, under 500 creates and edits
// a second and redirects without pause, restores each backup into a new folder,
// serves it, and compares it with the ledger that is kept here. What is there is
// one moment of the ledger: each writer's creates and edits up to one of them
// and none behind that, every one that was answered before the backup began
// among them; and each link's clicks are no fewer than were answered before it
// began, and no more than were sent before it was done.
func TestBackup(t *testing.T) {
	backups, proof := times(t, "KURZ_BACKUPS", 2)
	s := start(t, unlimited()...)
	b := &books{s: s, key: s.key(t, "ann@example.org", "--role", "admin"), done: make(chan struct{})}
	b.open(t)
	var clients sync.WaitGroup
	for i := range b.writers {
		clients.Go(func() { b.keep(t, &b.writers[i]) })
	}
	for i := range visitors {
		clients.Go(func() { b.visit(t, i) })
	}
	var took []time.Duration
	compared := compared{}
	for i := range backups {
		b.reach(t, (i+1)*writesASecond)
		before, clicks := b.note(true)
		began := time.Now()
		file := filepath.Join(t.TempDir(), "kurz.backup")
		if out, err := s.Run(t.Context(), "backup", file); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		took = append(took, time.Since(began))
		after, most := b.note(false)
		compared.add(b.restored(t, file, moment{before, clicks}, moment{after, most}))
	}
	close(b.done)
	clients.Wait()
	writes := 0
	for i := range b.writers {
		writes += len(b.writers[i].sent)
	}
	t.Logf("backup: %d backups beside %d creates and edits and %d redirects, the longest took %v; restored and compared: %d links, %d edits, %d clicks; 0 lost, 0 doubled, 0 of another moment, proof %v",
		backups, writes, b.redirects(), longest(took), compared.links, compared.edits, compared.clicks, proof)
}

func longest(list []time.Duration) (most time.Duration) {
	for _, d := range list {
		most = max(most, d)
	}
	return most.Round(time.Millisecond)
}

// books are the ledger of a test of backups.
type books struct {
	s    *server
	key  string
	done chan struct{}

	mu      sync.Mutex
	writers [bookKeepers]bookKeeper
	hot     []*entry
}

// bookKeeper makes links and edits them, one after the other.
type bookKeeper struct {
	name  int
	sent  []write // in order
	acked int     // so many of sent are answered
	codes map[int]string
}

// write is a create (version 0) or an edit of a link of a writer.
type write struct{ link, version int }

// moment is how far each writer, and each hot link's clicks, were.
type moment struct {
	writes [bookKeepers]int
	clicks map[string]int // by destination
}

func (b *books) open(t *testing.T) {
	t.Helper()
	for i := range hotLinks {
		e := &entry{destination: fmt.Sprintf("https://example.com/hot/%d", i)}
		e.code = b.s.create(t, b.key, e.destination)
		b.hot = append(b.hot, e)
	}
	for i := range b.writers {
		b.writers[i] = bookKeeper{name: i, codes: map[int]string{}}
	}
}

// next gives what a writer does next: three edits of the links that it has for
// every create.
func (w *bookKeeper) next() write {
	n := len(w.sent)
	if n%4 == 0 {
		return write{link: n / 4}
	}
	return write{link: n * 7919 % (n/4 + 1), version: n}
}

func (w *bookKeeper) destination(link int) string {
	return fmt.Sprintf("https://example.com/w%d/%d", w.name, link)
}

func title(version int) string { return "edit " + strconv.Itoa(version) }

// keep writes at its part of writesASecond.
func (b *books) keep(t *testing.T, w *bookKeeper) {
	conn, err := wire.Dial(t.Context(), b.s.Addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	tick := time.NewTicker(time.Second * bookKeepers / writesASecond)
	defer tick.Stop()
	for {
		select {
		case <-b.done:
			return
		case <-tick.C:
		}
		next := w.next()
		b.mu.Lock()
		w.sent = append(w.sent, next)
		b.mu.Unlock()
		r, err := conn.Do(b.request(w, next))
		if err != nil || r.Status != http.StatusCreated && r.Status != http.StatusOK {
			t.Errorf("write %+v: %d %s %v", next, r.Status, r.Body, err)
			return
		}
		b.mu.Lock()
		if next.version == 0 {
			w.codes[next.link] = codeOf(r.Body)
		}
		w.acked++
		b.mu.Unlock()
	}
}

func (b *books) request(w *bookKeeper, n write) []byte {
	header := "Authorization: Bearer " + b.key + "\r\n"
	if n.version == 0 {
		return wire.AppendPost(nil, b.s.Addr, "/api/v1/urls", header, fmt.Appendf(nil, `{"long_url":%q}`, w.destination(n.link)))
	}
	request := wire.AppendPost(nil, b.s.Addr, "/api/v1/urls/"+w.codes[n.link], header, fmt.Appendf(nil, `{"title":%q}`, title(n.version)))
	return append([]byte("PATCH"), request[len("POST"):]...)
}

// visit follows hot links without pause.
func (b *books) visit(t *testing.T, first int) {
	conn, err := wire.Dial(t.Context(), b.s.Addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	for i := first; ; i = (i + visitors) % len(b.hot) {
		select {
		case <-b.done:
			return
		default:
		}
		e := b.hot[i]
		b.mu.Lock()
		e.sent++
		b.mu.Unlock()
		r, err := conn.Do(wire.AppendGet(nil, b.s.Addr, "/"+e.code))
		if err != nil || r.Status != http.StatusFound {
			t.Errorf("redirect: %d %v", r.Status, err)
			return
		}
		b.mu.Lock()
		e.answered++
		b.mu.Unlock()
	}
}

// reach waits until so many writes are answered.
func (b *books) reach(t *testing.T, n int) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		b.mu.Lock()
		defer b.mu.Unlock()
		sum := 0
		for i := range b.writers {
			sum += b.writers[i].acked
		}
		if sum < n {
			return fmt.Sprintf("%d writes", sum)
		}
		return ""
	})
}

// note gives how far everything is: what was answered, or what was sent.
func (b *books) note(answered bool) (writes [bookKeepers]int, clicks map[string]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	clicks = map[string]int{}
	for i := range b.writers {
		if writes[i] = len(b.writers[i].sent); answered {
			writes[i] = b.writers[i].acked
		}
	}
	for _, e := range b.hot {
		if clicks[e.destination] = e.sent; answered {
			clicks[e.destination] = e.answered
		}
	}
	return writes, clicks
}

func (b *books) redirects() (n int) {
	for _, e := range b.hot {
		n += e.answered
	}
	return n
}

// compared counts what was compared.
type compared struct{ links, edits, clicks int }

func (c *compared) add(o compared) {
	c.links, c.edits, c.clicks = c.links+o.links, c.edits+o.edits, c.clicks+o.clicks
}

// restored restores a backup, serves it and compares it with the ledger.
func (b *books) restored(t *testing.T, file string, before, after moment) (c compared) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "restored")
	restore := &program.Server{Options: program.Options{Binary: binary, Data: folder}}
	if out, err := restore.Run(t.Context(), "restore", file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := restore.Run(t.Context(), "restore", file); err == nil {
		t.Error("a restore into a folder that is not empty")
	}
	s := startIn(t, folder, unlimited()...)
	defer s.Kill()
	// The key is among what was restored. Its clicks that waited are counted soon.
	eventually(t, 30*time.Second, func() string {
		if n := s.metric(t, "kurz_clicks_pending"); n > 0 {
			return fmt.Sprintf("%v clicks wait", n)
		}
		return ""
	})
	there := map[string]restoredLink{}
	b.list(t, s, func(l restoredLink) {
		if _, twice := there[l.Destination]; twice {
			t.Errorf("%s is there twice", l.Destination)
		}
		there[l.Destination] = l
	})
	for _, e := range b.hot {
		l := there[e.destination]
		if l.Code != e.code || l.Clicks < before.clicks[e.destination] || l.Clicks > after.clicks[e.destination] {
			t.Errorf("%s (%s) has %d clicks, %d were answered before and %d sent until then", l.Code, e.code, l.Clicks, before.clicks[e.destination], after.clicks[e.destination])
		}
		c.clicks += l.Clicks
		delete(there, e.destination)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.writers {
		c.add(b.writers[i].compare(t, there, before.writes[i], after.writes[i]))
	}
	for destination := range there {
		t.Errorf("%s was never sent", destination)
	}
	hot := b.hot[0]
	if r := s.must(t, http.StatusFound, ask{method: "GET", path: "/" + hot.code}); r.header.Get("Location") != hot.destination {
		t.Errorf("%s leads to %s", hot.code, r.header.Get("Location"))
	}
	return c
}

// compare finds the writer's moment, between two, and checks that all its links
// are as they were then. It takes them out of there.
func (w *bookKeeper) compare(t *testing.T, there map[string]restoredLink, least, most int) (c compared) {
	t.Helper()
	reached := 0
	for n, op := range w.sent {
		if l, ok := there[w.destination(op.link)]; ok && (op.version == 0 || l.Title == title(op.version)) {
			reached = n + 1
		}
	}
	if reached < least || reached > most {
		t.Errorf("writer %d: the backup has %d writes, %d were answered before and %d sent until then", w.name, reached, least, most)
	}
	want := map[int]string{}
	for _, op := range w.sent[:reached] {
		if want[op.link] = ""; op.version > 0 {
			want[op.link] = title(op.version)
			c.edits++
		}
	}
	for link, title := range want {
		destination := w.destination(link)
		l, ok := there[destination]
		code := w.codes[link]
		if !ok || l.Title != title || code != "" && l.Code != code {
			t.Errorf("%s: %+v, want %q under %s", destination, l, title, code)
		}
		c.links++
		delete(there, destination)
	}
	return c
}

type restoredLink struct {
	Code        string `json:"short_code"`
	Destination string `json:"long_url"`
	Title       string
	Clicks      int
}

// list pages through all links of a server.
func (b *books) list(t *testing.T, s *server, each func(restoredLink)) {
	t.Helper()
	for at, cursor := "/api/v1/urls?limit=500", ""; ; {
		r := s.must(t, http.StatusOK, ask{method: "GET", path: at + cursor, key: b.key})
		var page struct {
			Items []restoredLink
			Next  string `json:"next_cursor"`
		}
		if err := json.NewDecoder(strings.NewReader(string(r.body))).Decode(&page); err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Items {
			each(l)
		}
		if page.Next == "" {
			return
		}
		cursor = "&cursor=" + page.Next
	}
}
