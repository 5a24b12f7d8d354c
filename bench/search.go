//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kurz/test/program"
)

const (
	searchOwners = 1000
	searchRuns   = 40
	// deepLinks is how far a deep page is behind the first.
	deepLinks = 50_000
)

// searchWords are what titles and destinations are made of; a word is drawn the
// more often the farther in front it stands.
var searchWords = strings.Fields(`summer spring shop product offer mail week guide story press team launch event
 video photo price garden kitchen travel coffee music winter autumn market school health science sport
 bücher größe straße café jalapeño city river mountain paper pencil window bridge engine planet orange
 silver copper velvet marble lantern compass harbour meadow thunder whisper crystal anchor feather pepper
 saffron walnut juniper magnolia cinnamon obsidian labyrinth zeppelin quartz`)

func searchWord(r *rand.Rand) string {
	return searchWords[int(float64(len(searchWords))*r.Float64()*r.Float64())]
}

// insertSearchLinks writes links with titles, tags, destinations, times and
// owners, of whom the first is the given one.
func insertSearchLinks(ctx context.Context, file string, links int, owner string) error {
	command := exec.CommandContext(ctx, "sqlite3", "-bail", file)
	in, err := command.StdinPipe()
	if err != nil {
		return err
	}
	var log bytes.Buffer
	command.Stderr = &log
	if err := command.Start(); err != nil {
		return err
	}
	w := bufio.NewWriterSize(in, 1<<20)
	fmt.Fprintln(w, "PRAGMA synchronous = OFF; PRAGMA cache_size = -131072; BEGIN IMMEDIATE;")
	writeSearchLinks(w, links, owner)
	fmt.Fprintln(w, "COMMIT;")
	if err := w.Flush(); err != nil {
		return err
	}
	if err := in.Close(); err != nil {
		return err
	}
	if err := command.Wait(); err != nil {
		return fmt.Errorf("sqlite3: %w: %s", err, log.Bytes())
	}
	return nil
}

func writeSearchLinks(w io.Writer, links int, owner string) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Now().UnixMilli()
	began := now - 2*365*24*3600*1000
	epoch := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	for i := range links {
		if i%400 == 0 {
			fmt.Fprint(w, "INSERT INTO links (id, domain, code, owner, version, redirect_status, edge_ttl, forward_query, starts_at, expires_at, revoked_at, destination, alias, created_at, updated_at, title, tags) VALUES\n")
		}
		created := began + int64(float64(now-60_000-began)/float64(links)*float64(i))
		updated := created
		if r.IntN(10) == 0 {
			updated += r.Int64N(now - created)
		}
		a, b, c := searchWord(r), searchWord(r), searchWord(r)
		title := fmt.Sprintf("%s%s and %s of %s %d", strings.ToUpper(a[:1]), a[1:], b, c, r.IntN(100))
		if i%2 == 0 {
			title += " – Newsletter"
		}
		switch {
		case i < links/20:
			title += " jubilee" // of long ago
		case i%(links/20) == 7:
			title += " quixotic 字"
		}
		tags := "NULL"
		if r.IntN(3) > 0 {
			tags = fmt.Sprintf(`'["%s","team-%d"]'`, searchWord(r), r.IntN(50))
		}
		starts, expires, revoked := "NULL", "NULL", "NULL"
		if r.IntN(100) < 30 {
			expires = fmt.Sprint(created + r.Int64N(3*365*24*3600*1000))
		}
		if r.IntN(100) < 3 {
			revoked = fmt.Sprint(created + r.Int64N(now-created))
		}
		if r.IntN(100) == 0 {
			starts = fmt.Sprint(now + r.Int64N(90*24*3600*1000))
		}
		of := fmt.Sprint(1000 + i%searchOwners)
		if i%searchOwners == 0 {
			of = owner
		}
		end := ","
		if i%400 == 399 || i == links-1 {
			end = ";"
		}
		fmt.Fprintf(w, "(%d, '', '%s', %s, 1, 302, 0, 0, %s, %s, %s, 'https://www.%s.example/%s/%d/%s-%s-%s?utm_source=news', 0, %d, %d, '%s', %s)%s\n",
			(created-epoch)<<22+int64(i), codeOf(i), of, starts, expires, revoked,
			searchWords[i%20], url.PathEscape(a), i, url.PathEscape(b), url.PathEscape(c), searchWord(r)[:1], created, updated, title, tags, end)
	}
}

// searchQuery is a query that is measured.
type searchQuery struct {
	what   string
	query  string
	member bool // who has one of a thousand links; else an admin, who sees all
	deep   bool
}

func searchQueries() []searchQuery {
	list := []searchQuery{
		{what: "a word of 20 links", query: "q=quixotic"},
		{what: "a word of half of the links", query: "q=newsletter"},
		{what: "the same, deep", query: "q=newsletter", deep: true},
		{what: "a word of the oldest 5 %", query: "q=jubilee"},
		{what: "no hit", query: "q=nosuchwordanywhere"},
		{what: "no hit, of frequent parts", query: "q=summerspringsummer"},
		{what: "two words", query: "q=newsletter+zeppelin"},
		{what: "three words, with umlauts", query: "q=BÜCHER+strasse+cafe"},
		{what: "a part of a word", query: "q=obsid"},
		{what: "one code", query: "q=" + codeOf(4711)},
		{what: "one destination", query: "q=" + url.QueryEscape("/471100/")},
		{what: "1 character", query: "q=a"},
		{what: "1 rare character", query: "q=" + url.QueryEscape("字")},
		{what: "2 characters", query: "q=ma"},
		{what: "2 characters, deep", query: "q=ma", deep: true},
		{what: "2 characters, no hit", query: "q=" + url.QueryEscape("字x")},
		{what: "operators", query: "q=" + url.QueryEscape(`"news* OR NEAR(`)},
		{what: "a frequent word of a member", query: "q=newsletter", member: true},
		{what: "a rare word of a member", query: "q=anchor", member: true},
		{what: "2 characters of a member", query: "q=ee", member: true},
		{what: "a member's expired", query: "status=expired&sort=-expires_at", member: true},
		{what: "tag", query: "tag=team-7"},
		{what: "tag and word", query: "tag=team-7&q=newsletter"},
	}
	for _, status := range []string{"scheduled", "active", "expired", "revoked"} {
		list = append(list, searchQuery{what: status, query: "status=" + status})
	}
	list = append(list, searchQuery{what: "expired, frequent word", query: "status=expired&q=newsletter"}, searchQuery{what: "scheduled, rare word", query: "status=scheduled&q=zeppelin"})
	for _, sort := range []string{"-created_at", "created_at", "-updated_at", "updated_at", "short_code", "-short_code", "title", "-title", "expires_at", "-expires_at"} {
		list = append(
			list,
			searchQuery{what: "all by " + sort, query: "sort=" + sort},
			searchQuery{what: "all by " + sort + ", deep", query: "sort=" + sort, deep: true},
			searchQuery{what: "half of the links by " + sort, query: "q=newsletter&sort=" + sort},
			searchQuery{what: "the oldest 5 % by " + sort, query: "q=jubilee&sort=" + sort},
			searchQuery{what: "a rare word by " + sort, query: "q=quixotic&sort=" + sort},
			searchQuery{what: "a member's by " + sort, query: "sort=" + sort, member: true},
		)
	}
	return list
}

// searches measures listings and searches over HTTP, by a connection that is kept.
func searches(ctx context.Context, l *lab) error {
	if err := l.install(ctx, "sqlite3", "sqlite3"); err != nil {
		return err
	}
	data := filepath.Join(l.dir, "search")
	s, err := l.start(ctx, data, false)
	if err != nil {
		return err
	}
	defer l.stop()
	keys := map[bool]string{}
	if keys[false], err = s.NewKey(ctx, "search@example.com", "--role", "admin"); err == nil {
		keys[true], err = s.NewKey(ctx, "member@example.com")
	}
	if err != nil {
		return err
	}
	l.stop()
	file := filepath.Join(data, "kurz.db")
	owner, err := sqlite3(ctx, file, `SELECT id FROM users WHERE email = 'member@example.com';`)
	if err != nil {
		return err
	}
	if err := insertSearchLinks(ctx, file, l.links, strings.TrimSpace(owner)); err != nil {
		return err
	}
	before, err := foldedSize(ctx, file)
	if err != nil {
		return err
	}
	began := time.Now()
	if s, err = l.start(ctx, data, false); err != nil {
		return err
	}
	if err := await(ctx, s, indexing, func(value float64) bool { return value == 0 }); err != nil {
		return err
	}
	indexed := time.Since(began)
	l.say("   indexed in %v", indexed.Round(time.Second/10))
	worst, err := l.askAll(ctx, s, keys)
	if err != nil {
		return err
	}
	l.stop()
	after, err := foldedSize(ctx, file)
	if err != nil {
		return err
	}
	links := thousands(float64(l.links))
	l.values["search"] = fmt.Sprintf("p95 %.1f ms for the slowest of the queries (%s), %s links", worst.p95, worst.what, links)
	l.note("Search: %s links of %s owners; the index was made in %.0f s after the start, and takes %.0f bytes a link beside the %.0f of a link itself with its indexes.",
		links, thousands(searchOwners), indexed.Seconds(), float64(after-before)/float64(l.links), float64(before)/float64(l.links))
	return nil
}

// foldedSize gives the size of a database's file, without its log.
func foldedSize(ctx context.Context, file string) (int64, error) {
	if _, err := sqlite3(ctx, file, `PRAGMA wal_checkpoint(TRUNCATE);`); err != nil {
		return 0, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

type searchTimes struct {
	what          string
	p50, p95, max float64 // milliseconds
}

// askAll measures all queries, and gives the slowest.
func (l *lab) askAll(ctx context.Context, s *program.Server, keys map[bool]string) (worst searchTimes, err error) {
	var table strings.Builder
	table.WriteString("| listing or search | found on the page | p50 | p95 | most |\n|---|---|---|---|---|\n")
	for _, q := range searchQueries() {
		query := q.query
		if q.deep {
			if query, err = deepen(ctx, s, keys[q.member], query); err != nil {
				return worst, err
			}
		}
		times, found := make(sample, searchRuns), 0
		for i := range times {
			began := time.Now()
			page, err := listLinks(ctx, s, keys[q.member], query)
			if err != nil {
				return worst, fmt.Errorf("%s: %w", q.what, err)
			}
			times[i], found = ms(time.Since(began)), len(page.Items)
		}
		slices.Sort(times)
		a := searchTimes{q.what, times[searchRuns/2-1], times[searchRuns*95/100-1], times[searchRuns-1]}
		if a.p95 > worst.p95 {
			worst = a
		}
		fmt.Fprintf(&table, "| %s | %d | %.1f | %.1f | %.1f |\n", a.what, found, a.p50, a.p95, a.max)
	}
	l.tables = append(l.tables, fmt.Sprintf("## Listings and searches\n\n%s links, pages of 50, milliseconds from the request to the whole answer; %d of each, with the clicks of the links. A deep page is %s links behind the first.\n\n%s",
		thousands(float64(l.links)), searchRuns, thousands(deepLinks), table.String()))
	return worst, nil
}

// linkPage is a page of a listing, as far as it matters here.
type linkPage struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next_cursor"`
}

func listLinks(ctx context.Context, s *program.Server, key, query string) (page linkPage, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api/v1/urls?"+query, nil)
	if err != nil {
		return page, err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return page, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return page, err
	}
	if answer.StatusCode != http.StatusOK {
		return page, fmt.Errorf("%s: %s", answer.Status, body)
	}
	return page, json.Unmarshal(body, &page)
}

// deepen adds to a query the cursor of a page that is far from the first.
func deepen(ctx context.Context, s *program.Server, key, query string) (string, error) {
	next := ""
	for range deepLinks / 500 {
		page, err := listLinks(ctx, s, key, query+"&limit=500"+next)
		if err != nil {
			return "", err
		}
		if page.Next == "" {
			break
		}
		next = "&cursor=" + page.Next
	}
	return query + next, nil
}
