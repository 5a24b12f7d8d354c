package link_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
)

// clock is a clock that tests move beside the real one.
type clock struct{ ahead time.Duration }

var snowflakeStart = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// now counts from snowflakeStart, since synctest's clock begins in 2000.
func (c *clock) now() time.Time {
	return time.Now().Add(snowflakeStart.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) + c.ahead)
}

func snowflake(nodes link.Nodes, holder string, fixed int, c *clock) *link.SnowflakeCodes {
	return link.NewSnowflakeCodes(link.SnowflakeSettings{Nodes: nodes, Holder: holder, Fixed: fixed, Now: c.now})
}

func TestSnowflakeKnownAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codes := snowflake(nil, "", 5, &clock{})
		ms := uint64(snowflakeStart.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).Milliseconds())
		for i, length := range []int{7, 10, 14} {
			got := next(t, codes, link.Draw{Length: length})
			if want := written(ms<<22|5<<12|uint64(i), max(length, 10)); string(got) != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}

// written is base 62 as one writes it by hand.
func written(n uint64, length int) (s string) {
	for n > 0 || len(s) < length {
		s = string("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[n%62]) + s
		n /= 62
	}
	return s
}

// More codes than a millisecond has are waited for.
func TestSnowflakeWaitsForTheNextMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codes, began := snowflake(nil, "", 0, &clock{}), time.Now()
		seen := map[link.Code]bool{}
		for range 3*4096 + 1 {
			seen[next(t, codes, link.Draw{Length: 7})] = true
		}
		if took := time.Since(began); len(seen) != 3*4096+1 || took != 3*time.Millisecond {
			t.Errorf("%d codes in %v", len(seen), took)
		}
	})
}

func TestSnowflakeAndAClockThatGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{}
		codes := snowflake(nil, "", 0, c)
		first := next(t, codes, link.Draw{Length: 7})
		c.ahead = -500 * time.Millisecond
		began := time.Now()
		second := next(t, codes, link.Draw{Length: 7})
		if took := time.Since(began); second == first || took < 500*time.Millisecond {
			t.Errorf("%q, then %q after %v", first, second, took)
		}
		c.ahead -= time.Minute
		if code, err := codes.Next(t.Context(), link.Draw{Length: 7}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a minute back: %q, %v", code, err)
		}
		c.ahead = 0
		next(t, codes, link.Draw{Length: 7})
		c.ahead = -20 * 365 * 24 * time.Hour
		if code, err := codes.Next(t.Context(), link.Draw{Length: 7}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a clock that was never set: %q, %v", code, err)
		}
		// Who waits may leave.
		c.ahead = -600 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := codes.Next(ctx, link.Draw{Length: 7}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestSnowflakeNodesNeverMeet has processes with clocks of their own, that jump,
// and that begin anew: no code is given twice.
func TestSnowflakeNodesNeverMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewCodes(nil)
		seen := map[link.Code]string{}
		starts := 0
		start := func(c *clock) (*link.SnowflakeCodes, string) {
			starts++
			name := fmt.Sprint("process", starts)
			return snowflake(store, name, -1, c), name
		}
		clocks := [4]clock{}
		var nodes [4]*link.SnowflakeCodes
		var names [4]string
		for round := range 2000 {
			i := round % 4
			if nodes[i] == nil || round%37 == 0 {
				nodes[i], names[i] = start(&clocks[i]) // the one before was killed
			}
			if round%53 == 0 {
				clocks[i].ahead = time.Duration(round%7-3) * 5 * time.Second
			}
			code, err := nodes[i].Next(t.Context(), link.Draw{Length: 7})
			if fault.Is(err, fault.Unavailable) {
				nodes[i] = nil // its clock went back; it is started anew
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if other := seen[code]; other != "" {
				t.Fatalf("%q is of %s and %s", code, other, names[i])
			}
			seen[code] = names[i]
			time.Sleep(time.Duration(round%5) * 300 * time.Millisecond)
		}
		if len(seen) < 1500 {
			t.Errorf("only %d codes", len(seen))
		}
	})
}

// A number that can't be renewed is used until its lease ends, and no longer.
func TestSnowflakeWithoutItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{Codes: memory.NewCodes(nil)}
		codes := snowflake(store, "a", -1, &clock{})
		next(t, codes, link.Draw{Length: 7})
		store.fail(errDown)
		time.Sleep(9 * time.Second)
		next(t, codes, link.Draw{Length: 7})
		time.Sleep(2 * time.Second)
		if code, err := codes.Next(t.Context(), link.Draw{Length: 7}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%q, %v", code, err)
		}
		store.fail(nil)
		next(t, codes, link.Draw{Length: 7})
	})
}
