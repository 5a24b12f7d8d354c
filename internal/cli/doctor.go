package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kurz/internal/app"
	"kurz/internal/backend"
	"kurz/internal/config"
	"kurz/internal/link"
)

// The levels of findings.
const (
	levelOK   = "ok"
	levelWarn = "warn"
	levelFail = "fail"
)

// finding is what the doctor says of one thing.
type finding struct {
	Check   string `json:"check"`
	Level   string `json:"level"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// doctor collects findings.
type doctor struct {
	w        *World
	s        *config.Settings
	findings []finding
}

func doctorCommand(w *World) *cobra.Command {
	c := addJSON(&cobra.Command{
		Use: "doctor", Short: "Check settings, data folder and server", Args: cobra.NoArgs,
		Long: "Check settings, data folder and server, a line each: ok, warn or fail, and what to do.\nIt changes nothing and can run beside the server. Fails if anything does.",
		RunE: func(c *cobra.Command, _ []string) error {
			d := &doctor{w: w}
			loaded, err := settings(w, c)
			if err != nil {
				d.settings(err)
			} else {
				d.s = &loaded.Settings
				d.examine(c.Context(), loaded)
			}
			return d.print(c)
		},
	})
	settingFlags(c)
	return c
}

func (d *doctor) add(check, level, message, fix string) {
	d.findings = append(d.findings, finding{check, level, strings.ReplaceAll(message, "\n", "; "), fix})
}

func (d *doctor) print(c *cobra.Command) error {
	failed := false
	for _, f := range d.findings {
		failed = failed || f.Level == levelFail
	}
	if wantsJSON(c) {
		if err := printJSON(d.w.Stdout, map[string]any{"ok": !failed, "checks": d.findings}); err != nil {
			return err
		}
	} else {
		rows := [][]string{}
		for _, f := range d.findings {
			text := f.Message
			if f.Fix != "" {
				text += ": " + f.Fix
			}
			rows = append(rows, []string{f.Level, f.Check, text})
		}
		if err := table(d.w.Stdout, rows); err != nil {
			return err
		}
	}
	if failed {
		return errSaid
	}
	return nil
}

func (d *doctor) settings(err error) {
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			d.add("settings", levelFail, p, "")
		}
		return
	}
	d.add("settings", levelFail, err.Error(), "")
}

func (d *doctor) examine(ctx context.Context, loaded *config.Loaded) {
	changed := 0
	for _, e := range loaded.Entries() {
		if e.From != "default" {
			changed++
		}
	}
	d.add("settings", levelOK, fmt.Sprintf("%d given, the rest by default", changed), "")
	d.files()
	d.cities(ctx)
	d.clock()
	info, err := os.Stat(d.s.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add("folder", levelFail, d.s.Data+" does not exist", "start 'kurz serve' once, or name the folder with --data")
		return
	case err != nil:
		d.add("folder", levelFail, err.Error(), "run this as the user who runs kurz")
		return
	case !info.IsDir():
		d.add("folder", levelFail, d.s.Data+" is no folder", "name another with --data")
		return
	}
	d.folder(info)
	d.space()
	d.databases(ctx)
	d.codes(*loaded)
	served, err := backend.Served(d.s.Data)
	if err != nil {
		d.add("server", levelFail, err.Error(), "run this as the user who runs kurz")
		return
	}
	d.journal(ctx)
	if served {
		d.server(ctx)
	} else {
		d.add("server", levelOK, "none runs on this folder", "")
	}
}

// files looks at the files that settings name.
func (d *doctor) files() {
	if d.s.Blocklist != "" {
		data, err := os.ReadFile(d.s.Blocklist)
		var domains []string
		if err == nil {
			domains, err = app.ParseBlocklist(data)
		}
		if err != nil {
			d.add("block list", levelFail, err.Error(), "mend the file that KURZ_BLOCKLIST names")
		} else {
			d.add("block list", levelOK, fmt.Sprintf("%d domains", len(domains)), "")
		}
	}
	if d.s.TLSCert == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(d.s.TLSCert, d.s.TLSKey)
	if err != nil {
		d.add("certificate", levelFail, err.Error(), "mend KURZ_TLS_CERT and KURZ_TLS_KEY")
		return
	}
	switch left := pair.Leaf.NotAfter.Sub(d.w.Now()); {
	case left <= 0:
		d.add("certificate", levelFail, "ended on "+moment(pair.Leaf.NotAfter), "renew it")
	case left < 14*24*time.Hour:
		d.add("certificate", levelWarn, "ends on "+moment(pair.Leaf.NotAfter), "renew it; the server takes the new file by itself")
	default:
		d.add("certificate", levelOK, "until "+moment(pair.Leaf.NotAfter), "")
	}
	if err := pair.Leaf.VerifyHostname(d.s.BaseURL.Hostname()); err != nil {
		d.add("certificate", levelWarn, err.Error(), "get one for the host of KURZ_BASE_URL")
	}
}

// oldCities is the age of a city database from which on too many addresses
// have moved.
const oldCities = 60 * 24 * time.Hour

// cities looks at the city database.
func (d *doctor) cities(ctx context.Context) {
	const check = "city database"
	if d.s.GeoIP == "" {
		return
	}
	file, err := backend.InspectCities(ctx, d.s.GeoIP)
	if err != nil {
		d.add(check, levelFail, err.Error(), "name a city database in MaxMind's format by KURZ_GEOIP, or leave it out")
		return
	}
	text := fmt.Sprintf("%s, built on %s, countries: %d, cities: %d", file.Type, moment(file.Built), file.Countries, file.Cities)
	switch age := d.w.Now().Sub(file.Built); {
	case file.Cities == 0:
		d.add(check, levelWarn, text, "it knows no cities: get a city database, or leave KURZ_GEOIP out")
	case age > oldCities:
		d.add(check, levelWarn, fmt.Sprintf("%s, %d days ago", text, age/(24*time.Hour)), "get a newer one; the server takes the new file by itself")
	default:
		d.add(check, levelOK, text, "")
	}
}

func (d *doctor) folder(info fs.FileInfo) {
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		d.add("folder", levelWarn, fmt.Sprintf("%s may be read by others (%o)", d.s.Data, mode), "chmod 700 "+d.s.Data)
		return
	}
	d.add("folder", levelOK, d.s.Data, "")
}

// codes looks at how commands make codes: as the server here, unless they are told
// otherwise.
func (d *doctor) codes(s config.Loaded) {
	whose := "by these settings"
	at, err := backend.ReadServing(s.Data)
	if err == nil {
		if codesAs(at, &s); s.CodeStrategy == at.CodeStrategy && s.CodeLength == at.CodeLength {
			whose = "as the server"
		}
	}
	text, err := backend.InspectCodes(&s.Settings, at)
	if err != nil {
		d.add("codes", levelFail, err.Error(), "")
		return
	}
	d.add("codes", levelOK, whose+": "+text, "")
}

func (d *doctor) space() {
	free, err := backend.FreeSpace(d.s.Data)
	text := fmt.Sprintf("%d MiB free", free>>20)
	switch {
	case err != nil:
		d.add("space", levelWarn, err.Error(), "")
	case free < 128<<20:
		d.add("space", levelFail, text, "make room: without it links can't be made and clicks are lost")
	case free < 1<<30:
		d.add("space", levelWarn, text, "make room soon")
	default:
		d.add("space", levelOK, text, "")
	}
}

func (d *doctor) databases(ctx context.Context) {
	data, err := backend.Inspect(ctx, d.s)
	if err != nil {
		d.add("database", levelFail, err.Error(), "")
		return
	}
	schemas, err := data.Schemas(ctx)
	if err == nil {
		for _, s := range schemas {
			d.add("schema", levelOK, fmt.Sprintf("%s: %d", filepath.Base(s.File), s.Have), "")
		}
		err = data.Integrity(ctx)
	}
	if err == nil {
		err = d.domains(ctx, data)
	}
	if err = closing(data, err); err != nil {
		d.add("database", levelFail, err.Error(), "restore it from a backup")
		return
	}
	d.add("database", levelOK, "intact", "")
}

// domains looks for links of domains that the server, or these settings, do not
// have.
func (d *doctor) domains(ctx context.Context, data *backend.Data) error {
	base, others := d.s.BaseURL, d.s.Domains
	if at, err := backend.ReadServing(d.s.Data); err == nil {
		base, others = at.Base(), at.Domains
	}
	domains, err := link.NewDomains(base, others)
	if err != nil {
		return err
	}
	found, err := data.OfOthers(ctx)
	if err != nil {
		return err
	}
	for _, domain := range slices.Sorted(maps.Keys(found)) {
		if _, err := domains.Named(string(domain)); err != nil {
			d.add("domains", levelWarn, fmt.Sprintf("links of %s, which is not in KURZ_DOMAINS: %d", domain, found[domain]),
				"add it to KURZ_DOMAINS: until then they are not found, and its host gets links of "+domains.Host(""))
		}
	}
	return nil
}

func (d *doctor) journal(ctx context.Context) {
	r, err := backend.InspectJournal(ctx, d.s, nil)
	switch {
	case err != nil:
		d.add("journal", levelFail, err.Error(), "run this as the user who runs kurz, and the kurz that wrote it")
		return
	case r.None:
		d.add("journal", levelOK, "none yet", "")
		return
	}
	text := fmt.Sprintf("%d records, segments: %d, %s", r.Records, len(r.Segments), waiting(&r))
	switch {
	case len(r.Foreign) > 0:
		d.add("journal", levelWarn, fmt.Sprintf("%s; %s is of another journal", text, r.Foreign[0]), "move it to the folder that it was copied from: its clicks are not counted here")
	case !r.Intact():
		where, stored := damaged(&r)
		fix := "each is a click that the statistics will not have: check the disk ('kurz journal verify' tells more)"
		if stored {
			fix = "check the disk; the clicks were stored before, or left out and logged, and the file goes by itself"
		}
		d.add("journal", levelWarn, text+", damaged: "+where, fix)
	case r.NeedsReserve():
		d.add("journal", levelWarn, text+", no reserve", "make room: a full disk would cost clicks at once")
	default:
		d.add("journal", levelOK, text, "")
	}
}

// damaged tells which segments of a journal are damaged, and whether all that
// they ever had was done with before.
func damaged(r *backend.JournalReport) (where string, stored bool) {
	var list []string
	stored = r.Unknown == nil
	for i := range r.Segments {
		s := &r.Segments[i]
		if s.Intact() {
			continue
		}
		what := fmt.Sprintf("%d of %d records", s.Damaged, s.Records+s.Damaged)
		if s.Damaged == 0 {
			what = "the header, no record"
		}
		list = append(list, what+" in "+filepath.Base(s.Path))
		stored = stored && s.Sealed && s.Through <= r.Stored
	}
	return strings.Join(list, "; "), stored
}

// clock looks for a clock that was never set, or went back.
func (d *doctor) clock() {
	now := d.w.Now()
	if now.Year() < 2026 {
		d.add("clock", levelFail, "it is "+moment(now), "set the clock: links begin and end by it")
		return
	}
	entries, err := os.ReadDir(d.s.Data)
	if err != nil {
		return // the folder's own check says why
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().Sub(now) > time.Minute {
			d.add("clock", levelFail, fmt.Sprintf("it is %s, and %s was written at %s", moment(now), e.Name(), moment(info.ModTime())), "set the clock: it went back")
			return
		}
	}
	d.add("clock", levelOK, moment(now)+" UTC", "")
}

// server asks the running server how it is, directly and as people reach it.
func (d *doctor) server(ctx context.Context) {
	at, err := backend.ReadServing(d.s.Data)
	if err != nil {
		d.add("server", levelFail, "one runs on this folder, but its note can't be read: "+err.Error(), "start it anew")
		return
	}
	status, text, err := askServing(ctx, at)
	switch {
	case err != nil:
		d.add("server", levelFail, err.Error(), "look into its log")
		return
	case status != http.StatusOK:
		d.add("server", levelFail, strings.TrimSpace(text), "look into its log")
	default:
		d.add("server", levelOK, strings.TrimSpace(text), "")
	}
	status, text, err = ask(ctx, http.DefaultTransport, at.BaseURL+"/health")
	const fix = "check DNS, proxy and KURZ_BASE_URL"
	switch {
	case err != nil:
		d.add("base URL", levelWarn, "not reached from here: "+err.Error(), fix)
	case status != http.StatusOK || text != "ok\n":
		d.add("base URL", levelWarn, fmt.Sprintf("%s/health is answered with %d by something else", at.BaseURL, status), fix)
	default:
		d.add("base URL", levelOK, at.BaseURL+" leads here", "")
	}
}
