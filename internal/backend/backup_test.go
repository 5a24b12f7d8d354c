package backend_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/account"
	"kurz/internal/backend"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/idempotency"
	"kurz/internal/link"
)

var manifest = backend.NewManifest(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), "kurz test")

// fill makes a data folder with something of everything, and gives the link
// that has clicks: one that is stored and one that is in the journal.
func fill(t *testing.T, s *config.Settings) link.ID {
	t.Helper()
	b, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Millisecond)
	for i := range 3 {
		_, _, err := b.Parts.Links.Insert(ctx, link.New{At: now, Link: link.Link{
			Key: link.Key{Code: link.Code("code" + string(rune('a'+i)))}, ID: link.ID(i + 1), Owner: 7, Destination: "https://example.org/",
			Title: "ä", Tags: []string{"x"}, RedirectStatus: 302, CreatedAt: now, UpdatedAt: now, Version: 1,
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	err = b.Parts.Accounts.AddUser(ctx, account.User{ID: 7, Email: "ann@example.org", Role: account.Admin, Tier: account.Free, CreatedAt: now, Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	attempt := idempotency.Attempt{ID: idempotency.ID{1}, Operation: idempotency.Operation{2}, Holder: [16]byte{3}, Now: now, Lease: time.Hour, Keep: time.Hour}
	if _, _, err := b.Parts.Idempotency.Begin(ctx, attempt); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		record := click.AppendVisit(nil, &click.Visit{Time: now, Link: 2, Owner: 7, UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", AcceptLanguage: "de"}, click.Place{Country: "DE"}, 99, 0)
		if _, err := b.Parts.Log.Append(record); err != nil {
			t.Fatal(err)
		}
	}
	records, err := b.Parts.Log.Read(ctx, 0, nil, 1)
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	err = b.Parts.Sink.Add(ctx, click.Batch{Log: b.Parts.Log.ID(), Through: 1, Events: []click.Event{
		{ID: click.NewID(now, 1), Sequence: 1, Time: now, Link: 2, Owner: 7, Kind: click.Human},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return 2
}

func TestARestoredFolderIsTheSame(t *testing.T) {
	s := load(t, t.TempDir())
	clicked := fill(t, s)
	secret := []byte("a key of codes\n")
	if err := os.WriteFile(filepath.Join(s.Data, "code.key"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup")
	wrote, size, err := backend.SaveBackup(t.Context(), s, file, false, manifest, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() != size || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v, %d bytes", info, err, size)
	}
	if wrote.Waiting != 1 || wrote.Clicks != 1 || wrote.Damaged != 0 {
		t.Errorf("%+v", wrote)
	}
	if _, _, err := backend.SaveBackup(t.Context(), s, file, false, manifest, nil, nil); err == nil {
		t.Error("a file that is there was replaced")
	}
	if _, _, err := backend.SaveBackup(t.Context(), s, file, true, manifest, nil, nil); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("beside the backup there is something else: %v, %v", entries, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := load(t, filepath.Join(t.TempDir(), "a", "b"))
	got, err := backend.Restore(t.Context(), bytes.NewReader(data), int64(len(data)), other, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wrote.Parts, got.Parts); diff != "" || got.Waiting != 1 || got.Clicks != 1 {
		t.Errorf("%+v %s", got, diff)
	}
	if text, err := os.ReadFile(filepath.Join(other.Data, "code.key")); err != nil || !bytes.Equal(text, secret) {
		t.Errorf("%q, %v", text, err)
	}
	// What is destroyed in time, or known for a day, is not in it.
	for _, name := range []string{"visitor.key", "server.key", "restoring"} {
		if _, err := os.Stat(filepath.Join(other.Data, name)); err == nil {
			t.Errorf("%s was restored", name)
		}
	}
	ownersAlone(t, other.Data)
	served(t, other, clicked)
	// What its server did is in the next backup.
	again, err := backend.WriteBackup(t.Context(), other, &bytes.Buffer{}, manifest, nil)
	if err != nil || again.Clicks != 2 || again.Waiting != 0 {
		t.Errorf("%+v, %v", again, err)
	}
}

// served looks into a restored folder as its server does.
func served(t *testing.T, s *config.Settings, clicked link.ID) {
	t.Helper()
	b, err := open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	l, err := b.Parts.Links.Get(ctx, link.Key{Code: "codeb"})
	if err != nil || l.ID != clicked || l.Title != "ä" || l.Owner != 7 {
		t.Errorf("%+v, %v", l, err)
	}
	if u, err := b.Parts.Accounts.UserByEmail(ctx, "ann@example.org"); err != nil || u.ID != 7 {
		t.Errorf("%+v, %v", u, err)
	}
	attempt := idempotency.Attempt{ID: idempotency.ID{1}, Operation: idempotency.Operation{4}, Holder: [16]byte{3}, Now: time.Now(), Lease: time.Hour, Keep: time.Hour}
	if outcome, _, err := b.Parts.Idempotency.Begin(ctx, attempt); err != nil || outcome != idempotency.Started {
		t.Errorf("a request is known: %v, %v", outcome, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	pump := click.NewPump(click.PumpSettings{Log: b.Parts.Log, Sink: b.Parts.Sink, Enricher: b.Parts.Enricher})
	if err := pump.Run(ended); err != nil {
		t.Error(err)
	}
	if totals, err := b.Parts.Reports.Totals(ctx, []link.ID{1, 2, 3}); err != nil || totals[clicked] != 2 || totals[1] != 0 {
		t.Errorf("totals %v, %v", totals, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever is wrong, a folder that was to be restored is empty afterwards, or as
// it was.
func TestRestoreRefuses(t *testing.T) {
	s := load(t, t.TempDir())
	fill(t, s)
	var out bytes.Buffer
	if _, err := backend.WriteBackup(t.Context(), s, &out, manifest, nil); err != nil {
		t.Fatal(err)
	}
	data := out.Bytes()
	flipped := bytes.Clone(data)
	flipped[len(data)/2] ^= 4
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "no backup of kurz"},
		{"cut", data[:len(data)/2], "cut off"},
		{"cut before the end", data[:len(data)-1], "cut off"},
		{"damaged", flipped, "damaged at byte"},
		{"longer", append(bytes.Clone(data), 'x'), "goes on behind its end"},
	}
	for _, tt := range tests {
		dir := filepath.Join(t.TempDir(), "new")
		_, err := backend.Restore(t.Context(), bytes.NewReader(tt.data), 0, load(t, dir), nil, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("%s: left %v, %v", tt.name, entries, err)
		}
		if _, err := backend.VerifyBackup(t.Context(), bytes.NewReader(tt.data), 0, nil); err == nil {
			t.Errorf("%s: verified", tt.name)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backend.Restore(t.Context(), bytes.NewReader(data), 0, load(t, dir), nil, nil); err == nil || !strings.Contains(err.Error(), "not empty (mine is in it)") {
		t.Errorf("a folder with something in it: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backend.WriteBackup(ended, s, &out, manifest, nil); err == nil {
		t.Error("a backup by someone who has gone")
	}
	if _, err := backend.WriteBackup(t.Context(), load(t, t.TempDir()), &out, manifest, nil); err == nil || !strings.Contains(err.Error(), "nothing to back up") {
		t.Errorf("an empty folder: %v", err)
	}
}

// A restore that was killed leaves a folder that nobody serves.
func TestAnUnfinishedRestoreIsNotServed(t *testing.T) {
	s := load(t, t.TempDir())
	if err := os.Mkdir(filepath.Join(s.Data, "restoring"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t.Context(), s); err == nil || !strings.Contains(err.Error(), "was not finished") {
		t.Error(err)
	}
	if _, err := backend.Restore(t.Context(), bytes.NewReader(nil), 0, s, nil, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Error(err)
	}
}
