package enrich_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kurz/internal/enrich"
)

var (
	client = netip.MustParseAddr("203.0.113.9")
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) // a Sunday
)

func openHasher(t testing.TB, path string, r enrich.Rotation, now func() time.Time) *enrich.Hasher {
	t.Helper()
	h, err := enrich.OpenHasher(path, r, "", now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func fixed(at time.Time) func() time.Time { return func() time.Time { return at } }

func TestHashIsHMAC(t *testing.T) {
	for _, key := range []string{"sixteen bytes ok", strings.Repeat("long", 50)} {
		h, err := enrich.OpenHasher("", enrich.Never, key, fixed(noon), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, agent := range []string{"", "Mozilla/5.0", strings.Repeat("x", 1024)} {
			mac := hmac.New(sha256.New, []byte(key))
			as16 := client.As16()
			mac.Write(as16[:])
			mac.Write([]byte(agent))
			if got, want := h.Hash(client, agent, noon), binary.BigEndian.Uint64(mac.Sum(nil)); got != want {
				t.Errorf("%x, want %x", got, want)
			}
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHashTellsVisitorsApart(t *testing.T) {
	h := openHasher(t, filepath.Join(t.TempDir(), "keys"), enrich.Day, fixed(noon))
	seen := map[uint64]string{}
	for _, addr := range []string{"203.0.113.9", "203.0.113.10", "2001:db8::1", "::"} {
		for _, agent := range []string{"", "a", "b"} {
			sum := h.Hash(netip.MustParseAddr(addr), agent, noon)
			if other := seen[sum]; other != "" || sum == 0 {
				t.Errorf("%s %s has the hash %x of %q", addr, agent, sum, other)
			}
			seen[sum] = addr + " " + agent
		}
	}
	mapped := netip.MustParseAddr("::ffff:203.0.113.9")
	if h.Hash(mapped, "a", noon) != h.Hash(client, "a", noon) {
		t.Error("mapped in IPv6 it is another visitor")
	}
	if h.Hash(netip.Addr{}, "a", noon) == 0 {
		t.Error("no address, no hash")
	}
}

func TestHashAllocatesNothing(t *testing.T) {
	if raceDetector() {
		t.Skip("allocations are not the same under the race detector")
	}
	h := openHasher(t, filepath.Join(t.TempDir(), "keys"), enrich.Day, fixed(noon))
	agent := strings.Repeat("Mozilla ", 30)
	if n := testing.AllocsPerRun(1000, func() { h.Hash(client, agent, noon) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRotation(t *testing.T) {
	tests := []struct {
		rotation      enrich.Rotation
		same, another []time.Time
	}{
		{enrich.Day, []time.Time{noon.Truncate(24 * time.Hour), noon.Add(12*time.Hour - 1)}, []time.Time{noon.Add(12 * time.Hour)}},
		{enrich.Week, []time.Time{noon.AddDate(0, 0, -6)}, []time.Time{noon.Add(12 * time.Hour)}},
		{enrich.Month, []time.Time{noon.AddDate(0, 0, -21), noon.AddDate(0, 0, 8)}, []time.Time{noon.AddDate(0, 0, 9)}},
	}
	for _, tt := range tests {
		t.Run(string(tt.rotation), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			h := openHasher(t, path, tt.rotation, fixed(noon))
			want := h.Hash(client, "a", noon)
			again := openHasher(t, path, tt.rotation, fixed(noon))
			for _, at := range tt.same {
				if h.Hash(client, "a", at) != want || again.Hash(client, "a", at) != want {
					t.Errorf("at %v it is another visitor", at)
				}
			}
			for _, at := range tt.another {
				next := h.Hash(client, "a", at)
				if next == want {
					t.Errorf("at %v it is the same visitor", at)
				}
				// The key was made ahead: a restart after the turn has it too.
				later := openHasher(t, path, tt.rotation, fixed(at))
				if later.Hash(client, "a", at) != next {
					t.Errorf("at %v, after a restart, it is a third visitor", at)
				}
			}
		})
	}
}

type keysInFile struct {
	Keys []struct {
		From   time.Time `json:"from"`
		Secret []byte    `json:"secret"`
	} `json:"keys"`
}

func fileOf(t *testing.T, path string) (keys keysInFile, text []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	return keys, text
}

func TestOldKeysAreDestroyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		h := openHasher(t, path, enrich.Day, time.Now)
		defer h.Close()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		first, _ := fileOf(t, path)
		if len(first.Keys) != 2 {
			t.Fatalf("%d keys, want that of today and of tomorrow", len(first.Keys))
		}
		inode, err := os.Open(path) // the old file, though it loses its name
		if err != nil {
			t.Fatal(err)
		}
		defer inode.Close()
		// Sleep up to the end of the day, and an hour and a bit.
		day := time.Now().UTC().Truncate(24 * time.Hour)
		time.Sleep(time.Until(day.Add(25*time.Hour + 2*time.Minute)))
		synctest.Wait()
		now, text := fileOf(t, path)
		if len(now.Keys) != 2 || !now.Keys[0].From.Equal(day.AddDate(0, 0, 1)) || !bytes.Equal(now.Keys[0].Secret, first.Keys[1].Secret) {
			t.Errorf("%+v", now)
		}
		if old := base64.StdEncoding.EncodeToString(first.Keys[0].Secret); bytes.Contains(text, []byte(old)) {
			t.Error("the old key is in the file")
		}
		left := make([]byte, 4096)
		n, _ := inode.Read(left)
		if n == 0 || len(bytes.Trim(left[:n], "\x00")) != 0 {
			t.Errorf("the old file holds %q", left[:n])
		}
		list, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
		if h.Err() != nil {
			t.Error(h.Err())
		}
	})
}

func TestKeysThatCantBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "keys")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "keys")
		h := openHasher(t, path, enrich.Day, time.Now)
		defer h.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		day := time.Now().UTC().Truncate(24 * time.Hour)
		time.Sleep(time.Until(day.Add(26 * time.Hour)))
		synctest.Wait()
		if h.Err() == nil {
			t.Error("nobody is told")
		}
		today := h.Hash(client, "a", time.Now())
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if h.Err() != nil {
			t.Error(h.Err())
		}
		again := openHasher(t, path, enrich.Day, time.Now)
		defer again.Close()
		if again.Hash(client, "a", time.Now()) != today {
			t.Error("the key of today is lost")
		}
	})
}

func TestKeysAfterAPause(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	h := openHasher(t, path, enrich.Day, fixed(noon))
	first, _ := fileOf(t, path)
	before := h.Hash(client, "a", noon)
	later := noon.AddDate(0, 0, 10)
	if h.Hash(client, "a", later) == 0 {
		t.Error("outside all periods there is no hash")
	}
	h = openHasher(t, path, enrich.Day, fixed(later))
	now, _ := fileOf(t, path)
	for _, old := range first.Keys {
		for _, k := range now.Keys {
			if bytes.Equal(old.Secret, k.Secret) {
				t.Error("a key has outlived its time")
			}
		}
	}
	if h.Hash(client, "a", later) == before {
		t.Error("the hash is the same after ten days")
	}
}

func TestAnotherRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	openHasher(t, path, enrich.Day, fixed(noon))
	first, _ := fileOf(t, path)
	openHasher(t, path, enrich.Month, fixed(noon))
	now, _ := fileOf(t, path)
	if len(now.Keys) != 2 || bytes.Equal(first.Keys[0].Secret, now.Keys[0].Secret) {
		t.Errorf("%+v", now)
	}
}

func TestOpenHasherRefuses(t *testing.T) {
	dir := t.TempDir()
	damaged := filepath.Join(dir, "damaged")
	short := filepath.Join(dir, "short")
	for path, text := range map[string]string{damaged: "{", short: `{"keys":[{"secret":"AAAA"}]}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, path string
		rotation   enrich.Rotation
		key, want  string
	}{
		{"never without a key", "", enrich.Never, "", "at least 16"},
		{"never with a short one", "", enrich.Never, "fifteen bytes..", "at least 16"},
		{"day with a key", filepath.Join(dir, "new"), enrich.Day, "sixteen bytes ok", "never"},
		{"no rotation", filepath.Join(dir, "new"), "year", "", "year"},
		{"damaged", damaged, enrich.Day, "", damaged},
		{"short key in the file", short, enrich.Day, "", "too short"},
		{"no folder", filepath.Join(dir, "none", "keys"), enrich.Day, "", "visitor keys"},
		{"a folder", dir, enrich.Day, "", "visitor keys"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := enrich.OpenHasher(tt.path, tt.rotation, tt.key, fixed(noon), rand.Reader)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := enrich.OpenHasher(filepath.Join(dir, "new"), enrich.Day, "", fixed(noon), strings.NewReader("")); err == nil {
		t.Error("opened without randomness")
	}
}

func FuzzReadKeys(f *testing.F) {
	f.Add([]byte(`{"rotation":"day","keys":[{"from":"2026-11-22T00:00:00Z","to":"2026-11-23T00:00:00Z","secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := enrich.OpenHasher(path, enrich.Day, "", fixed(noon), rand.Reader)
		if err != nil {
			return
		}
		defer h.Close()
		if h.Hash(client, "a", noon) == 0 {
			t.Error("no hash")
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h := openHasher(b, filepath.Join(b.TempDir(), "keys"), enrich.Day, fixed(noon))
	agent := "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	b.ReportAllocs()
	for b.Loop() {
		h.Hash(client, agent, noon)
	}
}

// raceDetector reports whether this program was built with it: then pools forget
// at random, and allocations can't be counted.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
