package link_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"kurz/internal/account"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/memory"
)

func TestImportKeepsWhatALinkWas(t *testing.T) {
	w := newWorld(t)
	old := time.Date(2012, 5, 4, 3, 2, 1, 0, time.UTC)
	i := link.Imported{
		Creation: link.Creation{
			LongURL: "https://example.org/x", Alias: "old-one", Title: "t", Notes: "n", Tags: []string{"b", "a"}, ContentID: "c",
			ExpiresAt: old.AddDate(1, 0, 0), RedirectStatus: 301,
		},
		Owner: 7, CreatedAt: old, UpdatedAt: old.AddDate(0, 1, 0), RevokedAt: old.AddDate(2, 0, 0), PriorClicks: 1204,
	}
	l, _, err := w.Import(t.Context(), account.Operator(), i)
	if err != nil {
		t.Fatal(err)
	}
	if l.Code != "old-one" || !l.Alias || l.Owner != 7 || !l.CreatedAt.Equal(old) || !l.UpdatedAt.Equal(i.UpdatedAt) || !l.ExpiresAt.Equal(i.ExpiresAt) ||
		!l.RevokedAt.Equal(i.RevokedAt) || l.PriorClicks != 1204 || l.RedirectStatus != 301 || l.Version != 1 || strings.Join(l.Tags, "") != "ab" || l.ContentID != "c" {
		t.Errorf("%+v", l)
	}
	i.Alias, i.Generated, i.CreatedAt, i.UpdatedAt, i.RevokedAt, i.ExpiresAt = "new-one", true, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	l, _, err = w.Import(t.Context(), account.Operator(), i)
	if err != nil || l.Alias || l.CreatedAt.IsZero() || !l.UpdatedAt.Equal(l.CreatedAt) {
		t.Errorf("%+v, %v", l, err)
	}
	i.Alias = "third"
	if _, _, err := w.Import(t.Context(), account.Operator(), i); !fault.Is(err, fault.AlreadyExists) {
		t.Errorf("the same content again: %v", err)
	}
	i.Alias, i.ContentID = "", ""
	if l, _, err := w.Import(t.Context(), account.Operator(), i); err != nil || len(l.Code) != link.DefaultCode {
		t.Errorf("a drawn code: %+v, %v", l, err)
	}
}

func TestImportRefuses(t *testing.T) {
	w := newWorld(t)
	owner := account.Actor{User: 7, Role: account.Member}
	fine := func(alias string) link.Imported {
		return link.Imported{Creation: link.Creation{LongURL: "https://example.org/", Alias: alias}, Owner: 7}
	}
	if _, _, err := w.Import(t.Context(), owner, fine("taken")); err != nil {
		t.Fatal(err)
	}
	private, negative, late := fine("priv"), fine("neg"), fine("late")
	private.LongURL, negative.PriorClicks = "http://192.168.0.1/", -1
	late.StartsAt, late.ExpiresAt = time.Unix(9, 0), time.Unix(8, 0)
	others := fine("others")
	others.Owner = 8
	tests := []struct {
		name  string
		actor account.Actor
		i     link.Imported
		want  fault.Code
	}{
		{"taken", owner, fine("taken"), fault.AliasTaken},
		{"reserved", owner, fine("api"), fault.ValidationFailed},
		{"too short", owner, fine("a"), fault.ValidationFailed},
		{"with a slash", owner, fine("a/b"), fault.ValidationFailed},
		{"a private destination", owner, private, fault.InvalidURL},
		{"below 0", owner, negative, fault.ValidationFailed},
		{"over before it begins", owner, late, fault.ValidationFailed},
		{"another's", owner, others, fault.Forbidden},
		{"anonymous", account.Actor{}, fine("anon"), fault.Unauthorized},
	}
	for _, tt := range tests {
		if _, _, err := w.Import(t.Context(), tt.actor, tt.i); fault.CodeOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// IDs of imported links stand in the order in which the links were made.
func TestIDsOfOldLinks(t *testing.T) {
	ids := link.NewIDs(time.Now, rand.Reader)
	last := link.ID(0)
	for year := 1970; year < 2040; year++ {
		at := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		id, err := ids.At(at, 0)
		if err != nil || id <= last {
			t.Errorf("%d: %d after %d, %v", year, id, last, err)
		}
		last = id
	}
	// Also where 10,000 were made in one moment.
	store := memory.NewLinks()
	for i := range 10_000 {
		at := time.Date(2012, 5, 4, 3, 2, 1, 0, time.UTC)
		for attempt := 0; ; attempt++ {
			id, err := ids.At(at, attempt)
			if err != nil || attempt > 64 {
				t.Fatalf("%d links, attempt %d: %v", i, attempt, err)
			}
			l := link.Link{Key: link.Key{Code: link.Code(strings.Repeat("x", 3) + time.Duration(i).String())}, ID: id, Destination: "https://example.org/", CreatedAt: at, UpdatedAt: at, Version: 1}
			if _, _, err = store.Insert(t.Context(), link.New{Link: l}); err == nil {
				break
			}
		}
	}
}

// TestImportOfOneMoment has many links that were made at the same time: where old
// dates are given without a time of day, that is usual.
func TestImportOfOneMoment(t *testing.T) {
	for _, at := range []string{"1970-01-01", "1999-12-31", "2019-12-31", "2020-01-01", "2024-02-29"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t)
			made, err := time.Parse(time.DateOnly, at)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 500 {
				i := link.Imported{Creation: link.Creation{LongURL: fmt.Sprintf("https://example.org/%d", n)}, CreatedAt: made}
				if _, _, err := w.Import(t.Context(), account.Operator(), i); err != nil {
					t.Fatalf("link %d: %v", n, err)
				}
			}
		})
	}
}

func TestImportOfAnOperationIsDoneOnce(t *testing.T) {
	w := newWorld(t)
	i := link.Imported{Creation: link.Creation{LongURL: "https://example.org/", Operation: link.Operation{1}}}
	first, outcome, err := w.Import(t.Context(), account.Operator(), i)
	if err != nil || outcome != link.Inserted {
		t.Fatalf("outcome %d, error %v", outcome, err)
	}
	again, outcome, err := w.Import(t.Context(), account.Operator(), i)
	if err != nil || outcome != link.Repeated || again.Code != first.Code {
		t.Errorf("again: %s, outcome %d, error %v", again.Code, outcome, err)
	}
}
