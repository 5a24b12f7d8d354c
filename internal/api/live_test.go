package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/click"
	"kurz/internal/edge"
	"kurz/internal/fault"
	"kurz/internal/link"
)

func keyOf(code, domain string) link.Key {
	return link.Key{Code: link.Code(code), Domain: link.Domain(domain)}
}

// quick makes streams that look often and tire soon.
func quick(a *api.Settings, _ *link.Settings) {
	a.Streams = api.Streams{Heartbeat: 20 * time.Millisecond, Check: 10 * time.Millisecond, Stall: 200 * time.Millisecond}
}

// listening is a world behind a real server.
type listening struct {
	*world
	URL      string
	Listener net.Listener
	client   *http.Client
}

func listen(t *testing.T, change ...func(*api.Settings, *link.Settings)) *listening {
	t.Helper()
	return serve(t, newWorld(t, change...), false)
}

// deadline is that of the server's requests and answers: far less than a stream
// lasts.
const deadline = 100 * time.Millisecond

func serve(t *testing.T, w *world, h2 bool) *listening {
	t.Helper()
	if h2 {
		s := httptest.NewUnstartedServer(w.front)
		s.Config.ReadTimeout, s.Config.WriteTimeout, s.EnableHTTP2 = deadline, deadline, true
		s.StartTLS()
		t.Cleanup(s.Close)
		return &listening{w, s.URL, s.Listener, s.Client()}
	}
	front := edge.New(edge.Settings{API: w.room, Timeouts: edge.Timeouts{Read: deadline, Write: deadline, Idle: deadline, Grace: time.Minute}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- front.Serve(ctx, listener) }()
	t.Cleanup(func() {
		w.live.Close()
		end()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &listening{w, "http://" + listener.Addr().String(), listener, &http.Client{Transport: &http.Transport{}}}
}

// watching is a stream that is read.
type watching struct {
	*http.Response
	lines *bufio.Scanner
	end   context.CancelFunc
}

func (l *listening) watch(t *testing.T, who, path string, header ...string) *watching {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+l.keys[who])
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := l.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	w := &watching{resp, bufio.NewScanner(resp.Body), end}
	w.lines.Buffer(nil, 1<<20)
	t.Cleanup(func() { end(); resp.Body.Close() })
	if resp.StatusCode == 200 && resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%v", resp.Header)
	}
	return w
}

// event is one of a stream.
type event struct{ id, name, data string }

// next reads the next event; false at the stream's end.
func (w *watching) next() (e event, ok bool) {
	for w.lines.Scan() {
		line := w.lines.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && e.name != "":
			return e, true
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		}
	}
	return event{}, false
}

// clicks reads n clicks and gives their codes and kinds.
func (w *watching) clicks(t *testing.T, n int) (list []string) {
	t.Helper()
	for range n {
		e, ok := w.next()
		var c struct {
			ID, Kind, Domain string
			Code             string `json:"short_code"`
		}
		if err := json.Unmarshal([]byte(e.data), &c); !ok || err != nil || e.name != "click" || e.id != c.ID {
			t.Fatalf("after %q: %+v, %v", list, e, err)
		}
		list = append(list, c.Code+" "+c.Domain+" "+c.Kind)
	}
	return list
}

func (l *listening) of(t *testing.T, code, domain string, kind click.Kind) click.Event {
	t.Helper()
	found, err := l.registry.Peek(t.Context(), keyOf(code, domain))
	if err != nil {
		t.Fatal(err)
	}
	return click.Event{Link: found.ID, Owner: found.Owner, Kind: kind}
}

func TestLive(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[h2], func(t *testing.T) {
			l := serve(t, newWorld(t, quick), h2)
			l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
			l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"winter","domain":"go.example"}`)
			l.link(t, "bob", `{"long_url":"https://example.com","custom_alias":"spring"}`)
			var streams []*watching
			for _, s := range []struct{ who, path string }{
				{"ann", urls + "/autumn/live"},
				{"ann", urls + "/winter/live?domain=go.example&kind=all"},
				{"ann", "/api/v1/live?kind=all"},
				{"bob", "/api/v1/live"},
				{"root", "/api/v1/live?kind=bot"},
				{"root", "/api/v1/live?owner=" + l.users["bob"].ID.String()},
				{"ann", "/api/v1/live?country=!DE,FR"},
			} {
				w := l.watch(t, s.who, s.path)
				if want := map[bool]int{false: 1, true: 2}[h2]; w.ProtoMajor != want {
					t.Fatalf("HTTP/%d, want %d", w.ProtoMajor, want)
				}
				streams = append(streams, w)
			}
			for h, want := range map[string]string{"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*"} {
				if got := streams[0].Header.Get(h); got != want {
					t.Errorf("%s: %q, want %q", h, got, want)
				}
			}
			german := l.of(t, "autumn", "", click.Human)
			german.Country = "DE"
			// Longer than any deadline of the server.
			timer := time.NewTimer(300 * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			l.click(t, german, l.of(t, "autumn", "", click.Bot), l.of(t, "winter", "go.example", click.Human), l.of(t, "spring", "", click.Human), l.of(t, "spring", "", click.Preview))
			for i, want := range []string{
				"autumn kurz.example human",
				"winter go.example human",
				"autumn kurz.example human, autumn kurz.example bot, winter go.example human",
				"spring kurz.example human",
				"autumn kurz.example bot, spring kurz.example preview",
				"spring kurz.example human",
				"winter go.example human",
			} {
				if got := strings.Join(streams[i].clicks(t, strings.Count(want, ",")+1), ", "); got != want {
					t.Errorf("stream %d: %s, want %s", i, got, want)
				}
			}
		})
	}
}

func TestLiveBeats(t *testing.T) {
	l := listen(t, quick)
	w := l.watch(t, "ann", "/api/v1/live")
	var lines []string
	for len(lines) < 8 && w.lines.Scan() {
		lines = append(lines, w.lines.Text())
	}
	if got := strings.Join(lines, "|"); !regexp.MustCompile(`^retry: 2000\|id: \d+\|\|:\|\|:\|\|:$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}

func TestLiveRefuses(t *testing.T) {
	w := newWorld(t)
	w.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	get := func(who, path string, header http.Header) ask {
		return ask{Method: "GET", Who: who, Path: path, Header: header}
	}
	last := func(id string) http.Header { return http.Header{"Last-Event-Id": {id}} }
	w.refused(t, "UNAUTHORIZED", get("", "/api/v1/live", nil))
	w.refused(t, "FORBIDDEN", get("bob", urls+"/autumn/live", nil))
	w.refused(t, "FORBIDDEN", get("bob", "/api/v1/live?owner="+w.users["ann"].ID.String(), nil))
	w.refused(t, "URL_NOT_FOUND", get("bob", urls+"/nothere/live", nil))
	w.refused(t, "VALIDATION_FAILED", get("ann", "/api/v1/live?from=x&planet=y", nil), "from", "planet")
	w.refused(t, "VALIDATION_FAILED", get("ann", "/api/v1/live?kind=x&country=", nil), "kind", "country")
	for _, id := range []string{"x", "-1", "01", "9999999999999999999999", "1 "} {
		w.refused(t, "VALIDATION_FAILED", get("ann", "/api/v1/live", last(id)), "Last-Event-ID")
	}
	w.live.Close()
	w.refused(t, "UNAVAILABLE", get("ann", "/api/v1/live", nil))
	w.must(t, 200, ask{Method: "HEAD", Who: "ann", Path: "/api/v1/live"})
}

func TestLiveStreamsAreBounded(t *testing.T) {
	l := listen(t, quick, func(a *api.Settings, _ *link.Settings) { a.Streams.All, a.Streams.PerUser = 3, 2 })
	first := l.watch(t, "ann", "/api/v1/live")
	l.watch(t, "ann", "/api/v1/live")
	if w := l.watch(t, "ann", "/api/v1/live"); w.StatusCode != 429 || w.Header.Get("Retry-After") == "" {
		t.Errorf("a third of ann's: %d %v", w.StatusCode, w.Header)
	}
	l.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "GET", Who: "ann", Path: "/api/v1/live"})
	l.watch(t, "bob", "/api/v1/live")
	got := l.refused(t, "UNAVAILABLE", ask{Method: "GET", Who: "pam", Path: "/api/v1/live"})
	if got.Header.Get("Retry-After") == "" {
		t.Errorf("%v", got.Header)
	}
	first.end()
	for l.live.Watching() > 2 {
		<-time.After(time.Millisecond)
	}
	for {
		w := l.watch(t, "pam", "/api/v1/live")
		if w.StatusCode == 200 {
			break
		}
	}
}

// TestLiveComesBack: who comes back gets what was counted meanwhile, once,
// whether the server still knows it or has to look it up.
// A stream says where it begins: who is cut off before the first click gets
// what is counted from then on.
func TestLiveComesBackToTheBeginning(t *testing.T) {
	l := listen(t, quick)
	l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	w := l.watch(t, "ann", "/api/v1/live")
	var id string
	for id == "" && w.lines.Scan() {
		id, _ = strings.CutPrefix(w.lines.Text(), "id: ")
		if id == w.lines.Text() {
			id = ""
		}
	}
	w.end()
	before, after := l.of(t, "autumn", "", click.Human), l.of(t, "autumn", "", click.Human)
	before.Time, after.Time = l.now.Add(-time.Second), l.now.Add(time.Second)
	l.click(t, before, after)
	w = l.watch(t, "ann", "/api/v1/live", "Last-Event-ID", id)
	if e, ok := w.next(); !ok || !strings.Contains(e.data, `"clicked_at":"`+after.Time.Format("2006-01-02T15:04:05")) {
		t.Errorf("%+v", e)
	}
}

func TestLiveComesBack(t *testing.T) {
	l := listen(t, quick)
	l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	at := start
	many := func(n int) (events []click.Event) {
		for range n {
			at = at.Add(time.Second)
			e := l.of(t, "autumn", "", click.Human)
			e.Time = at
			events = append(events, e)
		}
		return events
	}
	w := l.watch(t, "ann", "/api/v1/live")
	l.click(t, many(10)...)
	var seen []string
	read := func(n int) {
		t.Helper()
		for range n {
			e, ok := w.next()
			if !ok {
				t.Fatal("the stream ended")
			}
			seen = append(seen, e.id)
		}
	}
	back := func() {
		w.end()
		w = l.watch(t, "ann", "/api/v1/live", "Last-Event-ID", seen[len(seen)-1])
	}
	read(6)
	back()
	read(4)
	w.end()
	l.click(t, many(5)...)
	back()
	read(5)
	// More than are kept in memory.
	w.end()
	l.click(t, many(1200)...)
	l.live.Show(make([]click.Event, 20_000))
	back()
	read(1200)
	l.click(t, many(3)...)
	read(3)
	once := map[string]bool{}
	for _, id := range seen {
		if once[id] {
			t.Errorf("%s twice", id)
		}
		once[id] = true
	}
	var page struct{ Items []struct{ ID string } }
	l.must(t, 200, ask{Method: "GET", Who: "ann", Path: "/api/v1/clicks?limit=500&to=2030-01-01T00:00:00Z"}).decode(t, &page)
	if len(page.Items) != 500 {
		t.Fatalf("%d in the list", len(page.Items))
	}
	for i, item := range page.Items {
		if id := seen[len(seen)-1-i]; id != item.ID {
			t.Fatalf("event %d from the end is %s, in the list it is %s", i, id, item.ID)
		}
	}
	// More than are sent again.
	old := seen[0]
	l.click(t, many(10_000)...)
	w = l.watch(t, "ann", "/api/v1/live", "Last-Event-ID", old)
	if e, ok := w.next(); !ok || e.name != "missed" || e.data != `{"clicks":null}` {
		t.Errorf("%+v", e)
	}
	w.clicks(t, 10_000)
}

// slowReader reads nothing until told.
type slowReader struct {
	net.Conn
	*bufio.Reader
}

func (l *listening) slow(t *testing.T, room int) slowReader {
	t.Helper()
	conn, err := net.Dial("tcp", l.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(room)
	_, err = io.WriteString(conn, "GET /api/v1/live HTTP/1.1\r\nHost: kurz.example\r\nX-Api-Key: "+l.keys["ann"]+"\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	return slowReader{conn, bufio.NewReader(conn)}
}

func (l *listening) until(t *testing.T, watching int) {
	t.Helper()
	for l.live.Watching() != watching {
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// TestLiveCutsWhoDoesNotRead: a client that takes nothing loses its stream, and
// nobody waits for it.
func TestLiveCutsWhoDoesNotRead(t *testing.T) {
	l := listen(t, quick)
	l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	l.slow(t, 4<<10)
	l.until(t, 1)
	e := l.of(t, "autumn", "", click.Human)
	e.Referrer = "https://example.com/" + strings.Repeat("x", 900)
	events := make([]click.Event, 500)
	for i := range events {
		events[i] = e
	}
	for l.live.Watching() > 0 {
		began := time.Now()
		l.live.Show(events)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("showing clicks took %v", took)
		}
		<-time.After(time.Millisecond)
	}
}

// TestLiveTellsWhatWasMissed: who reads late is told how much came between.
func TestLiveTellsWhatWasMissed(t *testing.T) {
	l := listen(t, quick, func(a *api.Settings, _ *link.Settings) { a.Streams.Stall = time.Minute })
	l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	conn := l.slow(t, 1<<20)
	l.until(t, 1)
	e := l.of(t, "autumn", "", click.Human)
	const all = 100_000 // far more than can be written while they come
	events := make([]click.Event, all)
	for i := range events {
		events[i] = e
		events[i].ID = click.ID(i + 1)
	}
	l.live.Show(events)
	shown, missed := 0, 0
	for shown+missed < all {
		line, err := conn.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		data, ok := strings.CutPrefix(line, "data: ")
		var told struct{ Clicks int }
		switch {
		case !ok:
		case strings.Contains(data, `"id"`):
			shown++
		case json.Unmarshal([]byte(data), &told) == nil:
			missed += told.Clicks
		}
	}
	if shown == 0 || missed == 0 || shown+missed != all {
		t.Errorf("%d shown, %d missed, of %d", shown, missed, all)
	}
}

// TestLiveEndsWithTheRight: a stream ends when its key is revoked, when its
// user is no admin any more, and when the server ends, however slowly heartbeats
// come.
func TestLiveEndsWithTheRight(t *testing.T) {
	var directory *account.Directory
	l := listen(t, quick, func(a *api.Settings, _ *link.Settings) { directory = a.Directory })
	gone := func(w *watching) {
		t.Helper()
		if e, ok := w.next(); ok {
			t.Errorf("went on with %+v", e)
		}
	}
	w := l.watch(t, "ann", "/api/v1/live")
	var keys struct{ Items []struct{ ID string } }
	l.must(t, 200, ask{Method: "GET", Who: "ann", Path: "/api/v1/keys"}).decode(t, &keys)
	l.must(t, 204, ask{Method: "DELETE", Who: "ann", Path: "/api/v1/keys/" + keys.Items[0].ID})
	gone(w)

	w = l.watch(t, "root", "/api/v1/live")
	root, err := directory.User(t.Context(), l.users["root"].ID)
	if err != nil {
		t.Fatal(err)
	}
	root.Role = account.Member
	if err := directory.UpdateUser(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	l.pass(2 * time.Second) // what the directory remembers
	gone(w)

	w = l.watch(t, "bob", "/api/v1/live")
	l.live.Close()
	gone(w)
	if _, err := w.Body.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the answer was cut off: %v", err)
	}
}

// TestLiveOutlastsTheStore: a stream goes on while nobody can say whether it
// still may, and ends where names can't be had, to be resumed.
func TestLiveOutlastsTheStore(t *testing.T) {
	store := &sulking{}
	l := listen(t, quick, func(_ *api.Settings, s *link.Settings) { store.Store, s.Store = s.Store, store })
	l.link(t, "ann", `{"long_url":"https://example.com","custom_alias":"autumn"}`)
	e := l.of(t, "autumn", "", click.Human)
	one, all := l.watch(t, "ann", urls+"/autumn/live"), l.watch(t, "ann", "/api/v1/live")
	store.away.Store(true)
	for range 3 {
		one.lines.Scan()
	}
	l.click(t, e)
	one.clicks(t, 1)
	if e, ok := all.next(); ok {
		t.Errorf("names from nowhere: %+v", e)
	}
}

// sulking is a store that can't be asked.
type sulking struct {
	link.Store
	away atomic.Bool
}

func (s *sulking) Get(ctx context.Context, k link.Key) (link.Link, error) {
	if s.away.Load() {
		return link.Link{}, fault.New(fault.Unavailable, "away")
	}
	return s.Store.Get(ctx, k)
}

func (s *sulking) Keys(ctx context.Context, ids []link.ID) (map[link.ID]link.Key, error) {
	if s.away.Load() {
		return nil, fault.New(fault.Unavailable, "away")
	}
	return s.Store.Keys(ctx, ids)
}
