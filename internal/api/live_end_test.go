package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/click"
	"kurz/internal/fault"
	"kurz/internal/link"
)

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
		l.live.Show(events)
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
