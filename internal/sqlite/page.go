package sqlite

import (
	"context"
	"errors"
	"strings"

	"zombiezen.com/go/sqlite"

	"kurz/internal/link"
)

// Page is that of link.Store. A plain listing is read along an index; all others
// ask the search index, and while that is not made yet look at all links until
// the page is full.
func (s *Links) Page(ctx context.Context, q link.Query) (page []link.Link, next link.Cursor, err error) {
	if q.Sort == "" {
		q.Sort = link.NewestFirst
	}
	q.After.Sort = q.Sort
	if q.After.ID == 0 {
		q.After = link.Cursor{}
	}
	err = s.db.scan(ctx, func(c *sqlite.Conn) error {
		var err error
		if !plain(&q) {
			page, next, err = s.search(c, q)
			if !errors.Is(err, errNoIndex) {
				return err
			}
		}
		page, next, err = look(c, q)
		return err
	})
	if err != nil {
		return nil, link.Cursor{}, err
	}
	return page, next, nil
}

// plain reports whether an index of the table gives just what q selects.
func plain(q *link.Query) bool {
	return q.Text == "" && q.Tag == "" && q.Status == "" && q.Domain == nil && q.Archived != link.OnlyArchived &&
		(q.Sort == link.NewestFirst || q.Owner == 0 && (q.Sort == link.ByCode || q.Sort == link.ByCodeDown))
}

// look reads links in the order of q until the page is full.
func look(c *sqlite.Conn, q link.Query) ([]link.Link, link.Cursor, error) {
	sql, bind := pageQuery(&q)
	selects := q.Filter()
	page := make([]link.Link, 0, min(q.Limit, 50)+1)
	var bad error
	err := query(c, sql, bind, func(r *cells) bool {
		var l link.Link
		if l, bad = readLink(r); bad == nil && selects(&l) {
			page = append(page, l)
		}
		return bad == nil && len(page) <= q.Limit
	})
	if err == nil {
		err = bad
	}
	if err != nil || len(page) <= q.Limit {
		return page, link.Cursor{}, err
	}
	page = page[:q.Limit]
	return page, link.CursorAt(q.Sort, &page[q.Limit-1]), nil
}

// pageQuery gives the statement for q, its text and limit apart, made of fixed
// pieces, and what binds its parameters.
func pageQuery(q *link.Query) (string, func(*binder)) {
	var where []string
	var binds []func(*binder)
	add := func(condition string, bind func(*binder)) {
		where = append(where, condition)
		binds = append(binds, bind)
	}
	if q.Owner != 0 {
		add(`owner = ?`, func(b *binder) { b.int(int64(q.Owner)) })
	}
	switch q.Archived {
	case link.LeaveArchived:
		add(`archived_at IS NULL`, func(*binder) {})
	case link.OnlyArchived:
		add(`archived_at IS NOT NULL`, func(*binder) {})
	}
	if q.Domain != nil {
		add(`domain = ?`, func(b *binder) { b.text(string(*q.Domain)) })
	}
	if q.Tag != "" {
		add(`EXISTS (SELECT 1 FROM json_each(links.tags) WHERE value = ?)`, func(b *binder) { b.text(q.Tag) })
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
	return sql + ` ORDER BY ` + order, func(b *binder) {
		for _, bind := range binds {
			bind(b)
		}
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

const (
	titleKey = titleFunction + `(title)`
	endKey   = `coalesce(expires_at, 9223372036854775807)`
	// titleFunction is link.TitleKey.
	titleFunction = "kurz_title"
)

// addFunctions makes the functions that statements use.
func addFunctions(c *sqlite.Conn) error {
	return c.CreateFunction(titleFunction, &sqlite.FunctionImpl{
		NArgs: 1, Deterministic: true,
		Scalar: func(_ sqlite.Context, args []sqlite.Value) (sqlite.Value, error) {
			return sqlite.TextValue(link.TitleKey(args[0].Text())), nil
		},
	})
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
	case link.ByTitle:
		return titleKey + `, id`, `(` + titleKey + `, id) > (?, ?)`
	case link.ByTitleDown:
		return titleKey + ` DESC, id DESC`, `(` + titleKey + `, id) < (?, ?)`
	case link.FirstEnd:
		return endKey + `, id`, `(` + endKey + `, id) > (?, ?)`
	case link.LastEnd:
		return endKey + ` DESC, id DESC`, `(` + endKey + `, id) < (?, ?)`
	}
	return `id DESC`, `id < ?`
}

func bindCursor(b *binder, c *link.Cursor) {
	switch c.Sort {
	case link.LatestChange, link.FirstChange:
		b.int(c.Time.UnixMilli())
	case link.ByCode, link.ByCodeDown:
		b.text(string(c.Code))
	case link.ByTitle, link.ByTitleDown:
		b.text(c.Title)
	case link.FirstEnd, link.LastEnd:
		b.int(link.EndKey(c.Time))
	}
	b.int(int64(c.ID))
}
