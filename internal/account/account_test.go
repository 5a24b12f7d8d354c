package account_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/memory"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestMayManage(t *testing.T) {
	member := account.Actor{User: 1, Role: account.Member}
	tests := []struct {
		name  string
		actor account.Actor
		owner account.ID
		want  fault.Code
	}{
		{"the owner", member, 1, ""},
		{"another", member, 2, fault.Forbidden},
		{"what nobody owns", member, 0, fault.Forbidden},
		{"a stranger", account.Actor{}, 1, fault.Unauthorized},
		{"a stranger and what nobody owns", account.Actor{}, 0, fault.Unauthorized},
		{"an admin", account.Actor{User: 3, Role: account.Admin}, 1, ""},
		{"an admin and what nobody owns", account.Actor{User: 3, Role: account.Admin}, 0, ""},
		{"the operator", account.Operator(), 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fault.CodeOf(tt.actor.MayManage(tt.owner)); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestSecretsCheckThemselvesAndHide(t *testing.T) {
	seen := map[account.Secret]bool{}
	for range 100 {
		s, err := account.NewSecret(rand.Reader)
		if err != nil || seen[s] || len(s) != 43 || !strings.HasPrefix(s.Reveal(), "kurz_") {
			t.Fatal(s.Reveal(), err)
		}
		seen[s] = true
		if got, ok := account.ParseSecret(s.Reveal()); !ok || got.Hash() != s.Hash() {
			t.Fatalf("%s does not read back", s.Reveal())
		}
		for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), s.String(), s.Hint()} {
			if strings.Contains(text, s.Reveal()[10:]) {
				t.Fatalf("%s reveals the secret", text)
			}
		}
		b := []byte(s.Reveal())
		i := 5 + int(b[7])%32
		b[i] ^= 1 // a mistyped character
		if _, ok := account.ParseSecret(string(b)); ok {
			t.Fatalf("%s is taken for %s", b, s.Reveal())
		}
	}
	for _, bad := range []string{"", "kurz_", "kurz_" + strings.Repeat("a", 38), strings.Repeat("x", 43)} {
		if _, ok := account.ParseSecret(bad); ok {
			t.Errorf("%q is taken for a secret", bad)
		}
	}
	if _, err := account.NewSecret(bytes.NewReader(nil)); err == nil {
		t.Error("a secret without randomness")
	}
}

func FuzzParseSecret(f *testing.F) {
	s, err := account.NewSecret(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Reveal())
	f.Add("kurz_\x00")
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := account.ParseSecret(text); ok && s.Reveal() != text {
			t.Fatalf("%q became %q", text, s.Reveal())
		}
	})
}

func TestIDs(t *testing.T) {
	for range 100 {
		id, err := account.NewID(rand.Reader)
		if err != nil || id <= 0 {
			t.Fatal(id, err)
		}
		if got, err := account.ParseID(id.String()); err != nil || got != id {
			t.Errorf("%v reads as %v, %v", id, got, err)
		}
	}
	if account.ID(0).String() != "" {
		t.Error("nobody has a name")
	}
	for _, bad := range []string{"", "usr_", "usr_0", "usr_-1", "usr_A", "usr_01", "abc", "usr_zzzzzzzzzzzzzzzzzz"} {
		if _, err := account.ParseID(bad); !fault.Is(err, fault.ValidationFailed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// All zero bits name nobody and are drawn again.
	if id, err := account.NewID(bytes.NewReader(append(make([]byte, 8), 1, 2, 3, 4, 5, 6, 7, 8))); err != nil || id == 0 {
		t.Error(id, err)
	}
	if _, err := account.NewID(bytes.NewReader(nil)); err == nil {
		t.Error("an ID without randomness")
	}
}

func TestParseEmail(t *testing.T) {
	for in, want := range map[string]string{"Ann@Example.COM": "ann@example.com", " a+b@c.example ": "a+b@c.example"} {
		if got, err := account.ParseEmail(in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "ann", "ann@", "@example.com", "Ann <ann@example.com>", "a b@example.com", "a@b\n", "a@b\r\nBcc: c@d", strings.Repeat("a", 250) + "@b.example"} {
		if got, err := account.ParseEmail(bad); err == nil && strings.ContainsAny(got, "\r\n ") || err == nil && got == "" {
			t.Errorf("%q: %q", bad, got)
		} else if err != nil && !fault.Is(err, fault.ValidationFailed) {
			t.Errorf("%q: %v", bad, err)
		} else if err == nil && bad != "a@b\n" {
			t.Errorf("%q was accepted as %q", bad, got)
		}
	}
}

// office is a store in memory with a clock that tests turn; it counts the
// look-ups of keys.
type office struct {
	now     time.Time
	lookups int
	touched []time.Time
	account.Store
	fail error
}

func (o *office) KeyByHash(ctx context.Context, h account.Hash) (account.Key, account.User, error) {
	o.lookups++
	if o.fail != nil {
		return account.Key{}, account.User{}, o.fail
	}
	return o.Store.KeyByHash(ctx, h)
}

func (o *office) TouchKey(ctx context.Context, id account.KeyID, at time.Time) error {
	o.touched = append(o.touched, at)
	return o.Store.TouchKey(ctx, id, at)
}

func newOffice(t *testing.T) (*office, *account.Directory, account.User) {
	t.Helper()
	o := &office{now: noon, Store: memory.NewAccounts()}
	d := account.NewDirectory(o, func() time.Time { return o.now }, rand.Reader)
	u, err := d.AddUser(t.Context(), "Ann@example.com", account.Member, account.Premium)
	if err != nil {
		t.Fatal(err)
	}
	return o, d, u
}

func TestAuthenticate(t *testing.T) {
	o, d, u := newOffice(t)
	ctx := t.Context()
	key, secret, err := d.CreateKey(ctx, account.NewKey{User: u.ID, Name: "laptop", ExpiresAt: noon.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	want := account.Actor{User: u.ID, Key: key.ID, Email: "ann@example.com", Role: account.Member, Tier: account.Premium}
	for range 10 {
		if got, err := d.Authenticate(ctx, secret.Reveal()); err != nil || got != want {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if o.lookups != 1 || len(o.touched) != 1 {
		t.Errorf("%d look-ups, %d touches within a second", o.lookups, len(o.touched))
	}
	o.now = noon.Add(time.Second)
	if _, err := d.Authenticate(ctx, secret.Reveal()); err != nil {
		t.Error(err)
	}
	if o.lookups != 2 || len(o.touched) != 1 {
		t.Errorf("%d look-ups, %d touches after a second", o.lookups, len(o.touched))
	}
	o.now = noon.Add(time.Minute)
	if _, err := d.Authenticate(ctx, secret.Reveal()); err != nil || len(o.touched) != 2 {
		t.Errorf("%v; %d touches after a minute", err, len(o.touched))
	}
	o.now = noon.Add(time.Hour - time.Millisecond)
	if _, err := d.Authenticate(ctx, secret.Reveal()); err != nil {
		t.Error(err)
	}
	o.now = noon.Add(time.Hour)
	if _, err := d.Authenticate(ctx, secret.Reveal()); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("an expired key: %v", err)
	}
	before := o.lookups
	for _, bad := range []string{"", "kurz_x", secret.Reveal()[:42] + "!"} {
		if _, err := d.Authenticate(ctx, bad); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if o.lookups != before {
		t.Error("a malformed key was looked up")
	}
	other, _ := account.NewSecret(rand.Reader)
	if _, err := d.Authenticate(ctx, other.Reveal()); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("an unknown key: %v", err)
	}
	o.fail = fault.New(fault.Unavailable, "down")
	if _, err := d.Authenticate(ctx, other.Reveal()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a store that is down: %v", err)
	}
}

func TestRevokedKeysAndDisabledUsersAreTurnedAway(t *testing.T) {
	o, d, u := newOffice(t)
	ctx := t.Context()
	actor := account.Actor{User: u.ID, Role: account.Member}
	key, secret, err := d.CreateKey(ctx, account.NewKey{User: u.ID, Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Authenticate(ctx, secret.Reveal()); err != nil {
		t.Fatal(err)
	}
	if err := d.RevokeKey(ctx, account.Actor{User: u.ID + 1, Role: account.Member}, key.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another's: %v", err)
	}
	if err := d.RevokeKey(ctx, account.Actor{}, key.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger's: %v", err)
	}
	if err := d.RevokeKey(ctx, actor, key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Authenticate(ctx, secret.Reveal()); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("revoked just now: %v", err)
	}
	o.now = noon.Add(time.Millisecond)
	_, second, err := d.CreateKey(ctx, account.NewKey{User: u.ID, Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	u.DisabledAt = noon
	if err := d.UpdateUser(ctx, u); err != nil {
		t.Fatal(err)
	}
	o.now = noon.Add(2 * time.Second)
	if _, err := d.Authenticate(ctx, second.Reveal()); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("disabled: %v", err)
	}
	keys, _, err := d.Keys(ctx, actor, account.Page{Limit: 10})
	if err != nil || len(keys) != 2 || keys[0].RevokedAt.IsZero() {
		t.Errorf("%+v, %v", keys, err)
	}
	if same, _, err := d.KeysOf(ctx, u.ID, account.Page{Limit: 10}); err != nil || len(same) != 2 {
		t.Errorf("%+v, %v", same, err)
	}
	if err := d.RevokeKey(ctx, account.Operator(), keys[1].ID); err != nil {
		t.Errorf("the operator: %v", err)
	}
}

func TestARepeatedKeyReplacesTheSecretNobodySaw(t *testing.T) {
	_, d, u := newOffice(t)
	_, first, err := d.CreateKey(t.Context(), account.NewKey{User: u.ID, Name: "a", ID: "key_1"})
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := d.CreateKey(t.Context(), account.NewKey{User: u.ID, Name: "a", ID: "key_1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Authenticate(t.Context(), first.Reveal()); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("the first secret: %v", err)
	}
	if _, err := d.Authenticate(t.Context(), second.Reveal()); err != nil {
		t.Errorf("the second secret: %v", err)
	}
}

func TestDirectoryRefuses(t *testing.T) {
	_, d, u := newOffice(t)
	ctx := t.Context()
	add := func(email string, role account.Role, tier account.Tier) error {
		_, err := d.AddUser(ctx, email, role, tier)
		return err
	}
	key := func(n account.NewKey) error {
		_, _, err := d.CreateKey(ctx, n)
		return err
	}
	tests := []struct {
		name string
		err  error
		want fault.Code
	}{
		{"the same email in another case", add("ANN@example.com", account.Member, account.Free), fault.AlreadyExists},
		{"no email", add("ann", account.Member, account.Free), fault.ValidationFailed},
		{"no role", add("b@example.com", "boss", account.Free), fault.ValidationFailed},
		{"no tier", add("b@example.com", account.Admin, "gold"), fault.ValidationFailed},
		{"a key without a name", key(account.NewKey{User: u.ID, Name: "  "}), fault.ValidationFailed},
		{"a long name", key(account.NewKey{User: u.ID, Name: strings.Repeat("x", 101)}), fault.ValidationFailed},
		{"a key that is over", key(account.NewKey{User: u.ID, Name: "x", ExpiresAt: noon}), fault.ValidationFailed},
	}
	for _, tt := range tests {
		if got := fault.CodeOf(tt.err); got != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, tt.err, tt.want)
		}
	}
}

func TestDirectoryReads(t *testing.T) {
	_, d, u := newOffice(t)
	ctx := t.Context()
	if got, err := d.UserByEmail(ctx, "ANN@example.com"); err != nil || got.ID != u.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := d.User(ctx, u.ID); err != nil || got.Email != "ann@example.com" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := d.UserByEmail(ctx, "nobody"); !fault.Is(err, fault.ValidationFailed) {
		t.Error(err)
	}
	if users, _, err := d.Users(ctx, account.Page{Limit: 10}); err != nil || len(users) != 1 {
		t.Errorf("%+v, %v", users, err)
	}
	if headless, err := d.Headless(ctx); err != nil || !headless {
		t.Errorf("members only: headless %v, %v", headless, err)
	}
	for i := range 600 {
		if _, err := d.AddUser(ctx, fmt.Sprintf("u%d@example.com", i), account.Member, account.Free); err != nil {
			t.Fatal(err)
		}
	}
	if headless, err := d.Headless(ctx); err != nil || !headless {
		t.Errorf("many members: headless %v, %v", headless, err)
	}
	if _, err := d.AddUser(ctx, "admin@example.com", account.Admin, account.Premium); err != nil {
		t.Fatal(err)
	}
	if headless, err := d.Headless(ctx); err != nil || headless {
		t.Errorf("an admin: headless %v, %v", headless, err)
	}
}
