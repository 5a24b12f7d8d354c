package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/edge"
	"kurz/internal/job"
)

// pipes is a listener on connections in memory, whose deadlines are in the time
// of a bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestBulkSlow has four clients take all places of a user and send too slowly, or
// no more: each is cut off and told so, leaves nothing behind, and its place is
// free again.
func TestBulkSlow(t *testing.T) {
	const row = "https://example.com/0123456789\n"
	clients := map[string]struct {
		first int // bytes at once
		each  int // bytes a second, then
		cut   time.Duration
	}{
		"a byte a second":       {0, 1, 30 * time.Second},
		"nothing":               {0, 0, 30 * time.Second},
		"nothing after a while": {2 << 20, 0, 30 * time.Second},
		"half as fast":          {0, 8 << 10, 60 * time.Second},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.settings.Rates.BulkFree.Quota = 1_000_000
		w.open()
		front, conns := edge.New(edge.Settings{API: w.room}), make(pipes)
		ctx, stop := context.WithCancel(t.Context())
		var group, server sync.WaitGroup
		server.Go(func() { _ = front.Serve(ctx, conns) })
		for name, c := range clients {
			conn, theirs := net.Pipe()
			conns <- theirs
			began := time.Now()
			group.Go(func() { // until it is cut off
				_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: kurz.example\r\nAuthorization: Bearer %s\r\nContent-Type: text/csv\r\nContent-Length: 10000000\r\n\r\nlong_url\n", bulk, w.keys["ann"])
				text := strings.NewReader(strings.Repeat(row, 3<<20/len(row)))
				_, err := io.CopyN(conn, text, int64(c.first))
				for err == nil && c.each > 0 {
					time.Sleep(time.Second)
					_, err = io.CopyN(conn, text, int64(c.each))
				}
			})
			group.Go(func() {
				defer conn.Close()
				got, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				body, err := io.ReadAll(got.Body)
				if took := time.Since(began).Round(time.Second); err != nil || got.StatusCode != 400 || !strings.Contains(string(body), "BAD_REQUEST") || took != c.cut {
					t.Errorf("%s: %d %s after %v, error %v", name, got.StatusCode, body, took, err)
				}
			})
		}
		synctest.Wait()
		w.refused(t, "RATE_LIMIT_EXCEEDED", ask{Method: "POST", Path: bulk, Who: "ann", Header: asCSV(), Body: rowsOf(1)})
		group.Wait()
		stop()
		close(conns)
		server.Wait()
		for range 4 {
			w.upload(t, "ann", rowsOf(1))
		}
		if counts, err := w.jobs.Counts(t.Context(), job.Kind); err != nil || counts[job.Queued] != 4 || len(counts) != 1 {
			t.Errorf("jobs %v, error %v", counts, err)
		}
	})
}
