package contracttest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kurz/internal/account"
	"kurz/internal/link"
)

// Cache tests a link.Cache. Open gives a new, empty cache with room for some
// thousand routes. A cache may forget anything at any time, so the suite
// checks what a Get that finds something gives, and that a route just put into
// a quiet cache is usually there.
func Cache(t *testing.T, open func(t *testing.T) link.Cache) {
	for name, test := range map[string]func(*testing.T, link.Cache){
		"round trip":                  cacheRoundTrip,
		"keys":                        cacheKeys,
		"not there":                   cacheMissing,
		"newer is kept":               cacheNewer,
		"forgotten":                   cacheForgotten,
		"forgotten but newer":         cacheForgottenNewer,
		"tombstone":                   cacheTombstone,
		"tombstone of an unknown key": cacheTombstoneUnknown,
		"creation":                    cacheCreation,
		"racing readers and a writer": cacheRace,
		"random calls":                cacheModel,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// routed gives a route of the version with a destination to match.
func routed(version int64) *link.Route {
	return &link.Route{
		ID: 7, Version: version, Status: 302,
		Destination: link.Href(fmt.Sprintf("https://example.com/v%d", version)),
	}
}

func put(t testing.TB, c link.Cache, k link.Key, r *link.Route) {
	t.Helper()
	if err := c.Put(t.Context(), k, r); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func forget(t testing.TB, c link.Cache, k link.Key, version int64) {
	t.Helper()
	if err := c.Forget(t.Context(), k, version); err != nil {
		t.Fatalf("Forget: %v", err)
	}
}

const nothing = int64(-1)

// wantCached checks that the key has a route of the version, or nothing.
func wantCached(t testing.TB, c link.Cache, k link.Key, version int64) {
	t.Helper()
	r, ok, err := c.Get(t.Context(), k)
	switch {
	case err != nil:
		t.Fatalf("Get: %v", err)
	case !ok && version != nothing:
		t.Errorf("Get %v: nothing, want version %d", k, version)
	case ok && r.Version != version:
		t.Errorf("Get %v: version %d, want %d", k, r.Version, version)
	}
}

func cacheRoundTrip(t *testing.T, c link.Cache) {
	rich := link.Route{
		ID: 1<<62 + 1, Owner: account.ID(1<<62 + 2), Version: 9,
		Destination: "https://example.com/?q=%C3%BC#x", ExpiredURL: "http://example.org/",
		Status: 308, EdgeTTL: 90 * time.Second, ForwardQuery: true,
		StartsAt: time.UnixMilli(0).UTC(), ExpiresAt: at(1).Add(time.Millisecond), RevokedAt: at(2),
		LoadedAt: at(3).Add(100 * time.Millisecond),
	}
	missing := link.Missing(at(4))
	for i, want := range []link.Route{rich, *routed(1), missing} {
		k := link.Key{Domain: "go.example:8443", Code: link.Code(fmt.Sprintf("code%d", i))}
		given := want
		put(t, c, k, &given)
		got, ok, err := c.Get(t.Context(), k)
		if err != nil || !ok {
			t.Fatalf("Get: %v, error %v", ok, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func cacheKeys(t *testing.T, c link.Cache) {
	keys := []link.Key{
		{Code: "abc"},
		{Code: "ABC"},
		{Code: "abcd"},
		{Domain: "a", Code: "abc"},
		{Domain: "aa", Code: "bc"},
		{Domain: "aab", Code: "c"},
		{Domain: "b", Code: "abc"},
	}
	for i, k := range keys {
		put(t, c, k, routed(int64(i+1)))
	}
	for i, k := range keys {
		wantCached(t, c, k, int64(i+1))
	}
	forget(t, c, keys[3], 100)
	for i, k := range keys {
		if i != 3 {
			wantCached(t, c, k, int64(i+1))
		}
	}
}

var oneKey = link.Key{Code: "abc1234"}

func cacheMissing(t *testing.T, c link.Cache) {
	r, ok, err := c.Get(t.Context(), oneKey)
	if ok || err != nil || r != (link.Route{}) {
		t.Errorf("Get: %v, %v, error %v", r, ok, err)
	}
	forget(t, c, link.Key{Code: "unknown"}, 3)
}

func cacheNewer(t *testing.T, c link.Cache) {
	put(t, c, oneKey, routed(2))
	put(t, c, oneKey, routed(1))
	wantCached(t, c, oneKey, 2)
	missing := link.Missing(at(1))
	put(t, c, oneKey, &missing)
	wantCached(t, c, oneKey, 2)
	again := routed(2)
	again.LoadedAt = at(9)
	put(t, c, oneKey, again)
	if r, ok, _ := c.Get(t.Context(), oneKey); !ok || !r.LoadedAt.Equal(at(9)) {
		t.Errorf("the same version loaded anew is not kept")
	}
	put(t, c, oneKey, routed(3))
	wantCached(t, c, oneKey, 3)
}

func cacheForgotten(t *testing.T, c link.Cache) {
	put(t, c, oneKey, routed(1))
	forget(t, c, oneKey, 2)
	wantCached(t, c, oneKey, nothing)
	put(t, c, oneKey, routed(2))
	wantCached(t, c, oneKey, 2)
}

func cacheForgottenNewer(t *testing.T, c link.Cache) {
	for _, version := range []int64{5, 6} {
		put(t, c, oneKey, routed(version))
		forget(t, c, oneKey, 5)
		wantCached(t, c, oneKey, version)
		put(t, c, oneKey, routed(4))
		wantCached(t, c, oneKey, version)
	}
}

func cacheTombstone(t *testing.T, c link.Cache) {
	put(t, c, oneKey, routed(1))
	for version := int64(2); version < 6; version++ {
		forget(t, c, oneKey, version)
		for older := range version {
			put(t, c, oneKey, routed(older))
			wantCached(t, c, oneKey, nothing)
		}
	}
	put(t, c, oneKey, routed(6)) // one that was not announced yet
	wantCached(t, c, oneKey, 6)
	forget(t, c, oneKey, 6)
	wantCached(t, c, oneKey, 6)
}

func cacheTombstoneUnknown(t *testing.T, c link.Cache) {
	forget(t, c, oneKey, 4)
	put(t, c, oneKey, routed(3))
	wantCached(t, c, oneKey, nothing)
	put(t, c, oneKey, routed(4))
	wantCached(t, c, oneKey, 4)
}

func cacheCreation(t *testing.T, c link.Cache) {
	missing := link.Missing(at(1))
	put(t, c, oneKey, &missing)
	wantCached(t, c, oneKey, 0)
	forget(t, c, oneKey, 1)
	wantCached(t, c, oneKey, nothing)
	put(t, c, oneKey, &missing) // read before the creation
	wantCached(t, c, oneKey, nothing)
	put(t, c, oneKey, routed(1))
	wantCached(t, c, oneKey, 1)
	put(t, c, oneKey, &missing)
	wantCached(t, c, oneKey, 1)
}

// cacheRace has readers that load and put old routes while a writer changes
// them: after Forget nobody may see an older version.
func cacheRace(t *testing.T, c link.Cache) {
	const keys, readers, changes = 8, 8, 300
	key := func(i int) link.Key { return link.Key{Code: link.Code(fmt.Sprintf("code%d", i))} }
	var stored, forgotten [keys]atomic.Int64
	for i := range keys {
		stored[i].Store(1)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	errs := make([]error, readers)
	for n := range readers {
		wg.Go(func() {
			for i := 0; !done.Load(); i++ {
				k := i % keys
				least := forgotten[k].Load()
				r, ok, err := c.Get(t.Context(), key(k))
				if err == nil && ok && r.Version < least {
					err = fmt.Errorf("version %d after version %d was forgotten", r.Version, least)
				}
				if err == nil && ok && r.Destination != routed(r.Version).Destination {
					err = fmt.Errorf("version %d has the destination %s", r.Version, r.Destination)
				}
				if err == nil && !ok {
					err = c.Put(t.Context(), key(k), routed(stored[k].Load()))
				}
				if err != nil {
					errs[n] = err
					return
				}
			}
		})
	}
	for i := range changes {
		k := i % keys
		version := stored[k].Add(1)
		forget(t, c, key(k), version)
		forgotten[k].Store(version)
	}
	done.Store(true)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// cacheModel makes random calls; what a Get finds must be the newest put, and
// nothing that was kept out.
func cacheModel(t *testing.T, c link.Cache) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		type kept struct{ version, floor int64 } // version -1: nothing may be there
		model := map[link.Key]kept{}
		key := func() link.Key {
			k := link.Key{
				Domain: link.Domain(fmt.Sprintf("run%d", run)),
				Code:   link.Code(fmt.Sprintf("code%d", rapid.IntRange(0, 3).Draw(rt, "key"))),
			}
			if _, ok := model[k]; !ok {
				model[k] = kept{version: nothing}
			}
			return k
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				k, version := key(), rapid.Int64Range(0, 5).Draw(rt, "version")
				r := routed(version)
				if err := c.Put(t.Context(), k, r); err != nil {
					rt.Fatal(err)
				}
				if m := model[k]; version >= m.floor && version >= m.version {
					model[k] = kept{version, m.floor}
				}
			},
			"forget": func(rt *rapid.T) {
				k := key()
				version := model[k].floor + rapid.Int64Range(0, 2).Draw(rt, "step")
				if err := c.Forget(t.Context(), k, version); err != nil {
					rt.Fatal(err)
				}
				m := model[k]
				m.floor = version
				if m.version < version {
					m.version = nothing
				}
				model[k] = m
			},
			"": func(rt *rapid.T) {
				for k, m := range model {
					r, ok, err := c.Get(t.Context(), k)
					if err != nil || ok && r.Version != m.version {
						rt.Fatalf("Get %v: %+v, error %v; want version %d", k, r, err, m.version)
					}
				}
			},
		})
	})
}
