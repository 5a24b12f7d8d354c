package sqlite

import (
	"context"
	"strings"

	"zombiezen.com/go/sqlite"

	"kurz/internal/link"
)

// Page is that of link.Store. By time of creation and by code it reads along an
// index; the other orders, and filters that select little, look at all links of
// the owner.
func (s *Links) Page(ctx context.Context, q link.Query) ([]link.Link, link.Cursor, error) {
	sql, bind := pageQuery(&q)
	page := make([]link.Link, 0, min(q.Limit, 50)+1)
	err := s.db.scan(ctx, func(c *sqlite.Conn) error {
		var bad error
		err := query(c, sql, bind, func(r *cells) bool {
			var l link.Link
			l, bad = readLink(r)
			page = append(page, l)
			return bad == nil
		})
		if err == nil {
			err = bad
		}
		return err
	})
	if err != nil {
		return nil, link.Cursor{}, err
	}
	if len(page) <= q.Limit {
		return page, link.Cursor{}, nil
	}
	page = page[:q.Limit]
	return page, link.CursorAt(q.Sort, &page[q.Limit-1]), nil
}

// pageQuery gives the statement for q, made of fixed pieces, and what binds its
// parameters. It asks for one link more than the limit.
func pageQuery(q *link.Query) (string, func(*binder)) {
	if q.Sort == "" {
		q.Sort = link.NewestFirst
	}
	var where []string
	var binds []func(*binder)
	add := func(condition string, bind func(*binder)) {
		where = append(where, condition)
		binds = append(binds, bind)
	}
	if q.Owner != 0 {
		add(`owner = ?`, func(b *binder) { b.int(int64(q.Owner)) })
	}
	if q.Domain != nil {
		add(`domain = ?`, func(b *binder) { b.text(string(*q.Domain)) })
	}
	if q.Tag != "" {
		add(`EXISTS (SELECT 1 FROM json_each(links.tags) WHERE value = ?)`, func(b *binder) { b.text(q.Tag) })
	}
	if q.Text != "" {
		text := lowerASCII(q.Text)
		add(`(instr(lower(code), ?) OR instr(lower(title), ?) OR instr(lower(destination), ?))`, func(b *binder) {
			b.text(text)
			b.text(text)
			b.text(text)
		})
	}
	if condition, times := statusCondition(q.Status); condition != "" {
		add(condition, func(b *binder) {
			for range times {
				b.int(q.Now.UnixMilli())
			}
		})
	}
	order, after := pageOrder(q.Sort)
	if !q.After.IsZero() {
		add(after, func(b *binder) { bindCursor(b, &q.After) })
	}
	sql := `SELECT ` + linkColumns + ` FROM links`
	if len(where) > 0 {
		sql += ` WHERE ` + strings.Join(where, ` AND `)
	}
	return sql + ` ORDER BY ` + order + ` LIMIT ?`, func(b *binder) {
		for _, bind := range binds {
			bind(b)
		}
		b.int(int64(q.Limit) + 1)
	}
}

// statusCondition says link.Link.Status in SQL; times is how often it asks for
// the time.
func statusCondition(s link.Status) (condition string, times int) {
	const (
		unrevoked = `(revoked_at IS NULL OR revoked_at > ?)`
		unexpired = `(expires_at IS NULL OR expires_at > ?)`
	)
	switch s {
	case link.Revoked:
		return `revoked_at <= ?`, 1
	case link.Expired:
		return unrevoked + ` AND expires_at <= ?`, 2
	case link.Scheduled:
		return unrevoked + ` AND ` + unexpired + ` AND starts_at > ?`, 3
	case link.Active:
		return unrevoked + ` AND ` + unexpired + ` AND (starts_at IS NULL OR starts_at <= ?)`, 3
	}
	return "", 0
}

// pageOrder gives the order of a sort, and the condition of what comes after a
// cursor.
func pageOrder(s link.Sort) (order, after string) {
	switch s {
	case link.OldestFirst:
		return `id`, `id > ?`
	case link.LatestChange:
		return `updated_at DESC, id DESC`, `(updated_at, id) < (?, ?)`
	case link.FirstChange:
		return `updated_at, id`, `(updated_at, id) > (?, ?)`
	case link.ByCode:
		return `code, id`, `(code, id) > (?, ?)`
	case link.ByCodeDown:
		return `code DESC, id DESC`, `(code, id) < (?, ?)`
	}
	return `id DESC`, `id < ?`
}

func bindCursor(b *binder, c *link.Cursor) {
	switch c.Sort {
	case link.LatestChange, link.FirstChange:
		b.int(c.Time.UnixMilli())
	case link.ByCode, link.ByCodeDown:
		b.text(string(c.Code))
	}
	b.int(int64(c.ID))
}

// lowerASCII does what SQLite's lower does.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
