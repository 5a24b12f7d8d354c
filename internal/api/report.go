package api

import (
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones are there also where the machine has none

	"kurz/internal/click"
	"kurz/internal/fault"
)

// Bounds of reports.
const (
	defaultDays = 30
	maxRange    = 3653 * 24 * time.Hour // ten years
	maxHourly   = 367 * 24 * time.Hour  // for a series of hours
	maxTop      = 1000
	defaultTop  = 100
	maxValues   = 100 // of one filter
	maxZone     = 64
)

// reportJSON is a report: the Report schema.
type reportJSON struct {
	ShortCode            *string      `json:"short_code"` // null: of many links
	From                 string       `json:"from"`
	To                   string       `json:"to"`
	TimeZone             string       `json:"time_zone"`
	Interval             string       `json:"interval"`
	TotalClicks          int64        `json:"total_clicks"`
	UniqueVisitors       int64        `json:"unique_visitors"`
	UniqueVisitorsPeriod string       `json:"unique_visitors_period"`
	BotClicks            int64        `json:"bot_clicks"`
	QRScans              int64        `json:"qr_scans"`
	LastClickedAt        *string      `json:"last_clicked_at"`
	Series               []bucketJSON `json:"series"`
	ClicksByDay          []dayJSON    `json:"clicks_by_day"`
	ClicksByHour         []hourJSON   `json:"clicks_by_hour"`
	TopReferrers         []countJSON  `json:"top_referrers"`
	TopCountries         []countJSON  `json:"top_countries"`
	TopCities            []countJSON  `json:"top_cities"`
	Devices              []countJSON  `json:"devices"`
	Browsers             []countJSON  `json:"browsers"`
	OperatingSystems     []countJSON  `json:"operating_systems"`
	Languages            []countJSON  `json:"languages"`
	UTMCampaigns         []countJSON  `json:"utm_campaigns"`
}

type countJSON struct {
	Value  string `json:"value"`
	Clicks int64  `json:"clicks"`
}

type bucketJSON struct {
	Start          string `json:"start"`
	Clicks         int64  `json:"clicks"`
	UniqueVisitors int64  `json:"unique_visitors"`
}

type dayJSON struct {
	Date   string `json:"date"` // in the report's zone
	Clicks int64  `json:"clicks"`
}

type hourJSON struct {
	Hour   string `json:"hour"`
	Clicks int64  `json:"clicks"`
}

func (a *API) linkStats(c *call) error {
	q, err := a.reportQuery(c)
	if err != nil {
		return err
	}
	key, err := a.key(c)
	if err != nil {
		return err
	}
	l, err := a.Registry.Get(c.ctx(), c.actor, key)
	if err != nil {
		return err
	}
	q.Subject = click.Subject{Link: l.ID}
	return a.report(c, q, text(l.Code))
}

func (a *API) allStats(c *call) error {
	q, err := a.reportQuery(c)
	if err != nil {
		return err
	}
	of, err := owner(c)
	if err != nil {
		return err
	}
	q.Subject = click.Subject{Owner: of}
	return a.report(c, q, nil)
}

func (a *API) report(c *call, q click.Query, code *string) error {
	r, err := a.Reports.Report(c.ctx(), q)
	if err != nil {
		return err
	}
	return c.reply(a.showReport(&r, code), nil)
}

func (a *API) showReport(r *click.Report, code *string) reportJSON {
	j := reportJSON{
		ShortCode: code, From: moment(r.From), To: moment(r.To),
		TimeZone: r.Zone.String(), Interval: string(r.Interval),
		TotalClicks: r.TotalClicks, UniqueVisitors: r.UniqueVisitors,
		UniqueVisitorsPeriod: a.VisitorPeriod,
		BotClicks:            r.BotClicks, QRScans: r.QRScans, LastClickedAt: stamp(r.LastClickedAt),
		TopReferrers: counts(r, click.ByReferrer), TopCountries: counts(r, click.ByCountry),
		TopCities: counts(r, click.ByCity), Devices: counts(r, click.ByDevice),
		Browsers: counts(r, click.ByBrowser), OperatingSystems: counts(r, click.ByOS),
		Languages: counts(r, click.ByLanguage), UTMCampaigns: counts(r, click.ByCampaign),
	}
	for _, b := range r.Series {
		j.Series = append(j.Series, bucketJSON{moment(b.Start), b.Clicks, b.UniqueVisitors})
	}
	for _, b := range r.ByDay {
		j.ClicksByDay = append(j.ClicksByDay, dayJSON{b.Start.In(r.Zone).Format(time.DateOnly), b.Clicks})
	}
	for _, b := range r.ByHour {
		j.ClicksByHour = append(j.ClicksByHour, hourJSON{moment(b.Start), b.Clicks})
	}
	return j
}

func counts(r *click.Report, d click.Dimension) []countJSON {
	list := make([]countJSON, 0, len(r.Top[d]))
	for _, n := range r.Top[d] {
		list = append(list, countJSON(n))
	}
	return list
}

// reportQuery reads the parameters of a report; its subject is still open.
func (a *API) reportQuery(c *call) (click.Query, error) {
	var errs [4]error
	q, err := a.clickQuery(c, true)
	errs[0] = err
	q.Interval, errs[1] = oneOf(c.query, "interval", click.Daily, click.Hourly, click.Weekly, click.Monthly)
	q.Top, errs[2] = c.query.number("top", defaultTop, 1, maxTop)
	if q.Interval == click.Hourly && q.To.Sub(q.From) > maxHourly {
		errs[3] = fault.Invalid("interval", "hour is for a year at most: ask for a shorter time, or for interval=day")
	}
	return q, gather(errs[:]...)
}

// clickQuery reads the parameters that choose clicks: for a report those of
// the last 30 days, people's only; for a list of clicks all.
func (a *API) clickQuery(c *call, report bool) (click.Query, error) {
	var q click.Query
	var errs [4]error
	q.Zone, errs[0] = zone(c.query)
	kinds := []click.KindSet{click.AllKind, click.Humans, click.Bots}
	if report {
		kinds = []click.KindSet{click.Humans, click.Bots, click.AllKind}
	}
	q.Kinds, errs[1] = oneOf(c.query, "kind", kinds...)
	errs[2] = a.span(c.query, &q, report)
	q.Filters, errs[3] = filters(c.query)
	return q, gather(errs[:]...)
}

// span reads from and to.
func (a *API) span(in query, q *click.Query, report bool) error {
	fromErr := in.time("from", &q.From)
	toErr := in.time("to", &q.To)
	if fromErr != nil || toErr != nil {
		return gather(fromErr, toErr)
	}
	if q.To.IsZero() {
		// The click of this very millisecond belongs to it.
		q.To = a.Now().UTC().Truncate(time.Millisecond).Add(time.Millisecond)
	}
	if q.From.IsZero() {
		if q.From = time.Unix(0, 0).UTC(); report {
			q.From = q.To.AddDate(0, 0, -defaultDays)
		}
	}
	switch {
	case !q.From.Before(q.To) && !in.has("to"):
		return fault.Invalid("from", "must be before now, or send to as well")
	case !q.From.Before(q.To):
		return fault.Invalid("to", "must be after from")
	case report && q.To.Sub(q.From) > maxRange:
		return fault.Invalid("to", "must be at most ten years after from")
	}
	return nil
}

// time reads a time if the parameter is there.
func (q query) time(name string, t *time.Time) error {
	if !q.has(name) {
		return nil
	}
	var err error
	if *t, err = parseTime(q.text(name)); err != nil {
		return fault.Invalid(name, "%s", err.Error())
	}
	return nil
}

// zone reads tz, a name of the IANA time zone database.
func zone(q query) (*time.Location, error) {
	name := q.text("tz")
	if !q.has("tz") {
		return time.UTC, nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" || len(name) > maxZone {
		return time.UTC, fault.Invalid("tz", "must be a time zone such as Europe/Berlin")
	}
	return loc, nil
}

// filters reads the parameters that are named for dimensions. "DE,FR" keeps
// either, "!DE,FR" neither; one that is repeated is as good as one with all the
// values. A backslash takes a comma or an exclamation mark for itself.
func filters(q query) ([]click.Filter, error) {
	var list []click.Filter
	var errs []error
	for _, name := range dimensionNames() {
		keep, drop := click.Filter{Dimension: click.Dimension(name)}, click.Filter{Dimension: click.Dimension(name), Not: true}
		for _, s := range q[name] {
			f := &keep
			s, not := strings.CutPrefix(s, "!")
			if not {
				f = &drop
			}
			if s == "" {
				errs = append(errs, fault.Invalid(name, "is empty: send values, or %q or %q", click.Direct, click.Unknown))
				continue
			}
			f.Values = append(f.Values, splitValues(s)...)
		}
		for _, f := range []click.Filter{keep, drop} {
			if len(f.Values) > maxValues {
				errs = append(errs, fault.Invalid(name, "may have at most %d values", maxValues))
			} else if len(f.Values) > 0 {
				list = append(list, f)
			}
		}
	}
	return list, gather(errs...)
}

// splitValues cuts at commas that have no backslash before them.
func splitValues(s string) []string {
	values := []string{""}
	last := &values[0]
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`\,!`, s[i+1]) >= 0:
			i++
			*last += s[i : i+1]
		case s[i] == ',':
			values = append(values, "")
			last = &values[len(values)-1]
		default:
			*last += s[i : i+1]
		}
	}
	return values
}

// dimensionNames lists the dimensions, which are parameters too.
func dimensionNames() []string {
	names := make([]string, 0, len(click.Dimensions))
	for _, d := range click.Dimensions {
		names = append(names, string(d))
	}
	return slices.Clip(names)
}
