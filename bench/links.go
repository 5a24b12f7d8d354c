//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kurz/client"
	"kurz/test/program"
)

// The i-th link of a folder has a code and a destination that follow from i, so
// that nobody need keep ten millions of them. Codes are hexadecimal numbers,
// which SQLite and Lua write fast, and which nginx's map, to which big and small
// letters are one, tells apart. They are spread by an odd factor, so that none
// comes twice, and so small that products are exact in Lua's numbers too.
const (
	codeFormat = "%07x"
	codeSpace  = 1 << 28
	codeSpread = 165580141 // a Fibonacci number, near the golden section of the space
	mostLinks  = 10_000_000
)

func codeOf(i int) string { return fmt.Sprintf(codeFormat, i*codeSpread%codeSpace) }

const (
	destinationHead = "https://example.com/articles/2026/"
	destinationTail = "/a-title-of-ordinary-length?utm_source=news"
)

func destinationOf(i int) string { return fmt.Sprint(destinationHead, i, destinationTail) }

// picks names links, by their numbers.
type picks []int32

func allOf(links int) picks {
	all := make(picks, links)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// sampleOf draws n different ones of the links.
func sampleOf(links, n int) picks {
	all := allOf(links)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, links)]
}

// all gives the folder of -links links.
func (l *lab) all(ctx context.Context) (data string, err error) {
	return l.folder(ctx, "data", l.links)
}

// folder gives the path of a data folder with so many links, which it makes
// unless it is there.
func (l *lab) folder(ctx context.Context, name string, links int) (string, error) {
	path := filepath.Join(l.dir, name)
	if l.folders[path] {
		return path, nil
	}
	if links < 1 || links > mostLinks {
		return "", fmt.Errorf("a folder of %d links: 1 to %d can be made", links, mostLinks)
	}
	if err := l.install(ctx, "sqlite3", "sqlite3"); err != nil {
		return "", err
	}
	migrate := exec.CommandContext(ctx, l.binary, "migrate", "--data", path)
	if out, err := migrate.CombinedOutput(); err != nil {
		return "", fmt.Errorf("kurz migrate: %w: %s", err, out)
	}
	began := time.Now()
	if err := insertLinks(ctx, filepath.Join(path, "kurz.db"), links); err != nil {
		return "", err
	}
	took := time.Since(began)
	if err := l.checkLinks(ctx, path, links); err != nil {
		return "", err
	}
	l.folders[path] = true
	l.say("   %s links made by SQL in %.1f s, %s a second", thousands(float64(links)), took.Seconds(), thousands(float64(links)/took.Seconds()))
	return path, nil
}

// insertLinks writes links as the store does, but without those of its indexes
// that have all links, which are made anew by their own words at the end.
func insertLinks(ctx context.Context, file string, links int) error {
	indexes, err := sqlite3(ctx, file, `SELECT name || '|' || replace(sql, char(10), ' ') FROM sqlite_master WHERE tbl_name = 'links' AND type = 'index' AND sql NOT LIKE '% WHERE %';`)
	if err != nil {
		return err
	}
	var drop, create strings.Builder
	for index := range strings.Lines(indexes) {
		name, sql, _ := strings.Cut(strings.TrimSpace(index), "|")
		fmt.Fprintf(&drop, "DROP INDEX %s;\n", name)
		fmt.Fprintf(&create, "%s;\n", sql)
	}
	// IDs grow with creation: milliseconds since 2020, then 22 bits.
	now := time.Now().Add(-time.Minute)
	firstID := now.Sub(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)).Milliseconds() << 22
	_, err = sqlite3(ctx, file, fmt.Sprintf(`PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -262144;
PRAGMA temp_store = MEMORY;
BEGIN IMMEDIATE;
%[1]s
WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < %[2]d)
INSERT INTO links (id, domain, code, version, redirect_status, edge_ttl, forward_query, destination, alias, created_at, updated_at)
SELECT %[3]d + i, '', printf('%[4]s', i * %[5]d %% %[6]d), 1, 302, 0, 0, '%[7]s' || i || '%[8]s', 0, %[9]d, %[9]d FROM numbers;
%[10]s
COMMIT;
PRAGMA journal_mode = WAL;
`, drop.String(), links, firstID, codeFormat, codeSpread, codeSpace, destinationHead, destinationTail, now.UnixMilli(), create.String()))
	return err
}

// sqlite3 runs SQL by the program of that name.
func sqlite3(ctx context.Context, file, sql string) (string, error) {
	command := exec.CommandContext(ctx, "sqlite3", "-bail", file)
	command.Stdin = strings.NewReader(sql)
	var out, log bytes.Buffer
	command.Stdout, command.Stderr = &out, &log
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("sqlite3: %w: %s", err, log.Bytes())
	}
	return out.String(), nil
}

// checkLinks makes sure that links made by SQL are what the API makes of the
// same destination, and reads some of them back.
func (l *lab) checkLinks(ctx context.Context, data string, links int) error {
	s, err := program.Start(ctx, program.Options{Binary: l.binary, Data: data, Env: everythingOn()})
	if err != nil {
		return err
	}
	defer s.Kill() // where something went wrong; it has ended otherwise
	key, err := s.NewKey(ctx, "bench@example.com", "--role", "admin")
	if err != nil {
		return err
	}
	nobody, err := client.New(s.URL)
	if err != nil {
		return err
	}
	admin, err := client.New(s.URL, client.WithKey(key))
	if err != nil {
		return err
	}
	for _, i := range []int{0, links / 2, links - 1} {
		made, err := nobody.Shorten(ctx, destinationOf(i))
		if err != nil {
			return err
		}
		seeded, err := admin.Get(ctx, codeOf(i))
		if err != nil {
			return err
		}
		if a, b := plain(made), plain(seeded); a != b {
			return fmt.Errorf("a link made by SQL differs from one made by the API: %s, %s", b, a)
		}
		if err := admin.Delete(ctx, made.ShortCode); err != nil {
			return err
		}
	}
	if err := follow(ctx, s.Addr, sampleOf(links, 1000), 1); err != nil {
		return err
	}
	// A server that is measured has done it long ago.
	if err := await(ctx, s, indexing, func(value float64) bool { return value == 0 }); err != nil {
		return err
	}
	return s.Stop(ctx)
}

// plain gives what two links to the same destination have in common.
func plain(k *client.Link) string {
	c := *k
	c.ShortCode, c.ShortURL, c.CreatedAt, c.UpdatedAt, c.ETag = "", "", time.Time{}, time.Time{}, ""
	return fmt.Sprintf("%+v", c)
}
