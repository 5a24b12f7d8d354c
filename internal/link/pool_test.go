package link_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/link"
	"kurz/internal/memory"
)

func pool(store link.Pool, first int, warn func(string, ...any)) *link.PoolCodes {
	return link.NewPoolCodes(link.PoolSettings{
		Pool: store, Length: 7, First: first, Most: link.PoolTaken, Rand: rand.Reader, Now: time.Now, Warn: warn,
	})
}

// TestPoolIsKeptInSupply runs a node as a server does: codes are there before
// they are wanted, and none is given twice.
func TestPoolIsKeptInSupply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Codes: memory.NewCodes(memory.NewLinks())}
		p := pool(store, link.PoolTaken, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if s := p.Stats(); s.Left != link.PoolMade-link.PoolTaken || s.Batch != link.PoolTaken || s.Made != link.PoolMade {
			t.Errorf("at the start %+v", s)
		}
		before := store.calls
		seen := map[link.Code]bool{}
		for range link.PoolTaken / 2 {
			seen[next(t, p, link.Draw{Length: 7})] = true
		}
		if store.calls != before {
			t.Errorf("%d calls of the store for codes of the batch", store.calls-before)
		}
		for i := range 30_000 {
			seen[next(t, p, link.Draw{Length: 7})] = true
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		s := p.Stats()
		if len(seen) != link.PoolTaken/2+30_000 || s.Missed != 0 || s.Made < 30_000 || s.Left < link.PoolLow {
			t.Errorf("%d codes, %+v", len(seen), s)
		}
		if code := next(t, p, link.Draw{Length: 9}); len(code) != 9 {
			t.Errorf("of another length: %q", code)
		}
		cancel()
		running.Wait()
	})
}

// TestPoolLivesOnItsBatch takes the store away: the batch is used, then codes
// are drawn, and once the store is back there is a batch again.
func TestPoolLivesOnItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Codes: memory.NewCodes(memory.NewLinks())}
		warnings := 0
		p := pool(store, link.PoolTaken, func(string, ...any) { warnings++ })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = p.Run(ctx) })
		synctest.Wait()
		store.fail(errDown)
		for range link.PoolTaken + 10 {
			if code := next(t, p, link.Draw{Length: 7}); len(code) != 7 {
				t.Errorf("%q", code)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := p.Stats(); s.Missed != 10 || s.Batch != 0 || warnings != 1 {
			t.Errorf("without the store %+v, %d warnings", s, warnings)
		}
		store.fail(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := p.Stats(); s.Missed != 10 || s.Batch != link.PoolTaken {
			t.Errorf("with it again %+v", s)
		}
		cancel()
		running.Wait()
	})
}

// TestPoolOfACommand has nobody who makes codes: it takes one of those that are
// there, and draws where there are none.
func TestPoolOfACommand(t *testing.T) {
	store := &brokenStore{Codes: memory.NewCodes(memory.NewLinks())}
	codes := []link.Code{"aaaaaaa", "bbbbbbb", "ccccccc", "ddddddd"}
	if _, err := store.Codes.Add(t.Context(), 7, codes); err != nil {
		t.Fatal(err)
	}
	p := pool(store, 1, nil)
	for i := range 2 {
		if code := next(t, p, link.Draw{Length: 7}); code != codes[i] {
			t.Errorf("%q, want %q", code, codes[i])
		}
	}
	if left, err := store.Left(t.Context(), 7); err != nil || left != 1 {
		t.Errorf("%d left after 1 and 2 were taken, %v", left, err)
	}
	for range 20 {
		next(t, p, link.Draw{Length: 7})
	}
	if s := p.Stats(); s.Missed != 18 || store.calls > 5 {
		t.Errorf("%+v, %d calls", s, store.calls)
	}
}

// TestPoolOfATightSpace: codes that links have are not made, so that no create
// needs a second draw.
func TestPoolOfATightSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		links := memory.NewLinks()
		var warned []string
		full := &fullPool{Codes: memory.NewCodes(links), every: 20}
		p := pool(full, link.PoolTaken, func(msg string, args ...any) { warned = append(warned, fmt.Sprint(msg, args)) })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = p.Run(ctx) })
		synctest.Wait()
		if s := p.Stats(); s.Made != 10*link.PoolMade/20 {
			t.Errorf("%+v", s)
		}
		if len(warned) == 0 {
			t.Error("nobody was told that codes are running out")
		}
		cancel()
		running.Wait()
	})
}

// fullPool takes one of so many codes: links have the others.
type fullPool struct {
	*memory.Codes
	every int
}

func (p *fullPool) Add(ctx context.Context, length int, codes []link.Code) (int, error) {
	return p.Codes.Add(ctx, length, codes[:len(codes)/p.every])
}
