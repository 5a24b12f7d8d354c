// Package backend picks the adapters that the settings ask for and opens them:
// the only package that knows them.
//
// It guarantees that a data folder has one server at a time, while commands go
// on beside it, and that what is in it is readable by its owner alone. Start
// reading at Open (for the server) and OpenData (for commands).
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"kurz/internal/account"
	"kurz/internal/app"
	"kurz/internal/click"
	"kurz/internal/config"
	"kurz/internal/enrich"
	"kurz/internal/journal"
	"kurz/internal/link"
	"kurz/internal/memory"
	"kurz/internal/sqlite"
)

// Data is what is kept in a data folder, open beside any server.
type Data struct {
	Links    link.Store
	Accounts account.Store
	Reports  click.Reports
	main     *sqlite.DB
	clicks   *sqlite.DB
}

// OpenData opens what a server made.
func OpenData(ctx context.Context, s *config.Settings) (*Data, error) {
	return openData(ctx, s.Data, sqlite.Options{Existing: true})
}

// OpenBulk is OpenData for a command that makes many links.
func OpenBulk(ctx context.Context, s *config.Settings) (*Data, error) {
	return openData(ctx, s.Data, sqlite.Options{Existing: true, Bulk: true})
}

// Inspect opens what a server made and leaves its schema as it is.
func Inspect(ctx context.Context, s *config.Settings) (*Data, error) {
	return openData(ctx, s.Data, sqlite.Options{Existing: true, KeepSchema: true})
}

// Migrate brings the schemas in the data folder up to date, making them if
// there are none.
func Migrate(ctx context.Context, s *config.Settings) error {
	if err := prepare(s.Data); err != nil {
		return err
	}
	d, err := openData(ctx, s.Data, sqlite.Options{})
	if err != nil {
		return err
	}
	return d.Close()
}

func openData(ctx context.Context, dir string, o sqlite.Options) (*Data, error) {
	o.Schema = sqlite.Main
	d := &Data{}
	var err error
	if d.main, err = sqlite.Open(ctx, filepath.Join(dir, mainName), o); err != nil {
		return nil, err
	}
	o.Schema, o.Bulk = sqlite.ForClicks, false
	if d.clicks, err = sqlite.Open(ctx, filepath.Join(dir, clicksName), o); err != nil {
		return nil, errors.Join(err, d.main.Close())
	}
	d.Links, d.Accounts = sqlite.NewLinks(d.main), sqlite.NewAccounts(d.main)
	if o.Existing {
		d.Links = sqlite.NewLinksBeside(d.main)
	}
	d.Reports = sqlite.NewClicks(d.clicks)
	return d, nil
}

// Close closes the files.
func (d *Data) Close() error { return errors.Join(d.main.Close(), d.clicks.Close()) }

// Schema is how up to date a file is.
type Schema struct {
	File       string
	Have, Want int
}

// Schemas tells how up to date the files are.
func (d *Data) Schemas(ctx context.Context) ([]Schema, error) {
	var list []Schema
	for _, f := range []struct {
		db     *sqlite.DB
		schema sqlite.Schema
	}{{d.main, sqlite.Main}, {d.clicks, sqlite.ForClicks}} {
		have, want, err := f.db.SchemaVersion(ctx, f.schema)
		if err != nil {
			return nil, err
		}
		list = append(list, Schema{f.db.Path(), have, want})
	}
	return list, nil
}

// Integrity reads every page of the files and gives what is damaged.
func (d *Data) Integrity(ctx context.Context) error {
	return errors.Join(d.main.Check(ctx), d.clicks.Check(ctx))
}

// OfOthers counts the links of each domain but the default one.
func (d *Data) OfOthers(ctx context.Context) (map[link.Domain]int64, error) {
	return sqlite.NewLinks(d.main).OfOthers(ctx)
}

// Options are what the server's parts see of the world.
type Options struct {
	Now    func() time.Time
	Rand   io.Reader // secure
	Logger *slog.Logger
	// Breathe, unless nil, is called several times within a millisecond of work
	// in the background, which it may hold up.
	Breathe func()
}

// Backend is the open data folder of a server.
type Backend struct {
	Parts app.Parts
	// Certificates is the folder for what ACME gives.
	Certificates string

	data    *Data
	journal *journal.Journal
	hasher  *enrich.Hasher
	cities  *enrich.Cities // nil without a city database
	lock    *Lock
}

// limitKeys bounds the clients whose limits are remembered.
const limitKeys = 1_000_000

// Open makes the data folder if need be, becomes its server and opens all that
// is in it.
func Open(ctx context.Context, s *config.Settings, o Options) (*Backend, error) {
	if err := prepare(s.Data); err != nil {
		return nil, err
	}
	lock, err := awaitLock(ctx, s.Data)
	if err != nil {
		return nil, err
	}
	if err := refuseRestoring(s.Data); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	b := &Backend{lock: lock, Certificates: filepath.Join(s.Data, certsName)}
	if err := b.open(ctx, s, o); err != nil {
		// Why it can't be opened says enough; that it then can't be closed
		// in order follows from it.
		_ = b.Close()
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w: make room on the disk of %s and start again", err, s.Data)
		}
		return nil, err
	}
	return b, nil
}

// refuseLost refuses a folder without a link in which clicks of links were counted:
// every link would be told as unknown, and its code be given out again. (Links are
// revoked, never removed.)
func (b *Backend) refuseLost(ctx context.Context, dir string) error {
	counted, err := sqlite.NewClicks(b.data.clicks).Position(ctx, b.journal.ID())
	if err != nil || counted == 0 {
		return err
	}
	keys, err := b.data.Links.Walk(ctx, link.Key{}, 1)
	if err != nil || len(keys) > 0 {
		return err
	}
	return fmt.Errorf("%s in %s has no links, and yet clicks of links were counted here: it was lost, or replaced. "+
		"Restore a backup ('kurz restore'), or move all that is in the folder away to begin anew", mainName, dir)
}

func (b *Backend) open(ctx context.Context, s *config.Settings, o Options) error {
	var err error
	if b.data, err = openData(ctx, s.Data, sqlite.Options{}); err != nil {
		return err
	}
	b.journal, err = journal.Open(filepath.Join(s.Data, journalName), journal.Options{
		Sync: time.Duration(s.ClickSync), Reserve: true, Rand: o.Rand, Logger: o.Logger,
	})
	if err != nil {
		return err
	}
	if err := b.refuseLost(ctx, s.Data); err != nil {
		return err
	}
	b.hasher, err = enrich.OpenHasher(filepath.Join(s.Data, visitorName), enrich.Rotation(s.VisitorKeyRotation), s.VisitorKey, o.Now, o.Rand)
	if err != nil {
		return fmt.Errorf("visitor key: %w", err)
	}
	locator, err := b.locator(s, o)
	if err != nil {
		return err
	}
	secret, err := openSecret(filepath.Join(s.Data, secretName), o.Rand)
	if err != nil {
		return err
	}
	codes, err := b.data.codes(ctx, s, codeSource{o, true})
	if err != nil {
		return err
	}
	answers := sqlite.NewIdempotency(b.data.main)
	if err := answers.EndLeases(ctx); err != nil {
		return err
	}
	jobs := sqlite.NewJobs(b.data.main)
	if err := jobs.EndLeases(ctx); err != nil {
		return err
	}
	clicks := sqlite.NewClicks(b.data.clicks)
	clicks.Breathe = o.Breathe
	links := sqlite.NewLinks(b.data.main)
	links.Breathe = o.Breathe
	b.data.Links = links
	routes := memory.NewRoutes(s.CacheEntries)
	b.Parts = app.Parts{
		Links: links, Index: links, Codes: codes, Routes: routes, Accounts: b.data.Accounts,
		Idempotency: answers, Jobs: jobs, Secret: secret,
		Log: b.journal, Sink: clicks, Reports: clicks, Upkeep: clicks,
		Enricher: enrich.New(), Locator: locator, Hasher: b.hasher,
		Limits: memory.NewLimits(limitKeys),
		Checks: []app.Check{
			{Name: "database", Run: b.pingData}, {Name: "journal", Run: b.checkJournal},
		},
		Measures: slices.Concat(b.journalMeasures(), routeMeasures(routes), b.keyMeasures(), indexMeasures(links), b.cityMeasures()),
	}
	if pool, ok := codes.(*link.PoolCodes); ok {
		b.Parts.Measures = append(b.Parts.Measures, poolMeasures(pool)...)
		b.Parts.Work = append(b.Parts.Work, app.Work{Name: "codes", Run: pool.Run})
	}
	if b.cities != nil {
		b.Parts.Checks = append(b.Parts.Checks, app.Check{Name: "city database", Run: b.describeCities})
	}
	return nil
}

// locator gives what finds the place of an address.
func (b *Backend) locator(s *config.Settings, o Options) (click.Locator, error) {
	if s.GeoIP == "" {
		return enrich.NewLocator(), nil
	}
	var err error
	if b.cities, err = enrich.OpenCities(s.GeoIP, o.Logger); err != nil {
		return nil, fmt.Errorf("KURZ_GEOIP: %w: name a city database in MaxMind's format, or leave the setting out", err)
	}
	return b.cities, nil
}

// Close closes everything, the journal last but the lock.
func (b *Backend) Close() error {
	var err error
	if b.hasher != nil {
		err = b.hasher.Close()
	}
	if b.cities != nil {
		err = errors.Join(err, b.cities.Close())
	}
	if b.data != nil {
		err = errors.Join(err, b.data.Close())
	}
	if b.journal != nil {
		err = errors.Join(err, b.journal.Close())
	}
	return errors.Join(err, b.lock.Close())
}
