// Package account says who acts and what they may do: users, their API keys,
// and the actor that a request is made by.
//
// It guarantees that a key's secret is never stored: only its SHA-256 is, and
// the secret has 190 random bits, so that the hash can't be searched. Start
// reading at Actor, then at Directory.
package account

import (
	"context"
	"encoding/binary"
	"io"
	"time"

	"kurz/internal/fault"
)

// ID names a user. It is random, 63 bits, never 0: 0 is nobody.
type ID int64

// Role is what a user may do to what belongs to others.
type Role string

// The roles.
const (
	Member Role = "member"
	Admin  Role = "admin"
)

// Tier is how much a user may do.
type Tier string

// The tiers.
const (
	Free    Tier = "free"
	Premium Tier = "premium"
)

// User is someone who owns links.
type User struct {
	ID        ID
	Email     string // lower case; unique
	Role      Role
	Tier      Tier
	CreatedAt time.Time
	// DisabledAt, where set, is since when none of the user's keys works.
	DisabledAt time.Time
	Version    int64 // 1 when made, one more with each change
}

// KeyID names an API key: "key_" and base 62.
type KeyID string

// Key is an API key as it is stored: without its secret.
type Key struct {
	ID   KeyID
	User ID
	Name string
	// Hint is the secret's first characters, for people to tell keys apart.
	Hint      string
	Hash      Hash
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not revoked
	// LastUsedAt is right to within a minute.
	LastUsedAt time.Time
}

// Page bounds one page of a listing, oldest first.
type Page struct {
	Limit int    // 1 to 500
	After string // the Next of the page before; "" for the first
}

// Store keeps users and keys. All methods may block and are safe for
// concurrent use. What is not there is fault.NotFound. A change is durable,
// and seen by every node's next call, when the method returns nil.
type Store interface {
	Users
	Keys
}

// Users keeps users.
type Users interface {
	// AddUser adds a user whose ID and email are free, else fault.AlreadyExists.
	AddUser(ctx context.Context, u User) error
	// UpdateUser replaces the user if its stored version is u.Version, and
	// makes it u.Version+1. Another version is fault.PreconditionFailed; an
	// email of another user is fault.AlreadyExists.
	UpdateUser(ctx context.Context, u User) error
	// User reads one user by ID.
	User(ctx context.Context, id ID) (User, error)
	// UserByEmail reads one user by the lower-case email.
	UserByEmail(ctx context.Context, email string) (User, error)
	// ListUsers gives one page and the After of the next, "" at the end.
	ListUsers(ctx context.Context, p Page) (users []User, next string, err error)
}

// Keys keeps API keys.
type Keys interface {
	// AddKey adds a key. Where a key of the same ID and user exists, its hash
	// and hint are replaced: the same operation was begun before and its
	// secret reached nobody. The same ID with another user, or a hash that
	// another key has, is fault.AlreadyExists.
	AddKey(ctx context.Context, k Key) error
	// KeyByHash reads a key and its user, revoked and expired ones too.
	KeyByHash(ctx context.Context, h Hash) (Key, User, error)
	// ListKeys gives one page of a user's keys and the After of the next.
	ListKeys(ctx context.Context, user ID, p Page) (keys []Key, next string, err error)
	// RevokeKey sets RevokedAt unless it is set already. A key of another user
	// is fault.NotFound, unless user is 0, which stands for any.
	RevokeKey(ctx context.Context, user ID, id KeyID, at time.Time) error
	// TouchKey moves LastUsedAt forward to at. An unknown key is no error. It
	// need not be durable.
	TouchKey(ctx context.Context, id KeyID, at time.Time) error
}

// NewID draws a user's ID from rand.
func NewID(rand io.Reader) (ID, error) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, err
		}
		if id := ID(binary.BigEndian.Uint64(b[:]) >> 1); id != 0 {
			return id, nil
		}
	}
}

// Actor is who makes a request. The zero Actor is anonymous.
type Actor struct {
	User  ID
	Key   KeyID
	Email string
	Role  Role
	Tier  Tier
}

// Operator is the actor of commands run on the data folder: whoever can read
// the data may do everything.
func Operator() Actor { return Actor{Role: Admin, Tier: Premium} }

// Anonymous reports whether nobody is known to act.
func (a Actor) Anonymous() bool { return a.User == 0 && a.Role != Admin }

// IsAdmin reports whether the actor may act for everybody.
func (a Actor) IsAdmin() bool { return a.Role == Admin }

// MayManage reports with nil that the actor may read in detail, change and
// delete what belongs to owner; otherwise fault.Unauthorized for an anonymous
// actor and fault.Forbidden for another user. What has no owner is the admins'.
func (a Actor) MayManage(owner ID) error {
	switch {
	case a.IsAdmin():
		return nil
	case a.Anonymous():
		return fault.New(fault.Unauthorized, "An API key is needed: send it as 'Authorization: Bearer kurz_…'")
	case owner == 0 || a.User != owner:
		return fault.New(fault.Forbidden, "This link belongs to someone else")
	}
	return nil
}
