package click_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"kurz/internal/click"
)

// countedHasher changes its key each hour and counts what it hashes.
type countedHasher struct{ calls int }

func (h *countedHasher) Hash(a netip.Addr, userAgent string, at time.Time) uint64 {
	h.calls++
	last := a.As16()[15]
	return uint64(last)<<40 + uint64(len(userAgent))<<32 + h.Epoch(at)
}

func (h *countedHasher) Epoch(at time.Time) uint64 { return uint64(at.Unix() / 3600) }

// TestKnown asks on one connection: whoever is the same as before is not hashed
// again, and everybody gets the hash that they would get elsewhere.
func TestKnown(t *testing.T) {
	one, two := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	long := strings.Repeat("x", 300)
	hasher, log := &countedHasher{}, newFakeLog()
	r := click.NewRecorder(click.RecorderSettings{Log: log, Locator: fakeLocator{}, Hasher: hasher})
	known := &click.Known{}
	for i, tt := range []struct {
		name   string
		client netip.Addr
		agent  string
		after  time.Duration
		hashed bool
	}{
		{"the first", one, "a", 0, true},
		{"the same", one, "a", time.Minute, false},
		{"another address", two, "a", time.Minute, true},
		{"the first again", one, "a", time.Minute, true},
		{"another agent of that length", one, "b", time.Minute, true},
		{"no agent", one, "", time.Minute, true},
		{"no agent again", one, "", time.Minute, false},
		{"an agent too long to remember", one, long, time.Minute, true},
		{"and again", one, long, time.Minute, true},
		{"who was known before", one, "", time.Minute, false},
		{"with the next key", one, "", time.Hour, true},
		{"the same", one, "", time.Hour, false},
		{"a visit of before", one, "", 0, true},
	} {
		v := visit()
		v.Known, v.Client, v.UserAgent, v.Time = known, tt.client, tt.agent, at.Truncate(time.Hour).Add(tt.after)
		before := hasher.calls
		if err := r.Record(v); err != nil {
			t.Fatal(err)
		}
		if hashed := hasher.calls > before; hashed != tt.hashed {
			t.Errorf("%s: hashed %v, want %v", tt.name, hashed, tt.hashed)
		}
		got, err := click.ParseNoted(log.records[i].Data)
		if err != nil {
			t.Fatal(err)
		}
		if want := (&countedHasher{}).Hash(tt.client, tt.agent, v.Time); got.Visitor != want {
			t.Errorf("%s: %x, want %x", tt.name, got.Visitor, want)
		}
	}
}
