package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// TestRedirects makes sure that contestants do what they are measured for: an
// answer and a line of the log for each request.
func TestRedirects(t *testing.T) {
	for name, start := range map[string]func(*testing.T, contest) *http.Client{
		"nethttp": func(t *testing.T, c contest) *http.Client {
			server := httptest.NewServer(redirects(c))
			t.Cleanup(server.Close)
			return clientOf(func() (net.Conn, error) { return net.Dial("tcp", server.Listener.Addr().String()) })
		},
		"fasthttp": func(t *testing.T, c contest) *http.Client {
			l := fasthttputil.NewInmemoryListener()
			server := &fasthttp.Server{Handler: fastRedirects(c)}
			go server.Serve(l)
			t.Cleanup(func() { l.Close() })
			return clientOf(l.Dial)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "links")
			if err := os.WriteFile(file, []byte("abc https://example.com/a?b=c\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			links, err := readLinks(file)
			if err != nil {
				t.Fatal(err)
			}
			log, err := openLog(filepath.Join(dir, "log"))
			if err != nil {
				t.Fatal(err)
			}
			client := start(t, contest{links: links, log: log})
			for path, want := range map[string]int{"/abc": 302, "/abd": 404} {
				response, err := client.Get("http://contest" + path)
				if err != nil {
					t.Fatal(err)
				}
				response.Body.Close()
				if to := response.Header.Get("Location"); response.StatusCode != want || want == 302 && to != "https://example.com/a?b=c" {
					t.Errorf("%s: %d to %q", path, response.StatusCode, to)
				}
			}
			client.CloseIdleConnections()
			if err := log.close(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(log.file.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{
				`(?m)^\S+ - - \[\d\d/\w+/\d+:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /abc HTTP/1.1" 302 0 "-" "Go-http-client/1.1"$`,
				`(?m)^\S+ - - \[.*\] "GET /abd HTTP/1.1" 404 0 "-" "Go-http-client/1.1"$`,
			} {
				if !regexp.MustCompile(line).Match(text) {
					t.Errorf("the log has no line %s: %s", line, text)
				}
			}
		})
	}
}

func clientOf(dial func() (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func TestReadLinks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "links")
	if err := os.WriteFile(file, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if links, err := readLinks(file); err == nil {
		t.Errorf("read %v", links)
	}
}
