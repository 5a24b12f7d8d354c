//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kurz/test/wire"
)

const clients = 64

// creates measures durable creates by 64 clients, each waiting for its 201.
// Clients and server share all cores.
func creates(ctx context.Context, l *lab) error {
	s, err := l.start(ctx, filepath.Join(l.dir, "creates"), false)
	if err != nil {
		return err
	}
	defer l.stop()
	var rate, cost sample
	for range l.rounds {
		before, err := cpu(s.Pid())
		if err != nil {
			return err
		}
		began := time.Now()
		made, err := createFor(ctx, s.Addr, func(int64) bool { return time.Since(began) < l.length }, nil)
		if err != nil {
			return err
		}
		took := time.Since(began)
		after, err := cpu(s.Pid())
		if err != nil {
			return err
		}
		rate = append(rate, float64(made)/took.Seconds())
		cost = append(cost, micros(after-before)/float64(made))
		l.say("   %.0f creates/s, %.1f µs of server CPU each", rate[len(rate)-1], cost[len(cost)-1])
	}
	l.values["creates"] = fmt.Sprintf("%s; %s of server CPU each", rate.format("%.0f", "/s"), cost.format("%.0f", " µs"))
	l.note("Creates: the load client shares the server's cores. Each 201 was sent after an fsync that several creates share.")
	return nil
}

// seed makes the links for the stages to come.
func seed(ctx context.Context, l *lab) error {
	s, err := l.start(ctx, l.data, false)
	if err != nil {
		return err
	}
	defer l.stop()
	var mu sync.Mutex
	l.codes = make([]string, 0, l.links)
	_, err = createFor(ctx, s.Addr, func(n int64) bool { return n <= int64(l.links) }, func(code string) {
		mu.Lock()
		l.codes = append(l.codes, code)
		mu.Unlock()
	})
	l.say("   %d links", len(l.codes))
	return err
}

// createFor creates links over 64 connections as long as more says so of the
// number of the next, and says how many it made.
func createFor(ctx context.Context, addr string, more func(n int64) bool, each func(code string)) (int64, error) {
	var next, made atomic.Int64
	err := parallel(clients, func(int) error {
		conn, err := wire.Dial(ctx, addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		var request []byte
		for ctx.Err() == nil {
			n := next.Add(1)
			if !more(n) {
				return nil
			}
			body := fmt.Appendf(nil, `{"long_url":"https://example.com/articles/2026/%d/a-title-of-ordinary-length?utm_source=news"}`, n)
			request = wire.AppendPost(request[:0], addr, "/api/v1/urls", "", body)
			r, err := conn.Do(request)
			if err != nil {
				return err
			}
			if r.Status != 201 {
				return fmt.Errorf("create: %d %s", r.Status, r.Body)
			}
			made.Add(1)
			if each != nil {
				var link struct {
					Code string `json:"short_code"`
				}
				if err := json.Unmarshal(r.Body, &link); err != nil {
					return err
				}
				each(link.Code)
			}
		}
		return ctx.Err()
	})
	return made.Load(), err
}

// parallel calls fn n times at once, waits for all, and gives the first error.
func parallel(n int, fn func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- fn(i) }()
	}
	var first error
	for range n {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
