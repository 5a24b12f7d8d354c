package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"kurz/internal/account"
	"kurz/internal/backend"
	"kurz/internal/config"
	"kurz/internal/export"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// importFrom is an import of a file that another shortener, or another kurz,
// gave away.
type importFrom struct {
	from, domain, owner string
	rename, check       bool
}

func importCommand(w *World) *cobra.Command {
	var i importFrom
	var rows importRows
	c := addJSON(&cobra.Command{
		Use: "import FILE", Short: "Make links of a file, or take them over from another shortener", Args: cobra.ExactArgs(1),
		Long: `Make a link of each row of a file, of any length: in the data folder, beside its
server or not, or with --server as a bulk job of that server. The file, or
standard input with -, packed by gzip or not, is

  CSV     with a header that names the columns: long_url, and if wanted
          custom_alias, domain, title, tags, notes, expires_at, … as in the API;
          separated by commas, semicolons or tabs, in UTF-8 or UTF-16
  JSON    an array of objects with these names
  NDJSON  such an object a line

Rows that fail are written to FILE.failures.csv, to be corrected there and
imported. An import that was ended in its middle goes on when it is run again:
no row is made twice whose number, text, header and owner are as they were. A
server makes one job of the same file, not standard input, within 24 hours.

With --from, links are taken over from a file that another shortener gives, or
'kurz export'. Codes, dates, titles, tags and numbers of clicks are kept. What
can't be taken is told, row by row, and the rest taken; what was taken before is
told, too, so that this can be repeated.

  kurz    CSV or JSON lines of 'kurz export'
  bitly   CSV of links, or JSON of GET /v4/groups/…/bitlinks
  yourls  SQL dump, CSV of the table …url, or JSON of the API's action stats
  shlink  CSV of the web client, or JSON of GET /rest/v3/short-urls
  kutt    JSON of GET /api/v2/links, or CSV with these names
  dub     CSV of links, or JSON of GET /links
  csv     any other with names such as code, url, title, tags, clicks, created`,
		Example: "  kurz import links.csv --user ada@example.org\n  kurz import --from bitly links.csv\n  kurz import --from yourls yourls.sql --owner ada@example.org --check",
		RunE: func(c *cobra.Command, args []string) error {
			for _, f := range []struct {
				name string
				from bool // is for --from
			}{{"domain", true}, {"owner", true}, {"rename", true}, {"check", true}, {"user", false}, {"failures", false}} {
				if c.Flags().Changed(f.name) && f.from != (i.from != "") {
					without := map[bool]string{true: "without", false: "with"}[f.from]
					return usageError{fmt.Errorf("--%s can't be used %s --from", f.name, without), c.CommandPath()}
				}
			}
			if i.from == "" {
				return rows.run(w, c, args[0])
			}
			return i.run(w, c, args[0])
		},
	})
	f := c.Flags()
	f.StringVar(&rows.user, "user", "", "email of the user who is to own the links (default: nobody)")
	f.StringVar(&rows.failures, "failures", "", "file for the rows that fail (default: FILE.failures.csv)")
	f.StringVar(&i.from, "from", "", "whose file it is: kurz, bitly, yourls, shlink, kutt, dub or csv")
	f.StringVar(&i.domain, "domain", "", "with --from: the domain for links of hosts that are not this server's (default: the default one)")
	f.StringVar(&i.owner, "owner", "", "with --from: email of the user who is to own all links (default: who owned them, if known here, else nobody)")
	f.BoolVar(&i.rename, "rename", false, "with --from: draw another code where one is taken or not possible here, instead of leaving the link out")
	f.BoolVar(&i.check, "check", false, "with --from: take nothing, only tell what is in the file")
	settingFlags(c, "DATA", "BASE_URL", "DOMAINS", "SERVER")
	return c
}

// The outcomes of rows.
const (
	rowTaken   = "taken"
	rowRenamed = "renamed"
	rowThere   = "there already"
	rowLeftOut = "left out"
)

// rowReport says what became of a row, where that is worth telling.
type rowReport struct {
	Row     int      `json:"row"`
	Code    string   `json:"short_code,omitempty"`
	LongURL string   `json:"long_url,omitempty"`
	Outcome string   `json:"outcome"`
	NewCode string   `json:"new_code,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Lost    []string `json:"lost,omitempty"` // what kurz has no place for
}

// importReport says what an import did.
type importReport struct {
	From    string         `json:"from"`
	Kind    string         `json:"kind"`
	Checked bool           `json:"checked_only"`
	Rows    int            `json:"rows"`
	Counts  map[string]int `json:"outcomes"`
	Clicks  int64          `json:"clicks"` // that links had
	Unknown []string       `json:"unknown_fields,omitempty"`
	Domains map[string]int `json:"other_domains,omitempty"` // hosts that are not this server's, and how many links they had
	Owners  map[string]int `json:"unknown_owners,omitempty"`
	Told    []rowReport    `json:"told"`
	Untold  int            `json:"untold"` // rows beyond maxTold
}

// maxTold bounds the rows that a report tells of, importers the rows that are
// stored at once: they share a transaction.
const (
	maxTold   = 10_000
	importers = 64
)

func (i *importFrom) run(w *World, c *cobra.Command, path string) error {
	format, err := export.ParseFormat(i.from)
	if err != nil {
		return usageError{errors.New("--" + reason(err)), c.CommandPath()}
	}
	s, err := settings(w, c)
	if err != nil {
		return err
	}
	if s.Server != "" {
		return errors.New("links of elsewhere are imported on the data folder, not through a server: run this where it is")
	}
	defer interruptible(c)()
	in, size, err := openBackup(path)
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := backend.OpenData(c.Context(), &s.Settings)
	if err != nil {
		return err
	}
	m, err := i.mover(c.Context(), w, s, data, format)
	if err == nil {
		bar := newBar(w, "importing")
		err = m.read(c.Context(), &counted{r: in, total: size, tell: bar.reach}, importers)
		bar.end()
	}
	err = closing(data, err)
	if m != nil && (err == nil || len(m.report.Counts) > 0) { // what was taken before an error is told, too
		err = errors.Join(m.print(w, c), err)
	}
	if err != nil {
		return fmt.Errorf("%s: %s", path, whatFailed(err))
	}
	if m.report.Counts[rowLeftOut] > 0 {
		return errSaid
	}
	return nil
}

// counted is a reader that tells how much was read.
type counted struct {
	r           io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	c.tell(c.done, c.total)
	return n, err
}

// mover is one import.
type mover struct {
	*importFrom
	format   export.Format
	registry *link.Registry
	domains  *link.Domains
	other    link.Domain // for links of hosts that are not this server's
	all      account.ID  // owner of all links; 0: see owned
	users    map[string]account.ID

	mu     sync.Mutex
	report importReport
	seen   map[link.Key]bool // by a check, which stores nothing
}

func (i *importFrom) mover(ctx context.Context, w *World, s *config.Loaded, data *backend.Data, format export.Format) (*mover, error) {
	core, err := newCore(w, s, data)
	if err != nil {
		return nil, err
	}
	other, err := core.Domains.Named(i.domain)
	if err != nil {
		return nil, err
	}
	m := &mover{importFrom: i, other: other, format: format, registry: core.Registry, domains: core.Domains, users: map[string]account.ID{}, seen: map[link.Key]bool{}}
	m.report = importReport{From: string(format), Checked: i.check, Counts: map[string]int{}, Domains: map[string]int{}, Owners: map[string]int{}, Told: []rowReport{}}
	people := account.NewDirectory(data.Accounts, w.Now, w.Rand)
	if i.owner != "" {
		u, err := people.UserByEmail(ctx, i.owner)
		if err != nil {
			return nil, err
		}
		m.all = u.ID
	}
	for page := (account.Page{Limit: 500}); ; {
		users, next, err := people.Users(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			m.users[u.ID.String()], m.users[u.Email] = u.ID, u.ID
		}
		if page.After = next; next == "" {
			return m, nil
		}
	}
}

// read imports the rows of a file, several at a time.
func (m *mover) read(ctx context.Context, in io.Reader, workers int) error {
	text, err := unpacked(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rows := make(chan *export.Row, workers)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for r := range rows {
				if err := m.row(ctx, r); err != nil {
					cancel(err) // the store can't be written
				}
			}
		})
	}
	found, err := export.Read(m.format, text, func(r *export.Row) error {
		select {
		case rows <- r:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(rows)
	working.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	m.report.Kind, m.report.Unknown = found.Kind, found.Unknown
	for _, n := range m.report.Counts {
		m.report.Rows += n
	}
	slices.SortFunc(m.report.Told, func(a, b rowReport) int { return a.Row - b.Row })
	return err
}

// row imports a row. Only what keeps all others from being imported, too, is an
// error.
func (m *mover) row(ctx context.Context, r *export.Row) error {
	told := rowReport{Row: r.Number, Code: r.ShortCode, LongURL: r.LongURL, Lost: r.Lost}
	if r.Err != nil {
		told.Outcome, told.Reason = rowLeftOut, r.Err.Error()
		m.tell(told, 0)
		return nil
	}
	i := m.imported(r)
	i.Operation = m.operation(r)
	_, outcome, err := m.store(ctx, i)
	told.Outcome = rowTaken
	there := outcome == link.Repeated || fault.Is(err, fault.AliasTaken) && m.same(ctx, i)
	if err != nil && !there && m.rename && renames(err) {
		told.Outcome, told.Reason = rowRenamed, reason(err)
		i.Alias, i.Generated = "", true
		var l link.Link
		l, outcome, err = m.store(ctx, i)
		there, told.NewCode = outcome == link.Repeated, string(l.Code)
	}
	switch {
	case there:
		told.Outcome, told.Reason = rowThere, "it leads to the same destination"
	case err != nil && (fault.CodeOf(err) == fault.Internal || fault.Is(err, fault.Unavailable)):
		return err
	case err != nil:
		told.Outcome, told.NewCode, told.Reason = rowLeftOut, "", reason(err)
	}
	m.tell(told, i.PriorClicks)
	return nil
}

// renames reports whether another code would help.
func renames(err error) bool {
	f := fault.Of(err)
	return f.Code == fault.AliasTaken || f.Code == fault.ValidationFailed && len(f.Details) == 1 && f.Details[0].Field == "short_code"
}

// reason gives what is wrong, with the fields that it is about.
func reason(err error) string {
	f := fault.Of(err)
	if len(f.Details) == 0 {
		return f.Message
	}
	var list []string
	for _, d := range f.Details {
		list = append(list, d.Field+" "+d.Reason)
	}
	return strings.Join(list, "; ")
}

// operation names the import of a row: the same file again takes nothing twice,
// also where a code was drawn.
func (m *mover) operation(r *export.Row) link.Operation {
	sum := sha256.Sum256(fmt.Appendf(nil, "kurz import from %s\n%d %d\n%q\n%q\n%q\n%d %d", m.format, r.Number, m.all, r.ShortCode, r.LongURL, r.Title, r.CreatedAt.UnixMilli(), r.Clicks))
	return link.Operation(sum[:16])
}

// store imports a link, or only checks it.
func (m *mover) store(ctx context.Context, i link.Imported) (link.Link, link.Outcome, error) {
	if m.check {
		l, err := m.checked(ctx, i)
		return l, 0, err
	}
	return m.registry.Import(ctx, account.Operator(), i)
}

func (m *mover) checked(ctx context.Context, i link.Imported) (link.Link, error) {
	l, err := m.registry.CheckImport(i)
	if err != nil || l.Code == "" {
		return l, err
	}
	taken := fault.New(fault.AliasTaken, "Short code '%s' is taken", l.Code)
	m.mu.Lock()
	twice := m.seen[l.Key]
	m.seen[l.Key] = true
	m.mu.Unlock()
	if twice {
		return l, taken
	}
	if _, err := m.registry.Peek(ctx, l.Key); !fault.Is(err, fault.URLNotFound) {
		if err == nil {
			err = taken
		}
		return l, err
	}
	return l, nil
}

// same reports whether the link that has the code leads where i does: an import
// that is repeated takes nothing twice.
func (m *mover) same(ctx context.Context, i link.Imported) bool {
	want, err := m.registry.CheckImport(i)
	if err != nil {
		return false
	}
	there, err := m.registry.Peek(ctx, want.Key)
	return err == nil && there.Destination == want.Destination && there.CreatedAt.Equal(want.CreatedAt) && there.PriorClicks == want.PriorClicks
}

// imported makes of a row what is to be imported.
func (m *mover) imported(r *export.Row) link.Imported {
	i := link.Imported{
		Creation: link.Creation{
			LongURL: r.LongURL, Alias: r.ShortCode, Domain: m.domainOf(r.Domain), StartsAt: r.StartsAt, ExpiresAt: r.ExpiresAt,
			ExpiredURL: r.ExpiredURL, RedirectStatus: r.RedirectStatus, EdgeTTL: seconds(r.EdgeTTL), ForwardQuery: r.ForwardQuery,
			Title: r.Title, Notes: r.Notes, Tags: r.Tags, ContentID: r.ContentID,
		},
		Generated: m.format == export.Kurz && !r.Alias, Owner: m.ownerOf(r.Owner, r.OwnerEmail),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, RevokedAt: r.RevokedAt, PriorClicks: r.Clicks,
	}
	if r.Banned && i.RevokedAt.IsZero() {
		i.RevokedAt = r.UpdatedAt
		if i.RevokedAt.IsZero() {
			i.RevokedAt = r.CreatedAt
		}
	}
	return i
}

// domainOf gives a domain of this server for a host.
func (m *mover) domainOf(host string) string {
	if _, err := m.domains.Named(host); err == nil {
		if host == "" {
			return m.domain
		}
		return host
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.report.Domains[host]; known || len(m.report.Domains) < maxTold {
		m.report.Domains[host]++
	}
	return m.domain
}

// ownerOf gives the user who owned a link: by ID, as after a restore, or by email,
// as where accounts were made anew.
func (m *mover) ownerOf(name, email string) account.ID {
	if m.all != 0 || name == "" && email == "" {
		return m.all
	}
	if id, ok := m.users[name]; ok {
		return id
	}
	if id, ok := m.users[strings.ToLower(email)]; ok {
		return id
	}
	if email != "" {
		name = email // by which people know who it is
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.report.Owners[name]; known || len(m.report.Owners) < maxTold {
		m.report.Owners[name]++
	}
	return 0
}

// tell notes what became of a row.
func (m *mover) tell(r rowReport, clicks int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Counts[r.Outcome]++
	if r.Outcome == rowTaken || r.Outcome == rowRenamed {
		m.report.Clicks += clicks
	}
	switch {
	case r.Outcome == rowTaken && len(r.Lost) == 0:
	case len(m.report.Told) < maxTold:
		m.report.Told = append(m.report.Told, r)
	default:
		m.report.Untold++
	}
}
