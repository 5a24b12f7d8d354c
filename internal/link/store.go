package link

import (
	"context"
	"errors"
	"slices"
	"time"

	"kurz/internal/account"
)

// Store keeps links. All methods may block and are safe for concurrent use.
// What is not there is fault.URLNotFound, and only that code may be remembered
// as "not there"; a store that can't be asked answers fault.Unavailable. A
// context that has ended gives its own error, and nothing is done.
type Store interface {
	Walker

	// Insert stores n.Link if its key is free, atomically with the search that
	// n.Match asks for. When it returns nil the result is durable and seen by
	// every later read.
	//
	//   - A link with n.Link.Operation (unless zero) exists: the same creation
	//     was done before. It is given back with Repeated.
	//   - n.Match finds a link: the oldest one (the lowest ID) is given back with
	//     Found. Two racing Inserts with the same Match make one link.
	//   - The key belongs to a link, revoked and expired ones too:
	//     fault.AliasTaken.
	//   - The ID belongs to a link: ErrIDTaken.
	//   - Otherwise n.Link is stored and given back with Inserted.
	Insert(ctx context.Context, n New) (Link, Outcome, error)

	// InsertMany is Insert for each of a list, which may be empty, in its order:
	// what one meets may be one before it. The nth that is given is what became of
	// the nth, and what Insert would give is durable. An error of the call itself
	// leaves open which of them are stored.
	InsertMany(ctx context.Context, list []New) ([]Made, error)

	// Update replaces the link of l.Key if its stored version is l.Version,
	// and gives it l.Version+1; another version is fault.PreconditionFailed.
	// Key, ID, Owner, ContentID, Alias, CreatedAt, Operation and PriorClicks stay
	// what they were. If the change would leave two unrevoked links of one owner with
	// one (ContentID, Destination), judged at l.UpdatedAt, it is
	// fault.AlreadyExists and nothing changes; links without an owner or a
	// ContentID are never such. The changed link is durable, seen by every later read, and in
	// Changes.
	Update(ctx context.Context, l Link) (Link, error)

	// Get reads a link with everything.
	Get(ctx context.Context, k Key) (Link, error)

	// Route reads what a redirect needs.
	Route(ctx context.Context, k Key) (Route, error)

	// Keys gives the keys of links by their IDs, at most 500; one that no link
	// has is missing. A link keeps its key for ever, revoked or not.
	Keys(ctx context.Context, ids []ID) (map[ID]Key, error)

	// Page gives the links that q selects in its order, at most q.Limit, and
	// the cursor of the next page, the zero Cursor at the end. Links made or
	// changed while someone pages neither repeat nor hide others.
	Page(ctx context.Context, q Query) ([]Link, Cursor, error)

	// Changes gives, oldest first, the keys that after the given mark were
	// updated by any process or made by another one, at most 1,000, and the
	// new mark; those made through this Store may be in it. A negative mark
	// gives no keys and the present mark. At least the last 100,000 changes
	// are kept; who is further behind gets ErrBehind.
	Changes(ctx context.Context, after int64) (keys []Key, mark int64, err error)
}

// Walker is the part of a Store that goes through all keys.
type Walker interface {
	// Walk gives at most n keys behind the given one, in an order of the
	// Store's own that never changes; fewer than n are the last. The zero Key
	// begins. A link made while someone walks may be left out; one made before
	// is not.
	Walk(ctx context.Context, after Key, n int) ([]Key, error)
}

// Upkeep is the part of a Store that keeps an index for Page, in the background.
type Upkeep interface {
	// Tidy brings the index up to date as far as it is worth it, and returns when
	// nothing is left to do or ctx ends. Page is right without it, but slow where
	// there are many links. It is called by one caller at a time.
	Tidy(ctx context.Context) error
}

// ErrBehind says that changes after a mark are kept no longer: go on with a
// negative mark, knowing nothing of what was before.
var ErrBehind = errors.New("changes after the mark are kept no longer")

// ErrIDTaken says that another link has the ID: draw another.
var ErrIDTaken = errors.New("link ID is taken")

// New is what Insert stores.
type New struct {
	Link  Link
	Match Match
	// At is the moment at which Match judges what is revoked or expired.
	At time.Time
}

// Match says which existing link of the same owner stands in for a new one. A
// link without an owner matches nothing.
type Match uint8

// The matches.
const (
	MatchNone        Match = iota
	MatchContent           // the same (owner, ContentID, Destination), unrevoked
	MatchDestination       // the same (owner, Destination), neither revoked nor expired
)

// Outcome says what Insert did.
type Outcome uint8

// The outcomes.
const (
	Inserted Outcome = iota + 1
	Found            // by Match; nothing was stored
	Repeated         // by Operation; nothing was stored
)

// Made is what became of one creation among many. Err is that of this one alone.
type Made struct {
	Link    Link
	Outcome Outcome
	Err     error
}

// Query selects and orders links.
type Query struct {
	Owner account.ID // 0: everybody's
	// Domain, unless nil, keeps only links of that domain.
	Domain *Domain
	// Text keeps links in whose code, title, destination or tags each of its
	// words is found, as a part of one of them; see Words and Fold.
	Text     string
	Tag      string    // keeps links with exactly this tag
	Status   Status    // keeps links with this status at Now; "" all
	Now      time.Time // for Status
	Archived Archived
	Sort     Sort
	Limit    int // 1 to 500
	After    Cursor
}

// Archived says what a Query does about archived links.
type Archived uint8

// The choices.
const (
	LeaveArchived Archived = iota // they are left out
	OnlyArchived
	AlsoArchived
)

// Filter gives a function that tells which links the query selects, its cursor
// apart.
func (q *Query) Filter() func(l *Link) bool {
	words := Words(q.Text)
	return func(l *Link) bool {
		return (q.Owner == 0 || l.Owner == q.Owner) &&
			(q.Domain == nil || l.Domain == *q.Domain) &&
			(q.Archived == AlsoArchived || l.ArchivedAt.IsZero() == (q.Archived == LeaveArchived)) &&
			(q.Tag == "" || slices.Contains(l.Tags, q.Tag)) &&
			(q.Status == "" || l.Status(q.Now) == q.Status) &&
			l.hasWords(words)
	}
}

// Cache is a tier before the Store: the memory of one node, or Redis for all of
// them. It may forget anything at any time. Errors mean that it can't be asked;
// callers go on without it. All methods may block for a short, bounded time
// (memory does not, nor does it fail), and are safe for concurrent use.
type Cache interface {
	// Get gives the route kept for a key; ok is false where none is. A route
	// kept as "not there" has Version 0. LoadedAt may be up to 100 ms before
	// what it was.
	Get(ctx context.Context, k Key) (r Route, ok bool, err error)
	// Put keeps a copy of a route. It never replaces
	// one of a higher version, nor does it store one below the version last
	// given to Forget, for at least TombstoneTime after that.
	Put(ctx context.Context, k Key, r *Route) error
	// Forget drops the route of a key unless its version is at least the given
	// one, and leaves a tombstone, so that a reader that loaded the old route
	// before the change can't put it back.
	Forget(ctx context.Context, k Key, version int64) error
}

// TombstoneTime is for how long Forget keeps older versions out: longer than
// any read of a Store lasts.
const TombstoneTime = 30 * time.Second
