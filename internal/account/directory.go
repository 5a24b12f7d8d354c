package account

import (
	"context"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"kurz/internal/fault"
)

// Bounds of what people write, in bytes.
const (
	MaxEmail   = 254 // RFC 5321, section 4.5.3.1.3
	MaxKeyName = 100
)

const (
	// knownFor is for how long an accepted key is not looked up again: no
	// longer than a change may take to be seen on every node.
	knownFor = time.Second
	// maxKnown bounds the accepted keys remembered.
	maxKnown = 10_000
	// touchEvery is how exact a key's last use is.
	touchEvery = time.Minute
)

// Directory holds the rules for users and keys, and recognises who asks. It is
// safe for concurrent use.
type Directory struct {
	store Store
	now   func() time.Time
	rand  io.Reader

	mu    sync.RWMutex
	known map[Hash]acquaintance
}

// acquaintance is a key that was accepted lately.
type acquaintance struct {
	actor   Actor
	until   time.Time
	touched time.Time
}

// NewDirectory makes a Directory from a store, a clock and a secure source of
// randomness.
func NewDirectory(store Store, now func() time.Time, rand io.Reader) *Directory {
	return &Directory{store: store, now: now, rand: rand, known: make(map[Hash]acquaintance)}
}

// Authenticate tells whose secret this is. Anything but a good key of a user
// who is not disabled is fault.Unauthorized; all such answers are alike.
func (d *Directory) Authenticate(ctx context.Context, secret string) (Actor, error) {
	parsed, ok := ParseSecret(secret)
	if !ok {
		return Actor{}, unknownKey()
	}
	hash, now := parsed.Hash(), d.now()
	d.mu.RLock()
	a, ok := d.known[hash]
	d.mu.RUnlock()
	if ok && now.Before(a.until) {
		return a.actor, nil
	}
	key, user, err := d.store.KeyByHash(ctx, hash)
	switch {
	case fault.Is(err, fault.NotFound):
		return Actor{}, unknownKey()
	case err != nil:
		return Actor{}, err
	case !key.RevokedAt.IsZero() && !now.Before(key.RevokedAt),
		!key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt),
		!user.DisabledAt.IsZero() && !now.Before(user.DisabledAt):
		return Actor{}, unknownKey()
	}
	actor := Actor{User: user.ID, Key: key.ID, Email: user.Email, Role: user.Role, Tier: user.Tier}
	d.remember(ctx, hash, key, actor, now)
	return actor, nil
}

func unknownKey() error {
	return fault.New(fault.Unauthorized, "The API key is unknown, expired or revoked")
}

// remember keeps an accepted key for a moment and notes its use. That the note
// can't be stored is no reason to turn the user away.
func (d *Directory) remember(ctx context.Context, hash Hash, key Key, actor Actor, now time.Time) {
	until := now.Add(knownFor)
	if !key.ExpiresAt.IsZero() && key.ExpiresAt.Before(until) {
		until = key.ExpiresAt
	}
	d.mu.Lock()
	last := d.known[hash].touched
	if key.LastUsedAt.After(last) {
		last = key.LastUsedAt
	}
	due := now.Sub(last) >= touchEvery
	if due {
		last = now
	}
	if len(d.known) >= maxKnown {
		clear(d.known)
	}
	d.known[hash] = acquaintance{actor: actor, until: until, touched: last}
	d.mu.Unlock()
	if due {
		_ = d.store.TouchKey(ctx, key.ID, now)
	}
}

// AddUser adds a user. An address that is no email, or an unknown role or tier,
// is fault.ValidationFailed; one that is in use is fault.AlreadyExists.
func (d *Directory) AddUser(ctx context.Context, email string, role Role, tier Tier) (User, error) {
	email, err := ParseEmail(email)
	if err != nil {
		return User{}, err
	}
	if _, err := ParseRole(string(role)); err != nil {
		return User{}, err
	}
	if _, err := ParseTier(string(tier)); err != nil {
		return User{}, err
	}
	id, err := NewID(d.rand)
	if err != nil {
		return User{}, err
	}
	u := User{ID: id, Email: email, Role: role, Tier: tier, CreatedAt: d.time(), Version: 1}
	return u, d.store.AddUser(ctx, u)
}

// UpdateUser stores a changed user; see Users.UpdateUser. Keys used within the
// last second may go on for the rest of it.
func (d *Directory) UpdateUser(ctx context.Context, u User) error {
	return d.store.UpdateUser(ctx, u)
}

// User reads a user by ID.
func (d *Directory) User(ctx context.Context, id ID) (User, error) { return d.store.User(ctx, id) }

// UserByEmail reads a user by email, in any case.
func (d *Directory) UserByEmail(ctx context.Context, email string) (User, error) {
	email, err := ParseEmail(email)
	if err != nil {
		return User{}, err
	}
	u, err := d.store.UserByEmail(ctx, email)
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.NotFound, "No such user: %s", email)
	}
	return u, err
}

// Users lists users.
func (d *Directory) Users(ctx context.Context, p Page) ([]User, string, error) {
	return d.store.ListUsers(ctx, p)
}

// Headless reports whether there is no admin yet.
func (d *Directory) Headless(ctx context.Context) (bool, error) {
	for p := (Page{Limit: 500}); ; {
		users, next, err := d.store.ListUsers(ctx, p)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(users, func(u User) bool { return u.Role == Admin }) {
			return false, nil
		}
		if next == "" {
			return true, nil
		}
		p.After = next
	}
}

// NewKey asks for an API key.
type NewKey struct {
	User      ID
	Name      string
	ExpiresAt time.Time // zero: never
	// ID, unless "", is that of an earlier attempt at the same key, whose
	// secret reached nobody.
	ID KeyID
}

// CreateKey makes a key and gives its secret, which is not stored and can't be
// had again.
func (d *Directory) CreateKey(ctx context.Context, n NewKey) (Key, Secret, error) {
	name := strings.TrimSpace(n.Name)
	switch {
	case name == "":
		return Key{}, "", fault.Invalid("name", "is missing: say what the key is for")
	case len(name) > MaxKeyName || !utf8.ValidString(name):
		return Key{}, "", fault.Invalid("name", "must be text of at most %d bytes", MaxKeyName)
	case !n.ExpiresAt.IsZero() && !n.ExpiresAt.After(d.now()):
		return Key{}, "", fault.Invalid("expires_at", "lies in the past")
	}
	secret, err := NewSecret(d.rand)
	if err != nil {
		return Key{}, "", err
	}
	if n.ID == "" {
		if n.ID, err = NewKeyID(d.rand); err != nil {
			return Key{}, "", err
		}
	}
	k := Key{
		ID: n.ID, User: n.User, Name: name, Hint: secret.Hint(), Hash: secret.Hash(),
		CreatedAt: d.time(),
	}
	if !n.ExpiresAt.IsZero() {
		k.ExpiresAt = n.ExpiresAt.UTC().Truncate(time.Millisecond)
	}
	if err := d.store.AddKey(ctx, k); err != nil {
		return Key{}, "", err
	}
	return k, secret, nil
}

// Keys lists the actor's keys.
func (d *Directory) Keys(ctx context.Context, a Actor, p Page) ([]Key, string, error) {
	return d.store.ListKeys(ctx, a.User, p)
}

// KeysOf lists a user's keys, for the operator.
func (d *Directory) KeysOf(ctx context.Context, user ID, p Page) ([]Key, string, error) {
	return d.store.ListKeys(ctx, user, p)
}

// RevokeKey ends a key of the actor; an admin ends anyone's. On this node it
// works at once, on others within a second.
func (d *Directory) RevokeKey(ctx context.Context, a Actor, id KeyID) error {
	user := a.User
	if a.IsAdmin() {
		user = 0
	} else if user == 0 {
		return fault.New(fault.NotFound, "No such key")
	}
	if err := d.store.RevokeKey(ctx, user, id, d.time()); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for hash, known := range d.known {
		if known.actor.Key == id {
			delete(d.known, hash)
		}
	}
	return nil
}

func (d *Directory) time() time.Time { return d.now().UTC().Truncate(time.Millisecond) }

// ParseEmail gives an address in lower case; fault.ValidationFailed otherwise.
func ParseEmail(s string) (string, error) {
	s = strings.TrimSpace(s)
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > MaxEmail || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' }) {
		return "", fault.Invalid("email", "must be an address such as ann@example.com")
	}
	return strings.ToLower(s), nil
}

// ParseRole reads a role; fault.ValidationFailed otherwise.
func ParseRole(s string) (Role, error) {
	if r := Role(s); r == Member || r == Admin {
		return r, nil
	}
	return "", fault.Invalid("role", "must be member or admin")
}

// ParseTier reads a tier; fault.ValidationFailed otherwise.
func ParseTier(s string) (Tier, error) {
	if t := Tier(s); t == Free || t == Premium {
		return t, nil
	}
	return "", fault.Invalid("tier", "must be free or premium")
}

const idPrefix = "usr_"

// String gives the ID's text in the API, "" for nobody.
func (id ID) String() string {
	if id == 0 {
		return ""
	}
	return idPrefix + strconv.FormatInt(int64(id), 36)
}

// ParseID reads what String wrote; fault.ValidationFailed otherwise.
func ParseID(s string) (ID, error) {
	rest, ok := strings.CutPrefix(s, idPrefix)
	n, err := strconv.ParseInt(rest, 36, 64)
	if id := ID(n); ok && err == nil && n > 0 && id.String() == s {
		return id, nil
	}
	return 0, fault.Invalid("owner", "must be a user's ID such as %s", fmt.Sprint(ID(36*36)))
}
