package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/client"
)

// TestReadEvents takes the examples of WHATWG HTML, section 9.2.6, and more.
func TestReadEvents(t *testing.T) {
	type list = []client.Event
	for _, c := range []struct {
		name, stream string
		want         list
		retry        time.Duration
	}{
		{"nothing", "", nil, -1},
		{"lines of data", "data: YHOO\ndata: +2\ndata: 10\n\n", list{{"", "", "YHOO\n+2\n10"}}, -1},
		{"ids and comments", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", list{{"1", "", "first event"}, {"", "", "second event"}, {"", "", " third event"}}, -1},
		{"empty data", "data\n\ndata\ndata\n\ndata:", list{{"", "", ""}, {"", "", "\n"}}, -1},
		{"a blank after the colon or none", "data:test\n\ndata: test\n\n", list{{"", "", "test"}, {"", "", "test"}}, -1},
		{"an id stays", "id: 7\ndata: a\n\ndata: b\n\n", list{{"7", "", "a"}, {"7", "", "b"}}, -1},
		{"an id with NUL is none", "id: 7\ndata: a\n\nid: 8\x00\ndata: b\n\n", list{{"7", "", "a"}, {"7", "", "b"}}, -1},
		{"every end of line", "data: a\r\n\r\ndata: b\r\rdata: c\n\n", list{{"", "", "a"}, {"", "", "b"}, {"", "", "c"}}, -1},
		{"a byte order mark", "\ufeffdata: a\n\ndata: \ufeffb\n\n", list{{"", "", "a"}, {"", "", "\ufeffb"}}, -1},
		{"names, and fields of tomorrow", "event: click\nplanet: earth\ndata: a\n\ndata: b\n\n", list{{"", "click", "a"}, {"", "", "b"}}, -1},
		{"no data, no event", "event: click\nid: 3\n\ndata: b\n\n", list{{"3", "", "b"}}, -1},
		{"a torn end", "data: a\n\ndata: b\n", list{{"", "", "a"}}, -1},
		{"retry", "retry: 2000\n\n", nil, 2 * time.Second},
		{"retry that is no number", "retry: 2000\n\nretry: 3s\n\nretry\n\nretry: -1\n\nretry: 99999999999999999999\n\n", nil, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, retry, err := client.ReadEvents(strings.NewReader(c.stream))
			if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, io.EOF) || retry != c.retry {
				t.Errorf("retry %v, error %v (-want +got):\n%s", retry, err, diff)
			}
		})
	}
	if _, _, err := client.ReadEvents(strings.NewReader("data: " + strings.Repeat("x", 2<<20) + "\n\n")); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("an endless line: %v", err)
	}
	if _, _, err := client.ReadEvents(strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 2000))); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("an endless event: %v", err)
	}
}

// FuzzReadEvents reads any stream: what comes out has no line ends but in data,
// and comes again from a stream that is written of it.
func FuzzReadEvents(f *testing.F) {
	for _, s := range []string{"retry: 2000\n\nid: 7\nevent: click\ndata: {}\n\n:\n\n", "data: a\r\rdata\r\n\r\n", "\ufeffdata:x\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		events, _, err := client.ReadEvents(strings.NewReader(s))
		if err == nil {
			t.Fatal("no end")
		}
		var again strings.Builder
		for _, e := range events {
			if strings.ContainsAny(e.ID+e.Name, "\r\n") || strings.Contains(e.Data, "\r") {
				t.Errorf("%+v", e)
			}
			fmt.Fprintf(&again, "id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Name, strings.ReplaceAll(e.Data, "\n", "\ndata: "))
		}
		back, _, _ := client.ReadEvents(strings.NewReader(again.String()))
		if diff := cmp.Diff(events, back); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	})
}

func clicksOf(ids ...string) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "id: %s\nevent: click\ndata: {\"id\":%q,\"short_code\":\"abc\",\"clicked_at\":\"2026-11-22T10:00:00Z\",\"country\":null}\n\n", id, id)
	}
	return b.String()
}

func streamed(body string) answer {
	return answer{status: 200, header: http.Header{"Content-Type": {"text/event-stream"}}, body: body}
}

// A stream says where it begins, so that who is cut off before the first click
// misses none.
func TestLiveComesBackToTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{
			streamed("retry: 3000\nid: 41\n\n:\n\nid: 77\nevent: cli"),
			streamed(clicksOf("42")),
			refused(401, "UNAUTHORIZED", ""),
		}}
		for range s.client(t).AllLive(t.Context(), client.Watch{}) {
		}
		var last []string
		for _, r := range s.asked {
			last = append(last, r.Header.Get("Last-Event-ID"))
		}
		if diff := cmp.Diff([]string{"", "41", "42"}, last); diff != "" {
			t.Errorf("Last-Event-ID (-want +got):\n%s", diff)
		}
	})
}

// TestLiveComesBack: whatever the connection does, each click comes once.
func TestLiveComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{
			refused(503, "UNAVAILABLE", "1"),
			streamed("retry: 3000\n\n" + clicksOf("1", "2") + ":\n\n" + "id: 9\nevent: cli"),
			{err: errors.New("connection refused")},
			refused(503, "UNAVAILABLE", "15"),
			streamed(clicksOf("2", "3") + "event: missed\ndata: {\"clicks\":17}\n\nevent: missed\ndata: {\"clicks\":null}\n\nevent: tomorrow\ndata: x\n\n" + clicksOf("4")),
			{status: 502, body: "<html>"},
			refused(401, "UNAUTHORIZED", ""),
		}}
		began := time.Now()
		var got []string
		var failed error
		for e, err := range s.client(t, client.WithKey("kurz_k")).On("go.example").Live(t.Context(), "abc", client.Watch{Kind: "all"}) {
			switch {
			case err != nil:
				failed = err
			case e.Click != nil:
				got = append(got, e.Click.ID)
			default:
				got = append(got, fmt.Sprint("missed ", e.Missed))
			}
		}
		if !client.Is(failed, client.CodeUnauthorized) {
			t.Errorf("ended with %v", failed)
		}
		if diff := cmp.Diff([]string{"1", "2", "3", "missed 17", "missed -1", "4"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		var last []string
		for _, r := range s.asked {
			last = append(last, r.Header.Get("Last-Event-ID"))
			if r.URL.String() != "https://go.example/api/v1/urls/abc/live?domain=go.example&kind=all" || r.Header.Get("Accept") != "text/event-stream" || r.Header.Get("Authorization") != "Bearer kurz_k" {
				t.Errorf("%s %v", r.URL, r.Header)
			}
		}
		if diff := cmp.Diff([]string{"", "", "2", "2", "2", "4", "4"}, last); diff != "" {
			t.Errorf("Last-Event-ID (-want +got):\n%s", diff)
		}
		if took := time.Since(began); took < 15*time.Second || took > 5*time.Minute {
			t.Errorf("came back after %v in all", took)
		}
	})
}

func TestLiveEnds(t *testing.T) {
	one := func(c *client.Client, ctx context.Context) (events int, failed error) {
		for _, err := range c.AllLive(ctx, client.Watch{After: "5"}) {
			if err != nil {
				failed = err
				continue
			}
			if events++; events == 2 {
				break
			}
		}
		return events, failed
	}
	away := answer{err: errors.New("no such host")}
	for _, c := range []struct {
		name    string
		answers []answer
		events  int
		want    string
	}{
		{"a reader that has enough", []answer{streamed(clicksOf("1", "2", "3"))}, 2, ""},
		{"a server that never was", []answer{away, away, away, away}, 0, "no such host"},
		{"another's link", []answer{refused(403, "FORBIDDEN", "")}, 0, "FORBIDDEN"},
		{"a click that is none", []answer{streamed("event: click\ndata: {\n\n")}, 0, "can't be read"},
		{"a gap that is none", []answer{streamed("event: missed\ndata: 7x\n\n")}, 0, "can't be read"},
		{"an event without an end", []answer{streamed("data: " + strings.Repeat("x", 2<<20))}, 0, "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: c.answers}
				events, err := one(s.client(t), t.Context())
				if events != c.events || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("%d events, error %v; want %d and %q", events, err, c.events, c.want)
				}
				if len(s.asked) != len(c.answers) || s.asked[0].Header.Get("Last-Event-ID") != "5" {
					t.Errorf("asked %d times, the first after %q", len(s.asked), s.asked[0].Header.Get("Last-Event-ID"))
				}
			})
		})
	}
	t.Run("a context that ends between attempts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: []answer{streamed("retry: 20000\n\n")}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if events, err := one(s.client(t), ctx); events != 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d events, error %v", events, err)
			}
		})
	})
}

// mute answers with a stream on which nothing ever comes.
type mute struct{ asked int }

func (m *mute) RoundTrip(r *http.Request) (*http.Response, error) {
	m.asked++
	read, write := io.Pipe()
	context.AfterFunc(r.Context(), func() { write.CloseWithError(r.Context().Err()) })
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: read, Request: r}, nil
}

// TestLiveLeavesADeadConnection: where not even heartbeats come, there is
// nobody.
func TestLiveLeavesADeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mute{}
		c, err := client.New("https://go.example", client.WithHTTPClient(&http.Client{Transport: m, Timeout: time.Second}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for range c.AllLive(ctx, client.Watch{}) {
		}
		if m.asked < 2 {
			t.Errorf("asked %d times in two minutes of silence", m.asked)
		}
	})
}

func TestClicks(t *testing.T) {
	s := &script{answers: []answer{
		{status: 200, body: `{"items":[{"id":"2","clicked_at":"2026-11-22T10:00:00Z","kind":"human","city":null}],"next_cursor":"x"}`},
		{status: 200, body: `{"items":[{"id":"1","clicked_at":"2026-11-22T09:00:00Z","kind":"bot","country":"DE"}],"next_cursor":null}`},
	}}
	var got []client.Click
	for c, err := range s.client(t).AllClicks(t.Context(), client.Stats{Kind: "all", Interval: "week", Compare: true, Top: 3, Filters: map[string][]string{"country": {"!FR"}}}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, *c)
	}
	want := []client.Click{
		{ID: "2", ClickedAt: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Kind: "human"},
		{ID: "1", ClickedAt: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Kind: "bot", Country: "DE"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("clicks (-want +got):\n%s", diff)
	}
	if q := s.asked[1].URL.RawQuery; q != "country=%21FR&cursor=x&kind=all" {
		t.Errorf("asked %q", q)
	}
}

func TestComparison(t *testing.T) {
	s := &script{answers: []answer{{status: 200, body: `{"total_clicks":5,"previous":{"total_clicks":4,"series":[{"start":"2026-11-22T10:00:00Z","clicks":4,"unique_visitors":1}]},"change":{"total_clicks":0.25,"bot_clicks":null}}`}}}
	r, err := s.client(t).On("go.example").Stats(t.Context(), "abc", client.Stats{Compare: true})
	if err != nil {
		t.Fatal(err)
	}
	if q := s.asked[0].URL.RawQuery; q != "compare=previous&domain=go.example" {
		t.Errorf("asked %q", q)
	}
	if r.Previous.TotalClicks != 4 || len(r.Previous.Series) != 1 || *r.Change.TotalClicks != 0.25 || r.Change.BotClicks != nil {
		t.Errorf("%+v %+v", r.Previous, r.Change)
	}
}
