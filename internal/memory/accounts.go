package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// Accounts is an account.Store.
type Accounts struct {
	mu    sync.RWMutex
	users map[account.ID]account.User
	keys  map[account.KeyID]account.Key
}

var _ account.Store = (*Accounts)(nil)

// NewAccounts makes an empty store.
func NewAccounts() *Accounts {
	return &Accounts{users: map[account.ID]account.User{}, keys: map[account.KeyID]account.Key{}}
}

// AddUser is that of account.Users.
func (s *Accounts) AddUser(ctx context.Context, u account.User) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.users[u.ID]; taken || s.emailTaken(u) {
		return userExists()
	}
	s.users[u.ID] = inUTC(u)
	return nil
}

// UpdateUser is that of account.Users.
func (s *Accounts) UpdateUser(ctx context.Context, u account.User) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch old, ok := s.users[u.ID]; {
	case !ok:
		return noUser()
	case old.Version != u.Version:
		return fault.New(fault.PreconditionFailed, "The user was changed meanwhile: read it again")
	case s.emailTaken(u):
		return userExists()
	}
	u.Version++
	s.users[u.ID] = inUTC(u)
	return nil
}

func (s *Accounts) emailTaken(u account.User) bool {
	for _, other := range s.users {
		if other.Email == u.Email && other.ID != u.ID {
			return true
		}
	}
	return false
}

// User is that of account.Users.
func (s *Accounts) User(ctx context.Context, id account.ID) (account.User, error) {
	if err := ctx.Err(); err != nil {
		return account.User{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if u, ok := s.users[id]; ok {
		return u, nil
	}
	return account.User{}, noUser()
}

// UserByEmail is that of account.Users.
func (s *Accounts) UserByEmail(ctx context.Context, email string) (account.User, error) {
	if err := ctx.Err(); err != nil {
		return account.User{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, u := range s.users {
		if u.Email == email {
			return u, nil
		}
	}
	return account.User{}, noUser()
}

// ListUsers is that of account.Users.
func (s *Accounts) ListUsers(ctx context.Context, p account.Page) ([]account.User, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := slices.Collect(maps.Values(s.users))
	return pageOf(all, p, func(u account.User) string { return placeOf(u.CreatedAt, fmt.Sprintf("%020d", u.ID)) })
}

// AddKey is that of account.Keys.
func (s *Accounts) AddKey(ctx context.Context, k account.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.keys {
		if other.Hash == k.Hash && other.ID != k.ID {
			return keyExists()
		}
	}
	old, ok := s.keys[k.ID]
	if ok && old.User != k.User {
		return keyExists()
	}
	if ok {
		old.Hash, old.Hint = k.Hash, k.Hint
		k = old
	}
	for _, t := range []*time.Time{&k.CreatedAt, &k.ExpiresAt, &k.RevokedAt, &k.LastUsedAt} {
		*t = t.UTC()
	}
	s.keys[k.ID] = k
	return nil
}

// KeyByHash is that of account.Keys.
func (s *Accounts) KeyByHash(ctx context.Context, h account.Hash) (account.Key, account.User, error) {
	if err := ctx.Err(); err != nil {
		return account.Key{}, account.User{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, k := range s.keys {
		if k.Hash == h {
			return k, s.users[k.User], nil
		}
	}
	return account.Key{}, account.User{}, noKey()
}

// ListKeys is that of account.Keys.
func (s *Accounts) ListKeys(ctx context.Context, user account.ID, p account.Page) ([]account.Key, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []account.Key
	for _, k := range s.keys {
		if k.User == user {
			all = append(all, k)
		}
	}
	return pageOf(all, p, func(k account.Key) string { return placeOf(k.CreatedAt, string(k.ID)) })
}

// RevokeKey is that of account.Keys.
func (s *Accounts) RevokeKey(ctx context.Context, user account.ID, id account.KeyID, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[id]
	if !ok || user != 0 && k.User != user {
		return noKey()
	}
	if k.RevokedAt.IsZero() {
		k.RevokedAt = at.UTC()
		s.keys[id] = k
	}
	return nil
}

// TouchKey is that of account.Keys.
func (s *Accounts) TouchKey(ctx context.Context, id account.KeyID, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.keys[id]; ok && k.LastUsedAt.Before(at) {
		k.LastUsedAt = at.UTC()
		s.keys[id] = k
	}
	return nil
}

const placeLen = 20 // of the digits of a time

// placeOf gives a text that sorts as (created, id) does, for times since 1970.
func placeOf(created time.Time, id string) string {
	return fmt.Sprintf("%0*d", placeLen, created.UnixMilli()) + id
}

// pageOf gives the part of all that p asks for, ordered by place.
func pageOf[T any](all []T, p account.Page, place func(T) string) ([]T, string, error) {
	if p.After != "" {
		var created int64
		if n, err := fmt.Sscanf(p.After, "%020d", &created); n != 1 || err != nil || len(p.After) <= placeLen {
			return nil, "", fault.Invalid("cursor", "is not one that this listing gave out: leave it out to begin again")
		}
	}
	all = slices.DeleteFunc(all, func(v T) bool { return place(v) <= p.After })
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(place(a), place(b)) })
	if len(all) <= p.Limit {
		return all, "", nil
	}
	return all[:p.Limit], place(all[p.Limit-1]), nil
}

func inUTC(u account.User) account.User {
	u.CreatedAt, u.DisabledAt = u.CreatedAt.UTC(), u.DisabledAt.UTC()
	return u
}

func noUser() error     { return fault.New(fault.NotFound, "No such user") }
func noKey() error      { return fault.New(fault.NotFound, "No such API key") }
func userExists() error { return fault.New(fault.AlreadyExists, "A user with this email exists") }
func keyExists() error  { return fault.New(fault.AlreadyExists, "An API key with this ID exists") }
