package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"kurz/internal/account"
	"kurz/internal/fault"
)

// Accounts is an account.Store.
type Accounts struct{ db *DB }

var _ account.Store = (*Accounts)(nil)

// NewAccounts gives the store kept in a file of schema Main.
func NewAccounts(db *DB) *Accounts { return &Accounts{db: db} }

const (
	userColumns = `users.id, users.email, users.role, users.tier, users.created_at, users.disabled_at, users.version`
	selectUser  = `SELECT ` + userColumns + ` FROM users WHERE `
	insertUser  = `INSERT INTO users (id, email, role, tier, created_at, disabled_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	updateUser = `UPDATE users SET email = ?, role = ?, tier = ?, created_at = ?, disabled_at = ?, version = version + 1
		WHERE id = ? AND version = ?`
	listUsers = `SELECT ` + userColumns + ` FROM users WHERE (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?`

	keyColumns = `api_keys.id, api_keys.user, api_keys.name, api_keys.hint, api_keys.hash,
		api_keys.created_at, api_keys.expires_at, api_keys.revoked_at, api_keys.last_used_at`
	insertKey = `INSERT INTO api_keys (id, user, name, hint, hash, created_at, expires_at, revoked_at, last_used_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, hint = excluded.hint WHERE user = excluded.user`
	selectKey = `SELECT ` + keyColumns + `, ` + userColumns + ` FROM api_keys JOIN users ON users.id = api_keys.user
		WHERE api_keys.hash = ?`
	listKeys = `SELECT ` + keyColumns + ` FROM api_keys WHERE user = ? AND (created_at, id) > (?, ?)
		ORDER BY created_at, id LIMIT ?`
	revokeKey = `UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?1) WHERE id = ?2 AND (user = ?3 OR ?3 = 0)`
	touchKey  = `UPDATE api_keys SET last_used_at = ?1 WHERE id = ?2 AND (last_used_at IS NULL OR last_used_at < ?1)`
)

// AddUser is that of account.Users.
func (s *Accounts) AddUser(ctx context.Context, u account.User) error {
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		n, err := change(c, insertUser, func(b *binder) {
			b.int(int64(u.ID))
			b.text(u.Email)
			b.text(string(u.Role))
			b.text(string(u.Tier))
			b.int(u.CreatedAt.UnixMilli())
			b.time(u.DisabledAt)
			b.int(u.Version)
		})
		if err == nil && n == 0 {
			err = userExists()
		}
		return err
	})
}

// UpdateUser is that of account.Users.
func (s *Accounts) UpdateUser(ctx context.Context, u account.User) error {
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		n, err := change(c, updateUser, func(b *binder) {
			b.text(u.Email)
			b.text(string(u.Role))
			b.text(string(u.Tier))
			b.int(u.CreatedAt.UnixMilli())
			b.time(u.DisabledAt)
			b.int(int64(u.ID))
			b.int(u.Version)
		})
		switch {
		case duplicate(err):
			return userExists()
		case err != nil || n > 0:
			return err
		}
		if _, err := oneUser(c, `id = ?`, func(b *binder) { b.int(int64(u.ID)) }); err != nil {
			return err
		}
		return fault.New(fault.PreconditionFailed, "The user was changed meanwhile: read it again")
	})
}

// User is that of account.Users.
func (s *Accounts) User(ctx context.Context, id account.ID) (u account.User, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) (err error) {
		u, err = oneUser(c, `id = ?`, func(b *binder) { b.int(int64(id)) })
		return err
	})
	return u, err
}

// UserByEmail is that of account.Users.
func (s *Accounts) UserByEmail(ctx context.Context, email string) (u account.User, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) (err error) {
		u, err = oneUser(c, `email = ?`, func(b *binder) { b.text(email) })
		return err
	})
	return u, err
}

func oneUser(c *sqlite.Conn, where string, bind func(*binder)) (u account.User, err error) {
	found := false
	err = query(c, selectUser+where, bind, func(r *cells) bool {
		u, found = readUser(r), true
		return false
	})
	if err == nil && !found {
		err = fault.New(fault.NotFound, "No such user")
	}
	return u, err
}

// ListUsers is that of account.Users.
func (s *Accounts) ListUsers(ctx context.Context, p account.Page) ([]account.User, string, error) {
	created, idText, err := parsePlace(p.After)
	if err != nil {
		return nil, "", err
	}
	id := int64(0) // below every ID
	if p.After != "" {
		if id, err = strconv.ParseInt(idText, 10, 64); err != nil {
			return nil, "", badCursor()
		}
	}
	var users []account.User
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		return query(c, listUsers, func(b *binder) {
			b.int(created)
			b.int(id)
			b.int(int64(p.Limit) + 1)
		}, func(r *cells) bool {
			users = append(users, readUser(r))
			return true
		})
	})
	if err != nil || len(users) <= p.Limit {
		return users, "", err
	}
	last := users[p.Limit-1]
	return users[:p.Limit], place(last.CreatedAt, strconv.FormatInt(int64(last.ID), 10)), nil
}

// AddKey is that of account.Keys.
func (s *Accounts) AddKey(ctx context.Context, k account.Key) error {
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		n, err := change(c, insertKey, func(b *binder) {
			b.text(string(k.ID))
			b.int(int64(k.User))
			b.text(k.Name)
			b.text(k.Hint)
			b.blob(k.Hash[:])
			b.int(k.CreatedAt.UnixMilli())
			b.time(k.ExpiresAt)
			b.time(k.RevokedAt)
			b.time(k.LastUsedAt)
		})
		if duplicate(err) || err == nil && n == 0 {
			err = fault.New(fault.AlreadyExists, "An API key with this ID exists")
		}
		return err
	})
}

// KeyByHash is that of account.Keys.
func (s *Accounts) KeyByHash(ctx context.Context, h account.Hash) (k account.Key, u account.User, err error) {
	found := false
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		return query(c, selectKey, func(b *binder) { b.blob(h[:]) }, func(r *cells) bool {
			k, u, found = readKey(r), readUser(r), true
			return false
		})
	})
	if err == nil && !found {
		err = noKey()
	}
	return k, u, err
}

// ListKeys is that of account.Keys.
func (s *Accounts) ListKeys(ctx context.Context, user account.ID, p account.Page) ([]account.Key, string, error) {
	created, id, err := parsePlace(p.After)
	if err != nil {
		return nil, "", err
	}
	var keys []account.Key
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		return query(c, listKeys, func(b *binder) {
			b.int(int64(user))
			b.int(created)
			b.text(id)
			b.int(int64(p.Limit) + 1)
		}, func(r *cells) bool {
			keys = append(keys, readKey(r))
			return true
		})
	})
	if err != nil || len(keys) <= p.Limit {
		return keys, "", err
	}
	last := keys[p.Limit-1]
	return keys[:p.Limit], place(last.CreatedAt, string(last.ID)), nil
}

// RevokeKey is that of account.Keys.
func (s *Accounts) RevokeKey(ctx context.Context, user account.ID, id account.KeyID, at time.Time) error {
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		n, err := change(c, revokeKey, func(b *binder) {
			b.int(at.UnixMilli())
			b.text(string(id))
			b.int(int64(user))
		})
		if err == nil && n == 0 {
			err = noKey()
		}
		return err
	})
}

// TouchKey is that of account.Keys.
func (s *Accounts) TouchKey(ctx context.Context, id account.KeyID, at time.Time) error {
	return s.db.write(ctx, func(c *sqlite.Conn) error {
		_, err := change(c, touchKey, func(b *binder) {
			b.int(at.UnixMilli())
			b.text(string(id))
		})
		return err
	})
}

func readUser(r *cells) account.User {
	return account.User{
		ID: account.ID(r.int()), Email: r.text(), Role: account.Role(r.text()), Tier: account.Tier(r.text()),
		CreatedAt: r.time(), DisabledAt: r.time(), Version: r.int(),
	}
}

func readKey(r *cells) account.Key {
	k := account.Key{ID: account.KeyID(r.text()), User: account.ID(r.int()), Name: r.text(), Hint: r.text()}
	r.blob(k.Hash[:])
	k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt = r.time(), r.time(), r.time(), r.time()
	return k
}

// place gives the text of a place in a listing by creation and ID.
func place(created time.Time, id string) string {
	return fmt.Sprintf("%d.%s", created.UnixMilli(), id)
}

// parsePlace reads what place gave; "" is before everything.
func parsePlace(text string) (created int64, id string, err error) {
	if text == "" {
		return -1 << 63, "", nil
	}
	ms, id, ok := strings.Cut(text, ".")
	created, err = strconv.ParseInt(ms, 10, 64)
	if err != nil || !ok {
		return 0, "", badCursor()
	}
	return created, id, nil
}

func badCursor() error {
	return fault.Invalid("cursor", "is not one that this listing gave out: leave it out to begin again")
}

func noKey() error      { return fault.New(fault.NotFound, "No such API key") }
func userExists() error { return fault.New(fault.AlreadyExists, "A user with this email exists") }
