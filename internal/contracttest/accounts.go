package contracttest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// Accounts tests an account.Store. Open gives a new, empty store.
func Accounts(t *testing.T, open func(t *testing.T) account.Store) {
	for name, test := range map[string]func(*testing.T, account.Store){
		"users/round trip":             usersRoundTrip,
		"users/ID or email taken":      usersTaken,
		"users/race for an email":      usersRace,
		"users/update":                 usersUpdate,
		"users/race for a version":     usersUpdateRace,
		"users/pages":                  usersPages,
		"keys/round trip":              keysRoundTrip,
		"keys/added again":             keysAgain,
		"keys/ID or hash taken":        keysTaken,
		"keys/revoked":                 keysRevoked,
		"keys/touched":                 keysTouched,
		"keys/pages":                   keysPages,
		"cancelled context":            accountsCancelled,
		"keys/race to add one ID":      keysRace,
		"keys/pages are the user's":    keysPagesOfUser,
		"users/unknown are not there":  usersUnknown,
		"keys/of a user changed since": keysUserChanged,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func user(n int) account.User {
	return account.User{
		ID: account.ID(1<<62 - n), Email: fmt.Sprintf("user%d@example.com", n),
		Role: account.Member, Tier: account.Free, CreatedAt: at(n), Version: 1,
	}
}

func apiKey(n int, u account.ID) account.Key {
	return account.Key{
		ID: account.KeyID(fmt.Sprintf("key_%04d", 9999-n)), User: u, Name: "laptop",
		Hint: fmt.Sprintf("kurz_%04d…", n), Hash: account.Secret(fmt.Sprint(n)).Hash(), CreatedAt: at(n),
	}
}

func addUser(t *testing.T, s account.Store, u account.User) account.User {
	t.Helper()
	if err := s.AddUser(t.Context(), u); err != nil {
		t.Fatalf("AddUser: %v", err)
	}
	return u
}

func addKey(t *testing.T, s account.Store, k account.Key) account.Key {
	t.Helper()
	if err := s.AddKey(t.Context(), k); err != nil {
		t.Fatalf("AddKey: %v", err)
	}
	return k
}

func wantUser(t *testing.T, s account.Store, want account.User) {
	t.Helper()
	for name, read := range map[string]func() (account.User, error){
		"User":        func() (account.User, error) { return s.User(t.Context(), want.ID) },
		"UserByEmail": func() (account.User, error) { return s.UserByEmail(t.Context(), want.Email) },
	} {
		got, err := read()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got.CreatedAt.Location() != time.UTC || got.DisabledAt.Location() != time.UTC {
			t.Errorf("%s: times are not in UTC", name)
		}
	}
}

func wantKey(t *testing.T, s account.Store, want account.Key, of account.User) {
	t.Helper()
	k, u, err := s.KeyByHash(t.Context(), want.Hash)
	if err != nil {
		t.Errorf("KeyByHash: %v", err)
		return
	}
	if diff := cmp.Diff(want, k); diff != "" {
		t.Errorf("key (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(of, u); diff != "" {
		t.Errorf("user of the key (-want +got):\n%s", diff)
	}
}

func usersRoundTrip(t *testing.T, s account.Store) {
	full := account.User{
		ID: 1<<63 - 1, Email: "bücher+'\"%_@xn--bcher-kva.example", Role: account.Admin, Tier: account.Premium,
		CreatedAt: at(1).Add(time.Millisecond), DisabledAt: time.UnixMilli(0).UTC(), Version: 1,
	}
	for _, u := range []account.User{user(1), full} {
		addUser(t, s, u)
		wantUser(t, s, u)
	}
}

func usersUnknown(t *testing.T, s account.Store) {
	addUser(t, s, user(1))
	_, err := s.User(t.Context(), 99)
	wantCode(t, "User", err, fault.NotFound)
	_, err = s.UserByEmail(t.Context(), "user_@example.com")
	wantCode(t, "UserByEmail", err, fault.NotFound)
	_, _, err = s.KeyByHash(t.Context(), account.Hash{1})
	wantCode(t, "KeyByHash", err, fault.NotFound)
	wantCode(t, "UpdateUser", s.UpdateUser(t.Context(), user(2)), fault.NotFound)
	wantCode(t, "RevokeKey", s.RevokeKey(t.Context(), 0, "key_none", at(1)), fault.NotFound)
	if err := s.TouchKey(t.Context(), "key_none", at(1)); err != nil {
		t.Errorf("TouchKey of an unknown key: %v", err)
	}
}

func usersTaken(t *testing.T, s account.Store) {
	addUser(t, s, user(1))
	sameID, sameEmail := user(2), user(3)
	sameID.ID, sameEmail.Email = user(1).ID, user(1).Email
	wantCode(t, "the same ID", s.AddUser(t.Context(), sameID), fault.AlreadyExists)
	wantCode(t, "the same email", s.AddUser(t.Context(), sameEmail), fault.AlreadyExists)
	wantUser(t, s, user(1))
	_, err := s.User(t.Context(), sameEmail.ID)
	wantCode(t, "User that was refused", err, fault.NotFound)
}

func usersRace(t *testing.T, s account.Store) {
	var won atomic.Int64
	errs := race(50, func(i int) error {
		u := user(i)
		u.Email = "one@example.com"
		err := s.AddUser(t.Context(), u)
		if fault.Is(err, fault.AlreadyExists) {
			return nil
		}
		won.Add(1)
		return err
	})
	if err := errors.Join(errs...); err != nil || won.Load() != 1 {
		t.Errorf("%d won, error %v", won.Load(), err)
	}
}

func usersUpdate(t *testing.T, s account.Store) {
	u := addUser(t, s, user(1))
	addUser(t, s, user(2))
	u.Email, u.Role, u.Tier, u.DisabledAt = "new@example.com", account.Admin, account.Premium, at(9)
	for version := int64(2); version < 5; version++ {
		if err := s.UpdateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		u.Version = version
		wantUser(t, s, u)
		u.DisabledAt = time.Time{}
	}
	_, err := s.UserByEmail(t.Context(), user(1).Email)
	wantCode(t, "UserByEmail of the old email", err, fault.NotFound)
	for _, version := range []int64{0, 3, 5} {
		stale := u
		stale.Version, stale.Tier = version, account.Free
		wantCode(t, "UpdateUser of another version", s.UpdateUser(t.Context(), stale), fault.PreconditionFailed)
	}
	thief := u
	thief.Email = user(2).Email
	wantCode(t, "UpdateUser to another's email", s.UpdateUser(t.Context(), thief), fault.AlreadyExists)
	wantUser(t, s, u)
	wantUser(t, s, user(2))
	addUser(t, s, func() account.User { n := user(3); n.Email = user(1).Email; return n }()) // free again
}

func usersUpdateRace(t *testing.T, s account.Store) {
	addUser(t, s, user(1))
	var won atomic.Int64
	errs := race(50, func(int) error {
		err := s.UpdateUser(t.Context(), user(1))
		if fault.Is(err, fault.PreconditionFailed) {
			return nil
		}
		won.Add(1)
		return err
	})
	if err := errors.Join(errs...); err != nil || won.Load() != 1 {
		t.Errorf("%d won, error %v", won.Load(), err)
	}
}

func usersPages(t *testing.T, s account.Store) {
	var want []account.User
	for n := range 12 {
		u := user(n)
		u.CreatedAt = at(n / 3) // with ties
		want = append(want, u)
	}
	for _, n := range []int{5, 0, 11, 3, 1, 2, 4, 10, 6, 7, 9, 8} {
		addUser(t, s, want[n])
	}
	for _, limit := range []int{1, 5, 12, 500} {
		var got []account.User
		for page := (account.Page{Limit: limit}); ; {
			users, next, err := s.ListUsers(t.Context(), page)
			if err != nil || len(users) > limit {
				t.Fatalf("%d users, error %v", len(users), err)
			}
			got = append(got, users...)
			if page.After = next; next == "" {
				break
			}
		}
		wantOldestFirst(t, got, func(u account.User) (time.Time, string) { return u.CreatedAt, u.Email }, len(want))
	}
	if _, _, err := s.ListUsers(t.Context(), account.Page{Limit: 5, After: "no cursor!"}); !fault.Is(err, fault.ValidationFailed) {
		t.Errorf("ListUsers after nonsense: %v", err)
	}
}

// wantOldestFirst checks that n different things come, in order of time.
func wantOldestFirst[T any](t *testing.T, list []T, of func(T) (time.Time, string), n int) {
	t.Helper()
	seen := map[string]bool{}
	var before time.Time
	for _, v := range list {
		created, name := of(v)
		if created.Before(before) {
			t.Errorf("%s is older than the one before it", name)
		}
		before = created
		seen[name] = true
	}
	if len(list) != n || len(seen) != n {
		t.Errorf("%d listed, %d different; want %d", len(list), len(seen), n)
	}
}

func keysRoundTrip(t *testing.T, s account.Store) {
	u := addUser(t, s, user(1))
	full := apiKey(2, u.ID)
	full.Name, full.ExpiresAt = "Büro 🦊 'x'", at(50).Add(time.Millisecond)
	full.RevokedAt, full.LastUsedAt = at(3), time.UnixMilli(0).UTC()
	for _, k := range []account.Key{apiKey(1, u.ID), full} {
		addKey(t, s, k)
		wantKey(t, s, k, u)
	}
}

func keysUserChanged(t *testing.T, s account.Store) {
	u := addUser(t, s, user(1))
	k := addKey(t, s, apiKey(1, u.ID))
	u.DisabledAt = at(5)
	if err := s.UpdateUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	u.Version = 2
	wantKey(t, s, k, u)
}

func keysAgain(t *testing.T, s account.Store) {
	u := addUser(t, s, user(1))
	first := addKey(t, s, apiKey(1, u.ID))
	again := first
	again.Hash, again.Hint = account.Hash{9}, "kurz_9999…"
	addKey(t, s, again)
	wantKey(t, s, again, u)
	_, _, err := s.KeyByHash(t.Context(), first.Hash)
	wantCode(t, "KeyByHash of the replaced hash", err, fault.NotFound)
	addKey(t, s, again) // the same once more
	wantKey(t, s, again, u)
	if keys, _, err := s.ListKeys(t.Context(), u.ID, account.Page{Limit: 9}); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, error %v", len(keys), err)
	}
}

func keysTaken(t *testing.T, s account.Store) {
	u, other := addUser(t, s, user(1)), addUser(t, s, user(2))
	first, second := addKey(t, s, apiKey(1, u.ID)), addKey(t, s, apiKey(2, u.ID))
	stolen := apiKey(3, other.ID)
	stolen.ID = first.ID
	wantCode(t, "the ID of another user's key", s.AddKey(t.Context(), stolen), fault.AlreadyExists)
	sameHash := apiKey(4, u.ID)
	sameHash.Hash = first.Hash
	wantCode(t, "the hash of another key", s.AddKey(t.Context(), sameHash), fault.AlreadyExists)
	replaced := second
	replaced.Hash = first.Hash
	wantCode(t, "replacing with the hash of another key", s.AddKey(t.Context(), replaced), fault.AlreadyExists)
	wantKey(t, s, first, u)
	wantKey(t, s, second, u)
}

func keysRace(t *testing.T, s account.Store) {
	u := addUser(t, s, user(1))
	errs := race(50, func(i int) error {
		k := apiKey(i, u.ID)
		k.ID = "key_one"
		return s.AddKey(t.Context(), k)
	})
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	found := 0
	for i := range 50 {
		if _, _, err := s.KeyByHash(t.Context(), apiKey(i, 0).Hash); err == nil {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d hashes are known, want 1", found)
	}
}

func keysRevoked(t *testing.T, s account.Store) {
	u, other := addUser(t, s, user(1)), addUser(t, s, user(2))
	k, second := addKey(t, s, apiKey(1, u.ID)), addKey(t, s, apiKey(2, u.ID))
	wantCode(t, "RevokeKey by another user", s.RevokeKey(t.Context(), other.ID, k.ID, at(5)), fault.NotFound)
	wantKey(t, s, k, u)
	for _, by := range []account.ID{u.ID, u.ID, 0} {
		if err := s.RevokeKey(t.Context(), by, k.ID, at(6+int(by%3))); err != nil {
			t.Fatal(err)
		}
	}
	k.RevokedAt = at(6 + int(u.ID%3)) // the first time counts
	wantKey(t, s, k, u)
	if err := s.RevokeKey(t.Context(), 0, second.ID, at(9)); err != nil {
		t.Fatal(err)
	}
	second.RevokedAt = at(9)
	wantKey(t, s, second, u)
}

func keysTouched(t *testing.T, s account.Store) {
	u := addUser(t, s, user(1))
	k := addKey(t, s, apiKey(1, u.ID))
	for _, seconds := range []int{5, 9, 7} {
		if err := s.TouchKey(t.Context(), k.ID, at(seconds)); err != nil {
			t.Fatal(err)
		}
	}
	k.LastUsedAt = at(9) // forward only
	wantKey(t, s, k, u)
}

func keyPages(t *testing.T, s account.Store, u account.ID, limit int) (got []account.Key) {
	t.Helper()
	for page := (account.Page{Limit: limit}); ; {
		keys, next, err := s.ListKeys(t.Context(), u, page)
		if err != nil || len(keys) > limit {
			t.Fatalf("%d keys, error %v", len(keys), err)
		}
		got = append(got, keys...)
		if page.After = next; next == "" {
			return got
		}
	}
}

func keysPages(t *testing.T, s account.Store) {
	u := addUser(t, s, user(1))
	for _, n := range []int{5, 0, 3, 1, 2, 4, 6} {
		k := apiKey(n, u.ID)
		k.CreatedAt = at(n / 2)
		addKey(t, s, k)
	}
	for _, limit := range []int{1, 3, 7, 500} {
		wantOldestFirst(t, keyPages(t, s, u.ID, limit),
			func(k account.Key) (time.Time, string) { return k.CreatedAt, string(k.ID) }, 7)
	}
	if _, _, err := s.ListKeys(t.Context(), u.ID, account.Page{Limit: 5, After: "no cursor!"}); !fault.Is(err, fault.ValidationFailed) {
		t.Errorf("ListKeys after nonsense: %v", err)
	}
}

func keysPagesOfUser(t *testing.T, s account.Store) {
	for n := 1; n <= 2; n++ {
		u := addUser(t, s, user(n))
		for i := range 4 {
			addKey(t, s, apiKey(10*n+i, u.ID))
		}
	}
	for _, k := range keyPages(t, s, user(2).ID, 3) {
		if k.User != user(2).ID {
			t.Errorf("key %s of user %d", k.ID, k.User)
		}
	}
	if got := keyPages(t, s, 99, 3); len(got) != 0 {
		t.Errorf("a user without keys has %d", len(got))
	}
}

func accountsCancelled(t *testing.T, s account.Store) {
	u := addUser(t, s, user(1))
	k := addKey(t, s, apiKey(1, u.ID))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := map[string]error{
		"AddUser":    s.AddUser(ctx, user(2)),
		"UpdateUser": s.UpdateUser(ctx, u),
		"AddKey":     s.AddKey(ctx, apiKey(2, u.ID)),
		"RevokeKey":  s.RevokeKey(ctx, 0, k.ID, at(1)),
	}
	_, errs["User"] = s.User(ctx, u.ID)
	_, errs["UserByEmail of nobody"] = s.UserByEmail(ctx, "nobody@example.com")
	_, _, errs["KeyByHash"] = s.KeyByHash(ctx, k.Hash)
	_, _, errs["ListUsers"] = s.ListUsers(ctx, account.Page{Limit: 1})
	_, _, errs["ListKeys"] = s.ListKeys(ctx, u.ID, account.Page{Limit: 1})
	for method, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want context.Canceled", method, err)
		}
	}
	wantUser(t, s, u)
	wantKey(t, s, k, u)
	_, err := s.User(t.Context(), user(2).ID)
	wantCode(t, "User that was not added", err, fault.NotFound)
}
