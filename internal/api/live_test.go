package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"kurz/internal/api"
	"kurz/internal/click"
	"kurz/internal/edge"
	"kurz/internal/link"
)

func keyOf(code, domain string) link.Key {
	return link.Key{Code: link.Code(code), Domain: link.Domain(domain)}
}

// quick makes streams that look often and tire soon.
func quick(a *api.Settings, _ *link.Settings) {
	a.Streams = api.Streams{Heartbeat: 20 * time.Millisecond, Check: 10 * time.Millisecond, Stall: 600 * time.Millisecond}
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
const deadline = 300 * time.Millisecond

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
			timer := time.NewTimer(3 * deadline)
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
