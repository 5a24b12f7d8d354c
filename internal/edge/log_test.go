package edge_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/internal/edge"
)

// seen is an Observer that keeps what it is told.
type seen struct {
	mu   sync.Mutex
	told []string
	note chan struct{}
}

func (s *seen) Request(route, method string, status int, took time.Duration) {
	s.mu.Lock()
	s.told = append(s.told, fmt.Sprintf("%s %s %d %v", route, method, status, took >= 0))
	s.mu.Unlock()
	s.note <- struct{}{}
}

// lines is a log's writer.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestObserverAndLog(t *testing.T) {
	s, o, log := settings(t), &seen{note: make(chan struct{}, 100)}, &lines{}
	s.Observer, s.Logger, s.LogRedirects = o, slog.New(slog.NewJSONHandler(log, nil)), 10
	s.API = edge.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		edge.SetRoute(r.Context(), "/api/v1/urls/{code}")
		return fmt.Errorf("read tcp 192.0.2.77:4711->192.0.2.78:80: %w", errors.New("deep cause"))
	})
	base := "http://" + serve(t, s)
	asked := 0
	do := func(method, path string, header ...string) {
		ask(t, method, base+path, append(header, "User-Agent", "agent-x", "X-Forwarded-For", "192.0.2.9", "Authorization", "Bearer kurz_secret")...)
		<-o.note
		asked++
	}
	for range 11 {
		do("GET", "/found?token=hush")
	}
	for range 9 {
		do("GET", "/nothing?token=hush")
	}
	do("GET", "/down")
	do("BREW", "/api/v1/urls/abc", "X-Request-Id", "the-one")
	do("GET", "/setup?token=hush")

	got := strings.Join(o.told[19:], ", ")
	want := "redirect GET 404 true, redirect GET 503 true, /api/v1/urls/{code} OTHER 500 true, web GET 200 true"
	if got != want {
		t.Errorf("observed %s\nwant %s", got, want)
	}
	text := log.String()
	for _, status := range []string{`"status":302`, `"status":404`} {
		if n := strings.Count(text, status); n != 1 {
			t.Errorf("%d of 10 requests with %s logged, want 1", n, status)
		}
	}
	for _, want := range []string{
		`"status":404`, `"status":503`, `"status":500`, `"status":200`, `"code":"URL_NOT_FOUND"`,
		`deep cause`, `"request_id":"the-one"`, `secret cause`, `[address]`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("log lacks %s", want)
		}
	}
	for _, secret := range []string{"hush", "agent-x", "192.0.2", "127.0.0.1", "kurz_secret", "BREW"} {
		if strings.Contains(text, secret) {
			t.Errorf("log has %s:\n%s", secret, text)
		}
	}
	if n := strings.Count(text, "deep cause"); n != 1 {
		t.Errorf("cause logged %d times", n)
	}
}

func TestPanics(t *testing.T) {
	s, log := settings(t), &lines{}
	s.Logger = slog.New(slog.NewTextHandler(log, nil))
	s.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/early":
			w.Header().Set("Content-Length", "1000")
			panic("secret cause")
		case "/api/late":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic("secret cause")
		case "/api/error":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			edge.WriteError(w, r, errors.New("secret cause"))
		case "/api/abort":
			panic(http.ErrAbortHandler)
		}
	})
	base := "http://" + serve(t, s)
	resp, body := ask(t, "GET", base+"/api/early")
	if e := errorOf(t, resp, body); e.Code != "INTERNAL" || e.Message != "Internal error" {
		t.Errorf("got %+v", e)
	}
	for _, path := range []string{"/api/late", "/api/error", "/api/abort"} {
		resp, err := http.Get(base + path)
		if err != nil {
			continue // nothing came, which is right for abort
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			t.Errorf("%s: the client takes %q for the whole", path, body)
		}
	}
	text := log.String()
	if n := strings.Count(text, "panic while answering"); n != 2 {
		t.Errorf("%d panics logged, want 2:\n%s", n, text)
	}
	if !strings.Contains(text, "goroutine") || strings.Contains(text, "127.0.0.1") {
		t.Errorf("log: %s", text)
	}
}

// TestServerLog makes net/http complain.
func TestServerLog(t *testing.T) {
	s, log := settings(t), &lines{}
	s.Logger = logger(log)
	s.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		w.WriteHeader(http.StatusOK)
	})
	ask(t, "GET", "http://"+serve(t, s)+"/api")
	if got := log.String(); !strings.Contains(got, "superfluous") || !strings.Contains(got, "level=WARN") {
		t.Errorf("log %s", got)
	}
}
