package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"kurz/internal/telemetry"
)

func TestProfiles(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := telemetry.ListenProfiles(ctx, ":0")
	if err != nil {
		t.Fatal(err)
	}
	if addr := l.Addr().(*net.TCPAddr); !addr.IP.IsLoopback() {
		t.Errorf("listens on %s", addr)
	}
	ended := make(chan error, 1)
	go func() { ended <- telemetry.ServeProfiles(ctx, l) }()
	url := "http://" + l.Addr().String()
	for _, c := range []struct {
		path   string
		status int
		begins string
	}{
		{"/debug/pprof/", 200, "<html>"},
		{"/debug/pprof/goroutine?debug=1", 200, "goroutine profile: total "},
		{"/debug/pprof/heap", 200, "\x1f\x8b"},
		{"/debug/pprof/symbol", 200, "num_symbols: 1"},
		{"/", 404, ""},
		{"/metrics", 404, ""},
	} {
		status, body := fetch(ctx, t, url+c.path)
		if status != c.status || !bytes.HasPrefix(body, []byte(c.begins)) {
			t.Errorf("%s: %d, %.40q", c.path, status, body)
		}
	}
	// One that would take an hour does not hold up the end, and ends with it:
	// whole or cut off, whichever of the two comes first.
	response, err := http.Get(url + "/debug/pprof/trace?seconds=3600")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
}

func fetch(ctx context.Context, t *testing.T, url string) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

func TestProfilesAddress(t *testing.T) {
	for _, addr := range []string{"6060", "127.0.0.1:99999", "192.0.2.1:0"} {
		if l, err := telemetry.ListenProfiles(t.Context(), addr); err == nil {
			l.Close()
			t.Errorf("listens on %s", addr)
		}
	}
}
