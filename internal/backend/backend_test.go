package backend_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/backend"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/idempotency"
	"kurz/test/mmdb"
)

func load(t *testing.T, dir string, environ ...string) *config.Settings {
	t.Helper()
	s, err := config.Load(config.Sources{Environ: append(environ, "KURZ_DATA="+dir)})
	if err != nil {
		t.Fatal(err)
	}
	return &s.Settings
}

func open(ctx context.Context, s *config.Settings) (*backend.Backend, error) {
	return backend.Open(ctx, s, backend.Options{Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
}

// Whoever held a lease when the last server died is dead: nobody waits for them.
func TestOpenEndsTheLeasesOfTheDead(t *testing.T) {
	s := load(t, t.TempDir())
	attempt := idempotency.Attempt{ID: idempotency.ID{1}, Operation: idempotency.Operation{2}, Holder: [16]byte{3}, Now: time.Now(), Lease: time.Hour, Keep: time.Hour}
	var secret []byte
	for i, want := range []idempotency.Operation{{2}, {2}} {
		b, err := open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		attempt.Operation[0] += byte(i)
		outcome, record, err := b.Parts.Idempotency.Begin(t.Context(), attempt)
		if err != nil || outcome != idempotency.Started || record.Operation != want {
			t.Errorf("server %d: outcome %d, operation %x, %v", i, outcome, record.Operation, err)
		}
		if outcome, _, _ := b.Parts.Idempotency.Begin(t.Context(), attempt); outcome != idempotency.InProgress {
			t.Errorf("server %d, beside a living holder: outcome %d", i, outcome)
		}
		if i > 0 && !bytes.Equal(secret, b.Parts.Secret) || len(b.Parts.Secret) != 32 {
			t.Errorf("server %d has another secret", i)
		}
		secret = b.Parts.Secret
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(s.Data, "server.key")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), s); err == nil || !strings.Contains(err.Error(), "server.key is damaged") {
		t.Errorf("a damaged secret: %v", err)
	}
}

func TestOpenMakesWhatItNeeds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	s := load(t, dir)
	if _, err := backend.OpenData(t.Context(), s); err == nil || !strings.Contains(err.Error(), "start 'kurz serve' once") {
		t.Errorf("commands on a folder that is not there: %v", err)
	}
	b, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Parts.Checks {
		if text, err := c.Run(t.Context()); err != nil {
			t.Errorf("%s: %q, %v", c.Name, text, err)
		}
	}
	names := map[string]bool{}
	for _, m := range b.Parts.Measures {
		if names[m.Name] || m.Help == "" || m.Total != strings.HasSuffix(m.Name, "_total") {
			t.Errorf("measure %+v", m)
		}
		names[m.Name] = true
		if v := m.Read(); v < 0 {
			t.Errorf("%s: %v", m.Name, v)
		}
	}
	// Beside it.
	d, err := backend.OpenData(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := d.Schemas(t.Context())
	if err != nil || len(schemas) != 2 || schemas[0].Have != schemas[0].Want || schemas[1].Have < 1 {
		t.Errorf("schemas %+v, %v", schemas, err)
	}
	if err := d.Integrity(t.Context()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(d.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	ownersAlone(t, dir)
	if r, err := backend.InspectJournal(t.Context(), s, nil); err != nil || !r.Intact() || r.Unknown != nil {
		t.Errorf("journal %+v, %v", r, err)
	}
	// And again.
	if b, err = open(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// A city database has a line of its own among checks and measures, and a broken
// one keeps a server from starting.
func TestOpenWithCities(t *testing.T) {
	file := filepath.Join(t.TempDir(), "city.mmdb")
	data, err := mmdb.Write(mmdb.Database{Type: "Test-City", Built: time.Unix(1_780_000_000, 0), Networks: map[netip.Prefix]mmdb.Record{
		netip.MustParsePrefix("81.2.69.0/24"): mmdb.City("GB", "England", "ENG", "London"),
	}})
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, t.TempDir(), "KURZ_GEOIP="+file)
	b, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	want := click.Place{Country: "GB", Region: "England", City: "London"}
	if got := b.Parts.Locator.Locate(netip.MustParseAddr("81.2.69.142")); got != want {
		t.Errorf("%+v", got)
	}
	said := ""
	for _, c := range b.Parts.Checks {
		if c.Name == "city database" {
			said, err = c.Run(t.Context())
		}
	}
	if said != "Test-City of 2026-05-28" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
	measured := map[string]float64{}
	for _, m := range b.Parts.Measures {
		if strings.HasPrefix(m.Name, "kurz_geoip_") {
			measured[m.Name] = m.Read()
		}
	}
	if diff := cmp.Diff(map[string]float64{
		"kurz_geoip_build_timestamp_seconds": 1_780_000_000, "kurz_geoip_reloads_total": 0,
		"kurz_geoip_failures_total": 0, "kurz_geoip_failing": 0,
	}, measured); diff != "" {
		t.Error(diff)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 100); err != nil {
		t.Fatal(err)
	}
	if b, err := open(t.Context(), s); err == nil || !strings.Contains(err.Error(), "KURZ_GEOIP: "+file) {
		t.Errorf("%v, %v", b, err)
	}
}

func ownersAlone(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOneServer(t *testing.T) {
	dir := t.TempDir()
	s := load(t, dir)
	if served, err := backend.Served(dir); served || err != nil {
		t.Errorf("served %v, %v before", served, err)
	}
	b, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if served, err := backend.Served(dir); !served || err != nil {
		t.Errorf("served %v, %v", served, err)
	}
	if _, err := open(t.Context(), s); !errors.Is(err, backend.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second server: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if served, err := backend.Served(dir); served || err != nil {
		t.Errorf("served %v, %v after", served, err)
	}
}

// TestProbedAtTheStart shows that a command which asks, in that moment, whether
// there is a server does not keep one from starting.
func TestProbedAtTheStart(t *testing.T) {
	s := load(t, t.TempDir())
	probe, err := backend.TakeLock(s.Data) // as Served does
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { probe.Close() })
	b, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestServingNote(t *testing.T) {
	dir := t.TempDir()
	if _, err := backend.ReadServing(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a server: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	base, err := url.Parse("https://go.example")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 123_456_789)
	want := backend.NewServing([]net.Listener{listener}, true, base, []string{"s.example"}, now)
	if want.Listen[0] != "tcp:"+listener.Addr().String() {
		t.Errorf("listens on %q", want.Listen)
	}
	remove, err := backend.WriteServing(dir, want)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backend.ReadServing(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note of a server that is gone: %v", err)
	}
	lock, err := backend.TakeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := backend.ReadServing(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("note (-want +got):\n%s", diff)
	}
	if got.Base().String() != base.String() {
		t.Errorf("base %s", got.Base())
	}
	for _, bad := range []string{"", "{", `{"base_url":"://"}`, `{"base_url":""}`} {
		if err := os.WriteFile(filepath.Join(dir, "serving.json"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := backend.ReadServing(dir); err == nil {
			t.Errorf("%q is taken for a note", bad)
		}
	}
	remove()
	if _, err := backend.ReadServing(dir); err == nil {
		t.Error("a note that was removed")
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

func TestMigrateAndInspect(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := load(t, dir)
	for range 2 {
		if err := backend.Migrate(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	d, err := backend.Inspect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Integrity(t.Context()), d.Close()); err != nil {
		t.Error(err)
	}
}

func TestFoldersThatCantBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := open(t.Context(), load(t, dir)); err == nil || !strings.Contains(err.Error(), "--data") {
			t.Errorf("%s: %v", dir, err)
		}
		if err := backend.Migrate(t.Context(), load(t, dir)); err == nil {
			t.Errorf("%s: migrated", dir)
		}
	}
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		return
	}
	locked := t.TempDir()
	if err := os.Chmod(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), load(t, locked)); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), locked) {
		t.Errorf("a folder that can't be written: %v", err)
	}
}

// TestAFailedOpenLetsGo: what could be opened is closed, and the folder can be
// served once the trouble is gone.
func TestAFailedOpenLetsGo(t *testing.T) {
	dir := t.TempDir()
	s := load(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "journal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), s); err == nil {
		t.Fatal("opened without a journal")
	}
	if err := os.Remove(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	b, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestFreeSpace(t *testing.T) {
	if free, err := backend.FreeSpace(t.TempDir()); err != nil || free == 0 {
		t.Errorf("%d, %v", free, err)
	}
	if _, err := backend.FreeSpace(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("space on a disk that is not there")
	}
}
