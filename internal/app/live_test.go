package app_test

import (
	"bufio"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kurz/internal/account"
)

// TestLiveEndsWithTheServer shows that a click that is followed is on the
// stream, and that the end of the server waits for no stream: the streams end,
// in order, before the grace period does.
func TestLiveEndsWithTheServer(t *testing.T) {
	r := run(t, nil, "KURZ_SHUTDOWN_GRACE=1h")
	directory := account.NewDirectory(r.accounts, time.Now, rand.Reader)
	user, err := directory.AddUser(t.Context(), "ann@example.com", account.Admin, account.Free)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := directory.CreateKey(t.Context(), account.NewKey{User: user.ID, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := r.do(t, "POST", "/api/v1/urls", `{"long_url":"https://example.org/","custom_alias":"one"}`); status != 201 {
		t.Fatalf("create: %d %s", status, body)
	}
	var streams []*bufio.Scanner
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/api/v1/live", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", secret.Reveal())
		resp, err := new(http.Client).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			body, _ := io.ReadAll(resp.Body)
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		streams = append(streams, bufio.NewScanner(resp.Body))
	}
	r.get(t, "/one")
	for _, s := range streams {
		for s.Scan() && !strings.HasPrefix(s.Text(), "data: ") {
		}
		if !strings.Contains(s.Text(), `"short_code":"one"`) {
			t.Errorf("%q, %v", s.Text(), s.Err())
		}
	}
	if _, _, body := r.get(t, "/metrics"); !strings.Contains(body, "\nkurz_live_streams 3\n") {
		t.Errorf("no gauge: %s", body)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for _, s := range streams {
		for s.Scan() {
		}
		if s.Err() != nil {
			t.Errorf("cut off: %v", s.Err())
		}
	}
}
