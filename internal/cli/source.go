package cli

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"kurz/client"
	"kurz/internal/account"
	"kurz/internal/app"
	"kurz/internal/backend"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/fault"
	"kurz/internal/link"
	"kurz/internal/qr"
)

// source is where the commands about links work: on a server, through
// client.Client, or on the data folder.
type source interface {
	Create(ctx context.Context, n client.NewLink) (*client.Link, error)
	List(ctx context.Context, f client.Filter) iter.Seq2[*client.Link, error]
	Stats(ctx context.Context, code string, s client.Stats) (*client.Report, error)
	AllStats(ctx context.Context, s client.Stats) (*client.Report, error)
	QR(ctx context.Context, code string, q client.QR) ([]byte, error)
	// Email gives that of an owner; "" where it is not told.
	Email(ctx context.Context, owner string) (string, error)
}

// withLinks calls fn with the server that KURZ_SERVER names, or, without one,
// with the data folder, as its operator.
func withLinks(w *World, c *cobra.Command, domain string, fn func(context.Context, source) error) error {
	s, err := settings(w, c)
	if err != nil {
		return err
	}
	if s.Server != "" {
		server, err := client.New(s.Server, client.WithKey(s.APIKey), client.WithUserAgent("kurz-cli"),
			client.WithHTTPClient(&http.Client{Timeout: time.Minute}))
		if err != nil {
			return err
		}
		return fn(c.Context(), &remote{Client: server.On(domain)})
	}
	data, err := backend.OpenData(c.Context(), &s.Settings)
	if err != nil {
		return err
	}
	src, err := newFolder(w, s, data, domain)
	if err == nil {
		err = fn(c.Context(), src)
	}
	return closing(data, err)
}

// closing closes the data folder and gives the first error.
func closing(data *backend.Data, err error) error {
	return errors.Join(err, data.Close())
}

// remote is a server as a source.
type remote struct {
	*client.Client
	me *client.User
}

// Email gives that of whose key it is: a server tells no other.
func (r *remote) Email(ctx context.Context, owner string) (string, error) {
	if r.me == nil {
		me, err := r.Me(ctx)
		if err != nil {
			return "", err
		}
		r.me = me
	}
	if r.me.ID != owner {
		return "", nil
	}
	return r.me.Email, nil
}

// folder is the data folder as a source.
type folder struct {
	people  *account.Directory
	emails  map[string]string // those that were asked for, by owner
	links   *link.Registry
	reports click.Reports
	domains *link.Domains
	domain  link.Domain
	named   bool // a domain was named
	now     func() time.Time
	period  string
	logo    *qr.Logo // of QR codes
}

func newFolder(w *World, s *config.Loaded, data *backend.Data, domain string) (*folder, error) {
	core, err := newCore(w, s, data)
	if err != nil {
		return nil, err
	}
	d, err := core.Domains.Named(domain)
	if err != nil {
		return nil, err
	}
	return &folder{
		people: account.NewDirectory(data.Accounts, w.Now, w.Rand), emails: map[string]string{},
		links: core.Registry, reports: data.Reports, domains: core.Domains,
		domain: d, named: domain != "", now: w.Now, period: app.VisitorPeriod(&s.Settings),
		logo: core.Logo,
	}, nil
}

// newCore gives the rules for links of a data folder. Where a server runs on it,
// that knows better under which address, and how codes are made.
func newCore(w *World, s *config.Loaded, data *backend.Data) (*app.Core, error) {
	at, err := backend.ReadServing(s.Data)
	served := err == nil
	if served && s.Default("KURZ_BASE_URL") {
		s.BaseURL, s.Domains = at.Base(), at.Domains
	}
	codesAs(at, s)
	codes := &lateCodes{open: func(ctx context.Context) (link.Codes, error) {
		if served && at.CodeKey != "" {
			mark, err := backend.CodeKeyMark(&s.Settings)
			if errors.Is(err, fs.ErrNotExist) || err == nil && mark != "" && mark != at.CodeKey {
				err = errors.New("the server on this folder has another KURZ_CODE_KEY: give this command the same one, or name the server with --server")
			}
			if err != nil {
				return nil, err
			}
		}
		return data.Codes(ctx, &s.Settings, w.Now, w.Rand)
	}}
	return app.NewCore(&s.Settings, data.Links, codes, app.Surroundings{Now: w.Now, Rand: w.Rand})
}

// codesAs has codes made as a server does, where the settings do not say; a zero
// server changes nothing.
func codesAs(at backend.Serving, s *config.Loaded) {
	if at.CodeStrategy != "" && s.Default("KURZ_CODE_STRATEGY") {
		s.CodeStrategy = at.CodeStrategy
	}
	if at.CodeLength != 0 && s.Default("KURZ_CODE_LENGTH") {
		s.CodeLength = at.CodeLength
	}
}

// lateCodes are opened with the first code: most commands need none.
type lateCodes struct {
	open  func(context.Context) (link.Codes, error)
	once  sync.Once
	codes link.Codes
	err   error
}

// Next implements link.Codes.
func (l *lateCodes) Next(ctx context.Context, d link.Draw) (link.Code, error) {
	l.once.Do(func() { l.codes, l.err = l.open(ctx) })
	if l.err != nil {
		return "", l.err
	}
	return l.codes.Next(ctx, d)
}

// Create makes a link of nobody's.
func (f *folder) Create(ctx context.Context, n client.NewLink) (*client.Link, error) {
	l, _, err := f.links.Create(ctx, account.Operator(), link.Creation{
		LongURL: n.LongURL, Alias: n.CustomAlias, Domain: n.Domain,
		StartsAt: n.StartsAt, ExpiresAt: n.ExpiresAt, ExpiredURL: n.ExpiredURL,
		RedirectStatus: n.RedirectStatus, EdgeTTL: time.Duration(n.EdgeTTL) * time.Second,
		ForwardQuery: n.ForwardQuery, Title: n.Title, Notes: n.Notes, Tags: n.Tags,
		ContentID: n.ContentID, FindExisting: n.FindExisting, CodeLength: n.CodeLength,
	})
	if err != nil {
		return nil, err
	}
	return f.show(&l, 0), nil
}

// Email is that of source.
func (f *folder) Email(ctx context.Context, owner string) (string, error) {
	email, known := f.emails[owner]
	if known {
		return email, nil
	}
	id, err := account.ParseID(owner)
	if err != nil {
		return "", err
	}
	u, err := f.people.User(ctx, id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", err
	}
	f.emails[owner] = u.Email
	return u.Email, nil
}

// List gives everybody's links.
func (f *folder) List(ctx context.Context, filter client.Filter) iter.Seq2[*client.Link, error] {
	return func(yield func(*client.Link, error) bool) {
		q, err := f.query(filter)
		for err == nil {
			var page []link.Link
			var totals map[link.ID]int64
			if page, q.After, err = f.links.Page(ctx, account.Operator(), q); err != nil {
				break
			}
			if totals, err = f.totals(ctx, page); err != nil {
				break
			}
			for i := range page {
				if !yield(f.show(&page[i], totals[page[i].ID]), nil) {
					return
				}
			}
			if q.After.IsZero() {
				return
			}
		}
		yield(nil, err)
	}
}

func (f *folder) query(filter client.Filter) (link.Query, error) {
	sort, err := link.ParseSort(filter.Sort)
	if err != nil {
		return link.Query{}, err
	}
	q := link.Query{Text: filter.Text, Tag: filter.Tag, Status: link.Status(filter.Status), Sort: sort, Limit: filter.PageSize}
	if f.named {
		q.Domain = &f.domain
	}
	if q.Status != "" && !slices.Contains([]link.Status{link.Scheduled, link.Active, link.Expired, link.Revoked}, q.Status) {
		return q, fault.Invalid("status", "must be scheduled, active, expired or revoked")
	}
	switch filter.Archived {
	case "", "false":
	case "true":
		q.Archived = link.OnlyArchived
	case "any":
		q.Archived = link.AlsoArchived
	default:
		return q, fault.Invalid("archived", "must be true, false or any")
	}
	return q, nil
}

func (f *folder) totals(ctx context.Context, page []link.Link) (map[link.ID]int64, error) {
	if len(page) == 0 {
		return nil, nil
	}
	ids := make([]link.ID, len(page))
	for i := range page {
		ids[i] = page[i].ID
	}
	return f.reports.Totals(ctx, ids)
}

func (f *folder) show(l *link.Link, clicks int64) *client.Link {
	shown := &client.Link{
		ShortCode: string(l.Code), ShortURL: f.domains.ShortURL(l.Key), Domain: f.domains.Host(l.Domain),
		LongURL: string(l.Destination), Status: string(l.Status(f.now())), Clicks: clicks + l.PriorClicks, PriorClicks: l.PriorClicks, Owner: l.Owner.String(),
		Title: l.Title, Notes: l.Notes, Tags: l.Tags, ContentID: l.ContentID,
		RedirectStatus: l.RedirectStatus, EdgeTTL: int(l.EdgeTTL / time.Second), ForwardQuery: l.ForwardQuery,
		ExpiredURL: string(l.ExpiredURL), CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt,
		StartsAt: l.StartsAt, ExpiresAt: l.ExpiresAt, RevokedAt: l.RevokedAt, ArchivedAt: l.ArchivedAt,
	}
	if l.Alias {
		shown.CustomAlias = shown.ShortCode
	}
	if shown.Tags == nil {
		shown.Tags = []string{}
	}
	return shown
}
