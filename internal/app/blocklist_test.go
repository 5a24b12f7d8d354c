package app_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/app"
)

func TestParseBlocklist(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
		err        string
	}{
		{"empty", "", nil, ""},
		{"domains", "evil.example\r\n\n# comment\n  bad.example # why\n", []string{"evil.example", "bad.example"}, ""},
		{"hosts file", "0.0.0.0 evil.example www.evil.example\n::1 bad.example", []string{"evil.example", "www.evil.example", "bad.example"}, ""},
		{"byte order mark", "\ufeffevil.example", []string{"evil.example"}, ""},
		{"two on a line", "\nevil.example bad.example", nil, "line 2: write one domain a line"},
		{"line without end", strings.Repeat("x", 70_000), nil, "bufio.Scanner: token too long"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := app.ParseBlocklist([]byte(tt.text))
			message := ""
			if err != nil {
				message = err.Error()
			}
			if message != tt.err {
				t.Errorf("error %q, want %q", message, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" && tt.err == "" {
				t.Errorf("domains (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseBlocklist(f *testing.F) {
	for _, seed := range []string{"", "a.example\n", "0.0.0.0 a b\n", "# x", "\ufeffa", "a b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		domains, err := app.ParseBlocklist(data)
		if err != nil {
			return
		}
		for _, d := range domains {
			if d == "" || strings.ContainsAny(d, "# \n\t\r") {
				t.Errorf("domain %q of %q", d, data)
			}
		}
	})
}

func TestBlocklistFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	first := time.Unix(1_700_000_000, 0)
	write("evil.example", first)
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b, err := app.OpenBlocklist(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Watch(ctx, time.Second) }()
		tick := func() { time.Sleep(1100 * time.Millisecond); synctest.Wait() }
		if !b.Blocks("www.evil.example") || b.Blocks("bad.example") {
			t.Error("the first list is not in force")
		}
		write("bad.example", first.Add(time.Second))
		tick()
		if b.Blocks("www.evil.example") || !b.Blocks("bad.example") {
			t.Error("the second list is not in force")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		tick()
		tick()
		if !b.Blocks("bad.example") {
			t.Error("a missing file unblocks")
		}
		write("two words", first.Add(2*time.Second))
		tick()
		if !b.Blocks("bad.example") {
			t.Error("a malformed file unblocks")
		}
		write("third.example", first.Add(3*time.Second))
		tick()
		if !b.Blocks("third.example") {
			t.Error("the mended list is not in force")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "the old one stays"); n != 1 {
			t.Errorf("told %d times of one trouble:\n%s", n, log.String())
		}
	})
}

func TestNoBlocklist(t *testing.T) {
	b, err := app.OpenBlocklist("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if b.Blocks("evil.example") {
		t.Error("nothing blocks something")
	}
	if err := b.Watch(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	if _, err := app.OpenBlocklist(filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a list that is not there is taken for an empty one")
	}
}
