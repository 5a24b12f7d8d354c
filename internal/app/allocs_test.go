package app_test

import (
	"bytes"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"kurz/internal/app"
)

// TestRedirectAllocatesNothing counts what a redirect of a link in memory
// allocates, from the bytes of the request to those of the answer, with limit,
// journal, metrics and log: nothing.
func TestRedirectAllocatesNothing(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("allocations are not the same under the race detector")
	}
	mended := make(chan struct{}) // never: what brings clicks into the reports is not counted
	r := run(t, func(p *app.Parts) { p.Sink = brokenSink{p.Sink, mended} }, "KURZ_RATE_REDIRECT=1000000/s")
	if status, _, body := r.do(t, "POST", "/api/v1/urls", `{"long_url":"https://example.org/","custom_alias":"one"}`); status != 201 {
		t.Fatal(status, body)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := []byte("GET /one?utm_source=x HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/5.0\r\nReferer: https://news.example/\r\nAccept-Language: de\r\n\r\n")
	answer := make([]byte, 4096)
	ask := func() {
		if _, err := conn.Write(request); err != nil {
			t.Error(err)
		}
		for n := 0; !bytes.HasSuffix(answer[:n], []byte("\r\n\r\n")); {
			more, err := conn.Read(answer[n:])
			if err != nil {
				t.Error(err)
				return
			}
			n += more
		}
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 302 Found\r\n")) {
			t.Errorf("answer %.200q", answer)
		}
	}
	// Just after the start routes are read again, until it is certain that no
	// change was missed.
	n := 1.0
	for began := time.Now(); n != 0 && time.Since(began) < 10*time.Second; {
		n = testing.AllocsPerRun(1000, ask)
	}
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
