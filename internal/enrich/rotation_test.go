package enrich_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/enrich"
)

// TestRotationInTraffic has visitors click all through three days, over every
// change of keys and some restarts in the middle: each has one hash a day, and
// another each day. A click that was under way at midnight has that of its day.
func TestRotationInTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		var current atomic.Pointer[enrich.Hasher]
		open := func() {
			h, err := enrich.OpenHasher(path, enrich.Day, "", time.Now, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if old := current.Swap(h); old != nil {
				old.Close()
			}
		}
		open()
		time.Sleep(time.Hour) // the day before the first start has no key
		type visit struct{ day, visitor string }
		var mu sync.Mutex
		hashes, days := map[visit]uint64{}, map[uint64]visit{}
		epochs := map[uint64]string{}
		click := func(visitor int, at time.Time) {
			v := visit{at.UTC().Format(time.DateOnly), fmt.Sprint(visitor)}
			sum := current.Load().Hash(netip.AddrFrom4([4]byte{203, 0, 113, byte(visitor)}), "agent", at)
			epoch := current.Load().Epoch(at)
			mu.Lock()
			defer mu.Unlock()
			if day, seen := epochs[epoch]; seen && day != v.day {
				t.Errorf("%s and %s are one epoch", day, v.day)
			}
			epochs[epoch] = v.day
			if other, seen := hashes[v]; seen && other != sum {
				t.Errorf("%v is split into %x and %x at %v", v, other, sum, at)
			}
			if other, seen := days[sum]; seen && other != v {
				t.Errorf("%v and %v have the hash %x", v, other, sum)
			}
			hashes[v], days[sum] = sum, v
		}
		end := time.Now().AddDate(0, 0, 3)
		var all sync.WaitGroup
		for visitor := range 4 {
			all.Go(func() {
				for time.Now().Before(end) {
					click(visitor, time.Now())
					click(visitor, time.Now().Add(-30*time.Minute))
					time.Sleep(7*time.Minute + time.Duration(visitor)*time.Second)
				}
			})
		}
		for time.Now().Before(end) {
			time.Sleep(5*time.Hour + 59*time.Minute + 59*time.Second)
			open()
		}
		all.Wait()
		current.Load().Close()
		if len(hashes) != 4*4 {
			t.Errorf("%d hashes of 4 visitors on 4 days", len(hashes))
		}
	})
}

// TestKeysAfterTheClockJumped: whatever the clock does, a minute later the file
// holds the keys of now and next, and none whose time is long over.
func TestKeysAfterTheClockJumped(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"a day ahead": 24 * time.Hour, "a month ahead": 30 * 24 * time.Hour, "years ahead": 10 * 365 * 24 * time.Hour,
		"a day back": -24 * time.Hour, "years back": -3 * 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "keys")
				var ahead atomic.Int64
				now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
				h, err := enrich.OpenHasher(path, enrich.Day, "", now, rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				defer h.Close()
				before, _ := fileOf(t, path)
				ahead.Store(int64(jump))
				if h.Hash(client, "a", now()) == 0 {
					t.Error("no hash right after the jump")
				}
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				after, _ := fileOf(t, path)
				today := now().UTC().Truncate(24 * time.Hour)
				for _, k := range after.Keys {
					if k.From.Before(today.AddDate(0, 0, -1)) || k.From.After(today.AddDate(0, 0, 1)) {
						t.Errorf("at %v there is a key from %v", now(), k.From)
					}
				}
				for _, old := range before.Keys {
					for _, k := range after.Keys {
						if bytes.Equal(old.Secret, k.Secret) && !old.From.Equal(k.From) {
							t.Errorf("the key from %v is used from %v on", old.From, k.From)
						}
					}
				}
				again, err := enrich.OpenHasher(path, enrich.Day, "", now, rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				defer again.Close()
				if h.Hash(client, "a", now()) != again.Hash(client, "a", now()) {
					t.Error("after a restart it is another visitor")
				}
			})
		})
	}
}

// TestKeysAreTheirOwnersAlone: nobody else can read the file, whatever lay
// there before.
func TestKeysAreTheirOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	mode := func() fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	loose := func(path string) {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	loose(path + ".new") // what a crash left
	openHasher(t, path, enrich.Day, fixed(noon))
	if mode() != 0o600 {
		t.Errorf("mode %v over what a crash left", mode())
	}
	if err := os.Chmod(path, 0o644); err != nil { // as after a restore
		t.Fatal(err)
	}
	openHasher(t, path, enrich.Day, fixed(noon))
	if mode() != 0o600 {
		t.Errorf("mode %v after a restart", mode())
	}
}

// TestNeverDestroysOldKeys: who stops to change keys leaves none of the random
// ones behind, whose hashes could be turned back for ever.
func TestNeverDestroysOldKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	openHasher(t, path, enrich.Day, fixed(noon))
	file, err := os.Open(path) // though it loses its name
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 2 {
		h, err := enrich.OpenHasher(path, enrich.Never, "a key that is given, and long enough", fixed(noon), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the file is there: %v", err)
		}
	}
	left := make([]byte, 4096)
	if n, _ := file.Read(left); n == 0 || len(bytes.Trim(left[:n], "\x00")) != 0 {
		t.Errorf("the file held %q", left[:n])
	}
}
