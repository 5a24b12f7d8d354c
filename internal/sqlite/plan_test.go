package sqlite_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	zs "zombiezen.com/go/sqlite"

	"kurz/internal/link"
	"kurz/internal/sqlite"
)

// TestPlans checks that nothing that must be quick looks at all rows.
func TestPlans(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "kurz.db"), sqlite.Options{})
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	page := func(s link.Sort, owner bool, after bool) string {
		domain := link.Domain("")
		q := link.Query{Sort: s, Limit: 50, Domain: &domain, Text: "a", Tag: "b", Status: link.Active, Now: now}
		if owner {
			q.Owner = 7
		}
		if after {
			q.After = link.CursorAt(s, &link.Link{Key: link.Key{Code: "abc"}, ID: 9, UpdatedAt: now})
		}
		return sqlite.PageSQL(q)
	}
	const (
		sorts   = "USE TEMP B-TREE FOR ORDER BY"
		byOwner = "SEARCH links USING INDEX links_owner (owner=?)"
	)
	for name, c := range map[string]struct{ sql, want, not string }{
		"route":       {sqlite.SelectRoute, "SEARCH links USING INDEX links_key (code=? AND domain=?)", ""},
		"key":         {sqlite.SelectByKey, "SEARCH links USING INDEX links_key (code=? AND domain=?)", ""},
		"operation":   {sqlite.SelectByOperation, "SEARCH links USING INDEX links_operation (operation=?)", ""},
		"destination": {sqlite.SelectByDestination, "SEARCH links USING INDEX links_destination (destination_key=?)", sorts},
		"no content":  {sqlite.SelectByNoContent, "SEARCH links USING INDEX links_destination (destination_key=?)", sorts},
		"content":     {sqlite.SelectByContent, "SEARCH links USING INDEX links_content (content_key=?)", sorts},
		"twin":        {sqlite.SelectTwin, "SEARCH links USING INDEX links_content (content_key=?)", ""},
		"key of ID":   {sqlite.SelectKeyOfID, "SEARCH links USING INTEGER PRIMARY KEY (rowid=?)", ""},
		"walk":        {sqlite.SelectKeys, "SEARCH links USING COVERING INDEX links_key ((code,domain)>(?,?))", sorts},
		"changes":     {sqlite.SelectChanges, "SEARCH link_changes USING INTEGER PRIMARY KEY (rowid>?)", sorts},
		"pool":        {sqlite.TakeFromPool, "SEARCH code_pool USING COVERING INDEX code_pool_left (length=?)", sorts},
		"pool's rest": {sqlite.CountPool, "SEARCH code_pool USING COVERING INDEX code_pool_left (length=?)", sorts},
		"pool's end":  {sqlite.SweepTo, "SEARCH code_pool USING INTEGER PRIMARY KEY (rowid>?)", sorts},
		"pool's past": {sqlite.SweepPool, "SEARCH links USING COVERING INDEX links_key (code=?)", "SCAN"},
		"users":       {sqlite.ListUsers, "SEARCH users USING INDEX users_created (created_at>?)", sorts},
		"key by hash": {sqlite.SelectKey, "SEARCH users USING INTEGER PRIMARY KEY (rowid=?)", "SCAN"},
		"keys":        {sqlite.ListKeys, "SEARCH api_keys USING INDEX api_keys_user (user=? AND (created_at,id)>(?,?))", sorts},

		"all, newest":          {page(link.NewestFirst, false, false), "SCAN links", sorts},
		"all, newest, after":   {page(link.NewestFirst, false, true), "SEARCH links USING INTEGER PRIMARY KEY (rowid<?)", sorts},
		"all, oldest, after":   {page(link.OldestFirst, false, true), "SEARCH links USING INTEGER PRIMARY KEY (rowid>?)", sorts},
		"all, code":            {page(link.ByCode, false, false), "SCAN links USING INDEX links_key", sorts},
		"all, code, after":     {page(link.ByCode, false, true), "SEARCH links USING INDEX links_key (code>?", sorts},
		"all, code down":       {page(link.ByCodeDown, false, true), "SEARCH links USING INDEX links_key (code<?", sorts},
		"owner's newest":       {page(link.NewestFirst, true, false), byOwner, sorts},
		"owner's, after":       {page(link.NewestFirst, true, true), "SEARCH links USING INDEX links_owner (owner=? AND rowid<?)", sorts},
		"owner's oldest":       {page(link.OldestFirst, true, true), "SEARCH links USING INDEX links_owner (owner=? AND rowid>?)", sorts},
		"owner's codes":        {page(link.ByCode, true, false), byOwner, ""},
		"owner's codes, after": {page(link.ByCodeDown, true, true), byOwner, ""},
		"owner's changes":      {page(link.LatestChange, true, true), byOwner, ""},
	} {
		t.Run(name, func(t *testing.T) {
			plan := planOf(t, db, c.sql)
			if !strings.Contains(plan, c.want) || c.not != "" && strings.Contains(plan, c.not) {
				t.Errorf("%s\nplan:\n%swant %q, not %q", c.sql, plan, c.want, c.not)
			}
		})
	}
}

func planOf(t *testing.T, db *sqlite.DB, sql string) (plan string) {
	t.Helper()
	err := sqlite.Read(db, t.Context(), func(c *zs.Conn) error {
		s, err := c.Prepare("EXPLAIN QUERY PLAN " + sql)
		if err != nil {
			return err
		}
		for {
			more, err := s.Step()
			if err != nil || !more {
				return errors.Join(err, s.Reset())
			}
			plan += s.ColumnText(3) + "\n"
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
