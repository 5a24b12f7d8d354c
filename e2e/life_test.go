package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// racers is how many do the same at once.
const racers = 200

// race sends requests at once and counts the statuses and the codes of the links
// in the answers.
func race(t *testing.T, s *server, n int, request func(i int) ask) (statuses map[int]int, codes map[string]int) {
	t.Helper()
	statuses, codes = map[int]int{}, map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			r, err := s.do(t.Context(), request(i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			statuses[r.status]++
			if code := r.text("short_code"); code != "" {
				codes[code]++
			}
		})
	}
	all.Wait()
	return statuses, codes
}

// TestOneLinkForMany shows that of two hundred creates at once with one
// content_id, or with find_existing, one makes a link and all are given it.
func TestOneLinkForMany(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	ann, bob := s.key(t, "ann@example.org"), s.key(t, "bob@example.org")
	for name, body := range map[string]string{
		"content_id":              `{"long_url":"https://go.dev/one","content_id":"article 1"}`,
		"another content_id":      `{"long_url":"https://go.dev/one","content_id":"article 2"}`,
		"content_id of another's": `{"long_url":"https://go.dev/one","content_id":"article 1"}`,
		"find_existing":           `{"long_url":"https://go.dev/two","find_existing":true}`,
	} {
		key := ann
		if strings.Contains(name, "another's") {
			key = bob
		}
		statuses, codes := race(t, s, racers, func(int) ask {
			return ask{method: "POST", path: "/api/v1/urls", key: key, body: body}
		})
		if want := map[int]int{201: 1, 200: racers - 1}; !maps.Equal(want, statuses) || len(codes) != 1 {
			t.Errorf("%s: statuses %v, want %v; codes %v", name, statuses, want, codes)
		}
	}
	// After a revocation there is one new link, again.
	first := s.must(t, 200, ask{method: "POST", path: "/api/v1/urls", key: ann, body: `{"long_url":"https://go.dev/two","find_existing":true}`}).text("short_code")
	s.must(t, 204, ask{method: "DELETE", path: "/api/v1/urls/" + first, key: ann})
	statuses, codes := race(t, s, racers, func(int) ask {
		return ask{method: "POST", path: "/api/v1/urls", key: ann, body: `{"long_url":"https://go.dev/two","find_existing":true}`}
	})
	if statuses[201] != 1 || len(codes) != 1 || codes[first] > 0 {
		t.Errorf("after the revocation: statuses %v, codes %v", statuses, codes)
	}
}

// TestRestoringAgainstAnother shows that a link is not restored where another has
// its content_id by now.
func TestRestoringAgainstAnother(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	create := ask{method: "POST", path: "/api/v1/urls", key: key, body: `{"long_url":"https://go.dev/","content_id":"article"}`}
	patch := func(code, body string) ask {
		return ask{method: "PATCH", path: "/api/v1/urls/" + code, key: key, body: body}
	}
	first := s.must(t, 201, create).text("short_code")
	s.must(t, 204, ask{method: "DELETE", path: "/api/v1/urls/" + first, key: key})
	second := s.must(t, 201, create).text("short_code")
	match(t, "code", "ALREADY_EXISTS", s.must(t, 409, patch(first, `{"revoked_at":null}`)).text("error.code"))
	s.must(t, 410, ask{method: "GET", path: "/" + first})
	s.must(t, 302, ask{method: "GET", path: "/" + second})
	s.must(t, 204, ask{method: "DELETE", path: "/api/v1/urls/" + second, key: key})
	match(t, "status", "active", s.must(t, 200, patch(first, `{"revoked_at":null}`)).text("status"))
	s.must(t, 302, ask{method: "GET", path: "/" + first})
	// Of all who restore at once, one does.
	third := s.must(t, 200, create).text("short_code")
	match(t, "what the content_id gives", first, third)
	s.must(t, 204, ask{method: "DELETE", path: "/api/v1/urls/" + first, key: key})
	statuses, _ := race(t, s, 2, func(i int) ask { return patch([]string{first, second}[i], `{"revoked_at":null}`) })
	if statuses[200] != 1 || statuses[409] != 1 {
		t.Errorf("two restored at once: %v", statuses)
	}
}

// TestScheduledRevocation shows that a planned takedown happens at its time, and
// without anyone writing anything then, for a link that is in the cache.
func TestScheduledRevocation(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	s.must(t, 302, ask{method: "GET", path: "/" + code})
	ends := time.Now().Add(1500 * time.Millisecond).UTC()
	r := s.must(t, 200, ask{method: "PATCH", path: "/api/v1/urls/" + code, key: key, body: fmt.Sprintf(`{"revoked_at":%q}`, ends.Format(time.RFC3339Nano))})
	match(t, "status", "active", r.text("status"))
	version := r.header.Get("Etag")
	eventually(t, 5*time.Second, func() string {
		r := s.get(t, "/"+code)
		switch {
		case r.status == 410 && time.Now().Before(ends):
			t.Fatal("taken down before its time")
		case r.status == 410:
			match(t, "code", "URL_REVOKED", r.text("error.code"))
			return ""
		}
		return fmt.Sprintf("still %d", r.status)
	})
	if late := time.Since(ends); late > time.Second {
		t.Errorf("taken down %v late", late)
	}
	r = s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code, key: key})
	match(t, "status", "revoked", r.text("status"))
	if r.header.Get("Etag") != version {
		t.Errorf("something was written: ETag %s after %s", r.header.Get("Etag"), version)
	}
	s.must(t, 200, ask{method: "PATCH", path: "/api/v1/urls/" + code, key: key, body: `{"revoked_at":null}`})
	s.must(t, 302, ask{method: "GET", path: "/" + code})
}

// TestLostUpdates has many change one link, each building on what it read.
func TestLostUpdates(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	path := "/api/v1/urls/" + s.create(t, key, "https://go.dev/")
	const writers, each = 16, 5
	var refused atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := 0; n < each; {
				r, err := s.do(t.Context(), ask{method: "GET", path: path, key: key})
				if err != nil {
					t.Error(err)
					return
				}
				notes := r.text("notes")
				if notes == "<nil>" {
					notes = ""
				}
				r, err = s.do(t.Context(), ask{
					method: "PATCH", path: path, key: key, body: fmt.Sprintf(`{"notes":%s}`, quote(fmt.Sprintf("%s%d-%d ", notes, w, n))),
					header: map[string]string{"If-Match": r.header.Get("Etag")},
				})
				switch {
				case err != nil:
					t.Error(err)
					return
				case r.status == http.StatusOK:
					n++
				case r.status == http.StatusPreconditionFailed:
					refused.Add(1)
				default:
					t.Errorf("%d: %s", r.status, r.body)
					return
				}
			}
		})
	}
	all.Wait()
	notes := strings.Fields(s.must(t, 200, ask{method: "GET", path: path, key: key}).text("notes"))
	slices.Sort(notes)
	if len(slices.Compact(notes)) != writers*each {
		t.Errorf("%d changes are left of %d", len(notes), writers*each)
	}
	t.Logf("%d were refused and tried again", refused.Load())
}

// TestPagesWhileLinksChange reads two hundred pages of a listing while links are
// made, in each order: those that were there before all come, and none twice.
func TestPagesWhileLinksChange(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org")
	const old, limit = 1000, 5
	next := atomic.Int64{}
	create := func() error {
		n := next.Add(1)
		r, err := s.do(t.Context(), ask{method: "POST", path: "/api/v1/urls", key: key, body: fmt.Sprintf(
			`{"long_url":"https://go.dev/%d","title":"%c title %d","expires_at":%q}`, n, 'a'+n*7%26, n,
			time.Now().Add(time.Duration(1+n*37%1000)*time.Hour).UTC().Format(time.RFC3339))})
		if err == nil && r.status != 201 {
			err = fmt.Errorf("%d: %s", r.status, r.body)
		}
		return err
	}
	var making sync.WaitGroup
	for range 20 {
		making.Go(func() {
			for range old / 20 {
				if err := create(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	making.Wait()
	there := map[string]bool{}
	for _, code := range s.list(t, key, "limit=500", nil) {
		there[code] = true
	}
	if len(there) != old {
		t.Fatalf("%d links are listed of %d", len(there), old)
	}
	for _, query := range []string{"sort=-created_at", "sort=updated_at&q=title", "sort=short_code&status=active", "sort=-title", "sort=expires_at&q=t"} {
		pages := 0
		seen := map[string]int{}
		for _, code := range s.list(t, key, fmt.Sprintf("%s&limit=%d", query, limit), func() {
			if pages++; pages%2 == 0 {
				if err := create(); err != nil {
					t.Error(err)
				}
			}
		}) {
			seen[code]++
		}
		missing, double := 0, 0
		for code := range there {
			if seen[code] == 0 {
				missing++
			}
		}
		for _, n := range seen {
			if n > 1 {
				double++
			}
		}
		if missing > 0 || double > 0 || pages < old/limit {
			t.Errorf("%s: %d pages, %d links missing, %d came twice", query, pages, missing, double)
		}
	}
}

// list reads a listing to its end and gives the codes; after is called after each
// page.
func (s *server) list(t *testing.T, key, query string, after func()) (codes []string) {
	t.Helper()
	for cursor := ""; ; {
		r := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls?" + query + cursor, key: key})
		var page struct {
			Items []struct {
				Code string `json:"short_code"`
			}
		}
		if err := json.Unmarshal(r.body, &page); err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			codes = append(codes, item.Code)
		}
		if after != nil {
			after()
		}
		next := r.field("next_cursor")
		if next == nil {
			return codes
		}
		cursor = "&cursor=" + url.QueryEscape(fmt.Sprint(next))
	}
}

// TestSearch shows that what was made and changed is found at once, after a
// restart, and where another process made it.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org", "--role", "admin")
	find := func(query string, want ...string) {
		t.Helper()
		got := s.list(t, key, query, nil)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(want, got) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	create := func(alias, body string) {
		t.Helper()
		s.must(t, 201, ask{method: "POST", path: "/api/v1/urls", key: key, body: fmt.Sprintf(`{"custom_alias":%q,%s}`, alias, body)})
	}
	create("first", `"long_url":"https://example.com/shoes?id=1","title":"Größe 42","tags":["Schuhe","spring sale"]`)
	create("second", `"long_url":"https://example.org/","title":"北京"`)
	for query, want := range map[string][]string{
		"grosse Schu EXAMPLE.com": {"first"}, "GRÖSSE": {"first"}, "größe": {"first"}, "京": {"second"}, "ir": {"first"},
		"first OR second": nil, "?id=1": {"first"}, "%": nil, "\"first\"": nil, "first*": nil, "s": {"first", "second"}, "spring": {"first"},
	} {
		find("q="+url.QueryEscape(query), want...)
		find("q="+url.QueryEscape(query)+"&sort=title", want...)
	}
	find("tag="+url.QueryEscape("spring sale")+"&q=s", "first")
	find("tag=spring&q=s")
	s.must(t, 200, ask{method: "PATCH", path: "/api/v1/urls/second", key: key, body: `{"title":"Shanghai","tags":["neu"]}`})
	find("q=" + url.QueryEscape("京"))
	find("q=NEU", "second")
	command := exec.CommandContext(t.Context(), binary, "shorten", "https://go.dev/beside", "--alias", "beside", "--title", "made beside", "--data", s.Data)
	command.Env = withoutSettings(os.Environ())
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	find("q="+url.QueryEscape("made beside"), "beside")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.again(t)
	find("q="+url.QueryEscape("made beside"), "beside")
	find("q=shang&sort=-expires_at", "second")
}

// TestArchive shows that links which ended are put away where that is set up, and
// what is left of them.
func TestArchive(t *testing.T) {
	t.Parallel()
	needs(t, "sqlite3")
	s := start(t, append(unlimited(), "KURZ_ARCHIVE_AFTER=90d")...)
	key := s.key(t, "ann@example.org")
	for _, alias := range []string{"old", "recent", "lasting"} {
		s.must(t, 201, ask{method: "POST", path: "/api/v1/urls", key: key, body: fmt.Sprintf(`{"long_url":"https://go.dev/","custom_alias":%q}`, alias)})
		s.must(t, 302, ask{method: "GET", path: "/" + alias, header: map[string]string{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}})
	}
	eventually(t, 5*time.Second, func() string {
		if n := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/old", key: key}).text("clicks"); n != "1" {
			return n + " clicks"
		}
		return ""
	})
	for _, alias := range []string{"old", "recent"} {
		s.must(t, 204, ask{method: "DELETE", path: "/api/v1/urls/" + alias, key: key})
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Nobody waits for ninety days.
	long := fmt.Sprintf("UPDATE links SET revoked_at = %d WHERE code = 'old';", time.Now().Add(-91*24*time.Hour).UnixMilli())
	if out, err := exec.CommandContext(t.Context(), "sqlite3", s.Data+"/kurz.db", long).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.again(t)
	eventually(t, 5*time.Second, func() string {
		if n := s.metric(t, "kurz_links_archived_total"); n != 1 {
			return fmt.Sprintf("%v links are archived", n)
		}
		return ""
	})
	for query, want := range map[string][]string{
		"": {"lasting", "recent"}, "archived=true": {"old"}, "archived=any": {"lasting", "old", "recent"},
		"status=revoked": {"recent"}, "status=revoked&archived=any": {"old", "recent"}, "q=old": nil, "q=old&archived=true": {"old"},
	} {
		got := s.list(t, key, query, nil)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	s.must(t, 410, ask{method: "GET", path: "/old"})
	s.must(t, 409, ask{method: "POST", path: "/api/v1/urls", key: key, body: `{"long_url":"https://go.dev/","custom_alias":"old"}`})
	r := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/old", key: key})
	match(t, "clicks", "1", r.text("clicks"))
	match(t, "archived_at", `\d{4}-.+Z`, r.text("archived_at"))
	match(t, "total", "1", s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/old/stats", key: key}).text("total_clicks"))
	r = s.must(t, 200, ask{method: "PATCH", path: "/api/v1/urls/old", key: key, body: `{"revoked_at":null}`})
	match(t, "archived_at", "", r.text("archived_at"))
	s.must(t, 302, ask{method: "GET", path: "/old"})
	if got := s.list(t, key, "q=old", nil); len(got) != 1 {
		t.Errorf("restored: %q", got)
	}
}
