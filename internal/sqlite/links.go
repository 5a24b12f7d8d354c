package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/search"
)

// Links is a link.Store.
type Links struct {
	// Breathe, unless nil, is called several times within a millisecond of
	// indexing.
	Breathe func()

	db     *DB
	beside bool
	index  index
}

var (
	_ link.Store  = (*Links)(nil)
	_ link.Upkeep = (*Links)(nil)
)

// NewLinks gives the store kept in a file of schema Main, for its server.
func NewLinks(db *DB) *Links {
	s := &Links{db: db, index: index{tailFrom: tailFrom, looseFrom: looseFrom, docs: search.MaxDocs}}
	s.index.behind.Store(true)
	return s
}

// NewLinksBeside is NewLinks for a process beside the server, which is told by
// Changes of the links that are made here.
func NewLinksBeside(db *DB) *Links {
	s := NewLinks(db)
	s.beside = true
	return s
}

const (
	linkColumns = `id, domain, code, owner, version, redirect_status, edge_ttl, forward_query,
		starts_at, expires_at, revoked_at, destination, expired_url, alias, created_at, updated_at,
		operation, content_id, title, tags, notes, prior_clicks, archived_at`
	selectLink = `SELECT ` + linkColumns + ` FROM links WHERE `

	selectRoute = `SELECT id, owner, version, redirect_status, edge_ttl, forward_query,
		starts_at, expires_at, revoked_at, destination, expired_url
		FROM links WHERE code = ? AND domain = ?`
	selectByKey       = selectLink + `code = ? AND domain = ?`
	selectByOperation = selectLink + `operation = ?`
	// The hash finds them and the rest makes sure.
	sameDestination     = `destination_key = ? AND owner = ? AND destination = ? AND (revoked_at IS NULL OR revoked_at > ?)`
	sameContent         = `content_key = ? AND owner = ? AND destination = ? AND (revoked_at IS NULL OR revoked_at > ?) AND content_id = ?`
	oldest              = ` ORDER BY id LIMIT 1`
	selectByDestination = selectLink + sameDestination + ` AND (expires_at IS NULL OR expires_at > ?)` + oldest
	selectByContent     = selectLink + sameContent + oldest
	selectByNoContent   = selectLink + sameDestination + ` AND content_id IS NULL` + oldest
	selectTwin          = `SELECT 1 FROM links WHERE ` + sameContent + ` AND id <> ? LIMIT 1`
	selectKeyOfID       = `SELECT domain, code FROM links WHERE id = ?`
	countID             = `SELECT count(*) FROM links WHERE id = ?`
	countOthers         = `SELECT domain, count(*) FROM links WHERE domain <> '' GROUP BY domain`

	// Which index stood in the way is found out afterwards, since it is rare.
	insertLink = `INSERT INTO links (` + linkColumns + `, destination_key, content_key)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`
	updateLink = `UPDATE links SET version = ?, redirect_status = ?, edge_ttl = ?, forward_query = ?,
		starts_at = ?, expires_at = ?, revoked_at = ?, destination = ?, expired_url = ?, updated_at = ?,
		title = ?, tags = ?, notes = ?, archived_at = ?, destination_key = ?, content_key = ? WHERE id = ?`
	// What is not among the links that the search index takes next is found
	// without it.
	selectTaken = `SELECT taken FROM search_state`
	insertLoose = `INSERT OR IGNORE INTO search_loose (link) SELECT ?1 FROM search_state WHERE taken >= ?1`

	// The index has all that is asked for.
	selectKeys = `SELECT domain, code FROM links WHERE (code, domain) > (?, ?) ORDER BY code, domain LIMIT ?`

	insertChange  = `INSERT INTO link_changes (domain, code) VALUES (?, ?)`
	trimChanges   = `DELETE FROM link_changes WHERE mark <= ?`
	selectChanges = `SELECT mark, domain, code FROM link_changes WHERE mark > ? ORDER BY mark LIMIT 1000`
	lastChange    = `SELECT coalesce(max(mark), 0) FROM link_changes`
)

// Changes keeps this many, and up to trimEvery more.
const (
	keptChanges = 100_000
	trimEvery   = 1_000
)

// OfOthers counts the links of each domain but the default one. It reads all keys.
func (s *Links) OfOthers(ctx context.Context) (map[link.Domain]int64, error) {
	found := map[link.Domain]int64{}
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		return query(c, countOthers, nil, func(r *cells) bool {
			domain := link.Domain(r.text())
			found[domain] = r.int()
			return true
		})
	})
	return found, err
}

// Update is that of link.Store.
func (s *Links) Update(ctx context.Context, l link.Link) (link.Link, error) {
	s.index.dirty.Store(true)
	l.Tags = slices.Clone(l.Tags)
	tags, err := encodeTags(l.Tags)
	if err != nil {
		return link.Link{}, err
	}
	err = s.db.write(ctx, func(c *sqlite.Conn) error {
		old, found, err := linkByKey(c, l.Key)
		switch {
		case err != nil:
			return err
		case !found:
			return noLink(l.Key)
		case old.Version != l.Version:
			return fault.New(fault.PreconditionFailed, "The link was changed meanwhile: read it again")
		}
		l.ID, l.Owner, l.ContentID, l.Alias = old.ID, old.Owner, old.ContentID, old.Alias
		l.CreatedAt, l.Operation, l.PriorClicks = old.CreatedAt, old.Operation, old.PriorClicks
		l.Version++
		if err := refuseTwin(c, &l); err != nil {
			return err
		}
		if _, err := change(c, updateLink, func(b *binder) { bindUpdate(b, &l, tags) }); err != nil {
			return err
		}
		if _, err := change(c, insertLoose, func(b *binder) { b.int(int64(l.ID)) }); err != nil {
			return err
		}
		return announce(c, l.Key)
	})
	if err != nil {
		return link.Link{}, err
	}
	inUTC(&l)
	return l, nil
}

// refuseTwin refuses l if it and another link would both be unrevoked for the
// same content.
func refuseTwin(c *sqlite.Conn, l *link.Link) error {
	_, contentKey := matchKeys(l)
	if contentKey == 0 || l.Status(l.UpdatedAt) == link.Revoked {
		return nil
	}
	twin := false
	err := query(c, selectTwin, func(b *binder) {
		bindContent(b, contentKey, l, l.UpdatedAt)
		b.int(int64(l.ID))
	}, func(*cells) bool { twin = true; return false })
	if err == nil && twin {
		err = fault.New(fault.AlreadyExists, "Another link of yours has this content_id and destination")
	}
	return err
}

// announce adds to what Changes gives, and trims it now and then.
func announce(c *sqlite.Conn, k link.Key) error {
	if _, err := change(c, insertChange, func(b *binder) { b.text(string(k.Domain)); b.text(string(k.Code)) }); err != nil {
		return err
	}
	mark := c.LastInsertRowID()
	if mark%trimEvery != 0 {
		return nil
	}
	_, err := change(c, trimChanges, func(b *binder) { b.int(mark - keptChanges) })
	return err
}

// Get is that of link.Store.
func (s *Links) Get(ctx context.Context, k link.Key) (l link.Link, err error) {
	found := false
	err = s.db.read(ctx, func(c *sqlite.Conn) (err error) {
		l, found, err = linkByKey(c, k)
		return err
	})
	if err == nil && !found {
		err = noLink(k)
	}
	return l, err
}

// Route is that of link.Store.
func (s *Links) Route(ctx context.Context, k link.Key) (r link.Route, err error) {
	found := false
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		return query(c, selectRoute, func(b *binder) { bindKey(b, k) }, func(row *cells) bool {
			found = true
			r = link.Route{
				ID: link.ID(row.int()), Owner: account.ID(row.int()), Version: row.int(),
				Status: int(row.int()), EdgeTTL: time.Duration(row.int()) * time.Millisecond,
				ForwardQuery: row.bool(), StartsAt: row.time(), ExpiresAt: row.time(), RevokedAt: row.time(),
				Destination: link.Href(row.text()), ExpiredURL: link.Href(row.text()),
			}
			return false
		})
	})
	if err == nil && !found {
		err = noLink(k)
	}
	return r, err
}

// Keys is that of link.Store.
func (s *Links) Keys(ctx context.Context, ids []link.ID) (map[link.ID]link.Key, error) {
	keys := make(map[link.ID]link.Key, len(ids))
	err := s.db.read(ctx, func(c *sqlite.Conn) error {
		for _, id := range ids {
			err := query(c, selectKeyOfID, func(b *binder) { b.int(int64(id)) }, func(r *cells) bool {
				keys[id] = link.Key{Domain: link.Domain(r.text()), Code: link.Code(r.text())}
				return false
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// Walk is that of link.Store.
func (s *Links) Walk(ctx context.Context, after link.Key, n int) (keys []link.Key, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		return query(c, selectKeys, func(b *binder) { bindKey(b, after); b.int(int64(n)) }, func(r *cells) bool {
			keys = append(keys, link.Key{Domain: link.Domain(r.text()), Code: link.Code(r.text())})
			return true
		})
	})
	return keys, err
}

// Changes is that of link.Store. Of changes it keeps the last 100,000.
func (s *Links) Changes(ctx context.Context, after int64) (keys []link.Key, mark int64, err error) {
	err = s.db.read(ctx, func(c *sqlite.Conn) error {
		mark = after
		if after >= 0 {
			gap := false
			err := query(c, selectChanges, func(b *binder) { b.int(after) }, func(r *cells) bool {
				// They are numbered without gaps; the oldest are dropped.
				next := r.int()
				if gap = next != mark+1; gap {
					return false
				}
				mark = next
				keys = append(keys, link.Key{Domain: link.Domain(r.text()), Code: link.Code(r.text())})
				return true
			})
			if gap && len(keys) == 0 {
				err = link.ErrBehind
			}
			if err != nil || len(keys) > 0 {
				return err
			}
		}
		last := int64(0)
		err := query(c, lastChange, nil, func(r *cells) bool { last = r.int(); return false })
		switch {
		case err != nil:
			return err
		case after < 0:
			mark = last
		case last < after: // the mark is not of this file
			return link.ErrBehind
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return keys, mark, nil
}

func noLink(k link.Key) error {
	return fault.New(fault.URLNotFound, "Short code '%s' not found", k.Code)
}

func linkByKey(c *sqlite.Conn, k link.Key) (link.Link, bool, error) {
	return oneLink(c, selectByKey, func(b *binder) { bindKey(b, k) })
}

func oneLink(c *sqlite.Conn, sql string, bind func(*binder)) (l link.Link, found bool, err error) {
	var bad error
	err = query(c, sql, bind, func(r *cells) bool {
		l, bad = readLink(r)
		found = true
		return false
	})
	if err == nil {
		err = bad
	}
	return l, found && err == nil, err
}

func readLink(r *cells) (link.Link, error) {
	l := link.Link{
		ID:  link.ID(r.int()),
		Key: link.Key{Domain: link.Domain(r.text()), Code: link.Code(r.text())}, Owner: account.ID(r.int()),
		Version: r.int(), RedirectStatus: int(r.int()), EdgeTTL: time.Duration(r.int()) * time.Millisecond,
		ForwardQuery: r.bool(), StartsAt: r.time(), ExpiresAt: r.time(), RevokedAt: r.time(),
		Destination: link.Href(r.text()), ExpiredURL: link.Href(r.text()), Alias: r.bool(),
		CreatedAt: r.time(), UpdatedAt: r.time(),
	}
	r.blob(l.Operation[:])
	l.ContentID, l.Title = r.text(), r.text()
	if tags := r.text(); tags != "" {
		if err := json.Unmarshal([]byte(tags), &l.Tags); err != nil {
			return link.Link{}, fmt.Errorf("tags of link %s: %w", l.Code, err)
		}
	}
	l.Notes, l.PriorClicks, l.ArchivedAt = r.text(), r.int(), r.time()
	return l, nil
}

func bindKey(b *binder, k link.Key) {
	b.text(string(k.Code))
	b.text(string(k.Domain))
}

func bindMatch(b *binder, key int64, l *link.Link, at time.Time) {
	b.int(key)
	b.int(int64(l.Owner))
	b.text(string(l.Destination))
	b.int(at.UnixMilli())
}

func bindContent(b *binder, key int64, l *link.Link, at time.Time) {
	bindMatch(b, key, l, at)
	b.text(l.ContentID)
}

// bindLink binds linkColumns.
func bindLink(b *binder, l *link.Link, tags string) {
	b.int(int64(l.ID))
	b.text(string(l.Domain))
	b.text(string(l.Code))
	b.someInt(int64(l.Owner))
	b.int(l.Version)
	b.int(int64(l.RedirectStatus))
	b.int(l.EdgeTTL.Milliseconds())
	b.bool(l.ForwardQuery)
	b.time(l.StartsAt)
	b.time(l.ExpiresAt)
	b.time(l.RevokedAt)
	b.text(string(l.Destination))
	b.some(string(l.ExpiredURL))
	b.bool(l.Alias)
	b.int(l.CreatedAt.UnixMilli())
	b.int(l.UpdatedAt.UnixMilli())
	if l.Operation == (link.Operation{}) {
		b.null()
	} else {
		b.blob(l.Operation[:])
	}
	b.some(l.ContentID)
	b.some(l.Title)
	b.some(tags)
	b.some(l.Notes)
	b.int(l.PriorClicks)
	b.time(l.ArchivedAt)
}

// bindUpdate binds updateLink.
func bindUpdate(b *binder, l *link.Link, tags string) {
	b.int(l.Version)
	b.int(int64(l.RedirectStatus))
	b.int(l.EdgeTTL.Milliseconds())
	b.bool(l.ForwardQuery)
	b.time(l.StartsAt)
	b.time(l.ExpiresAt)
	b.time(l.RevokedAt)
	b.text(string(l.Destination))
	b.some(string(l.ExpiredURL))
	b.int(l.UpdatedAt.UnixMilli())
	b.some(l.Title)
	b.some(tags)
	b.some(l.Notes)
	b.time(l.ArchivedAt)
	destinationKey, contentKey := matchKeys(l)
	b.someInt(destinationKey)
	b.someInt(contentKey)
	b.int(int64(l.ID))
}

func encodeTags(tags []string) (string, error) {
	if len(tags) == 0 {
		return "", nil
	}
	b, err := json.Marshal(tags)
	return string(b), err
}

func inUTC(l *link.Link) {
	for _, t := range []*time.Time{&l.StartsAt, &l.ExpiresAt, &l.RevokedAt, &l.ArchivedAt, &l.CreatedAt, &l.UpdatedAt} {
		*t = t.UTC()
	}
}
