package api

import (
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones are there also where the machine has none

	"kurz/internal/click"
	"kurz/internal/enrich"
	"kurz/internal/fault"
	"kurz/internal/link"
)

// Bounds of reports.
const (
	defaultDays = 30
	maxRange    = 3653 * 24 * time.Hour // ten years
	maxHourly   = 367 * 24 * time.Hour  // for a series of hours
	maxTop      = 1000
	defaultTop  = 100
	maxZone     = 64
)

// reportJSON is a report: the Report schema.
type reportJSON struct {
	ShortCode            *string `json:"short_code"` // null: of many links
	From                 string  `json:"from"`
	To                   string  `json:"to"`
	TimeZone             string  `json:"time_zone"`
	Interval             string  `json:"interval"`
	TotalClicks          int64   `json:"total_clicks"`
	PriorClicks          *int64  `json:"prior_clicks"` // null: of many links
	UniqueVisitors       int64   `json:"unique_visitors"`
	UniqueVisitorsPeriod string  `json:"unique_visitors_period"`
	BotClicks            int64   `json:"bot_clicks"`
	QRScans              int64   `json:"qr_scans"`
	LastClickedAt        *string `json:"last_clicked_at"`
	CountedSince         *string `json:"counted_since"` // null: From
	// Previous and Change are null unless compare=previous is asked for.
	Previous         *previousJSON `json:"previous"`
	Change           *changeJSON   `json:"change"`
	Series           []bucketJSON  `json:"series"`
	ClicksByDay      []dayJSON     `json:"clicks_by_day"`
	ClicksByHour     []hourJSON    `json:"clicks_by_hour"`
	TopReferrers     []countJSON   `json:"top_referrers"`
	TopCountries     []countJSON   `json:"top_countries"`
	TopRegions       []countJSON   `json:"top_regions"`
	TopCities        []countJSON   `json:"top_cities"`
	Devices          []countJSON   `json:"devices"`
	Browsers         []countJSON   `json:"browsers"`
	OperatingSystems []countJSON   `json:"operating_systems"`
	Languages        []countJSON   `json:"languages"`
	UTMSources       []countJSON   `json:"utm_sources"`
	UTMMediums       []countJSON   `json:"utm_mediums"`
	UTMCampaigns     []countJSON   `json:"utm_campaigns"`
	Triggers         []countJSON   `json:"triggers"`
}

// previousJSON is what the time before was like: the Previous schema.
type previousJSON struct {
	From           string       `json:"from"`
	To             string       `json:"to"`
	TotalClicks    int64        `json:"total_clicks"`
	UniqueVisitors int64        `json:"unique_visitors"`
	BotClicks      int64        `json:"bot_clicks"`
	QRScans        int64        `json:"qr_scans"`
	Series         []bucketJSON `json:"series"`
}

// changeJSON is by what part numbers grew since then: the Change schema. What
// grew from nothing is null.
type changeJSON struct {
	TotalClicks    *float64 `json:"total_clicks"`
	UniqueVisitors *float64 `json:"unique_visitors"`
	BotClicks      *float64 `json:"bot_clicks"`
	QRScans        *float64 `json:"qr_scans"`
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

// asked is a report that is asked for.
type asked struct {
	click.Query
	code    link.Code // "": of many links
	prior   *int64
	compare bool
}

// told is what the statistics say to it. Previous is nil unless asked for.
type told struct {
	click.Report
	previous *click.Report
}

func (a *API) linkStats(c *call) error { return a.stats(c, (*API).linkReport, (*API).replyReport) }
func (a *API) allStats(c *call) error  { return a.stats(c, (*API).ownReport, (*API).replyReport) }
func (a *API) linkStatsCSV(c *call) error {
	return a.stats(c, (*API).linkReport, (*API).replyReportCSV)
}

func (a *API) allStatsCSV(c *call) error { return a.stats(c, (*API).ownReport, (*API).replyReportCSV) }

// stats answers with a report on what about finds, as reply shows it.
func (a *API) stats(c *call, about func(*API, *call, *asked) error, reply func(*API, *call, *asked, *told) error) error {
	var ask asked
	var compareErr, queryErr error
	ask.Query, queryErr = a.reportQuery(c)
	ask.compare, compareErr = comparison(c.query)
	if err := gather(queryErr, compareErr); err != nil {
		return err
	}
	if err := about(a, c, &ask); err != nil {
		return err
	}
	var t told
	var err error
	if t.Report, err = a.Reports.Report(c.ctx(), ask.Query); err != nil {
		return err
	}
	if ask.compare {
		before := ask.Query.Previous()
		before.Top = 1 // nobody looks at the lists
		r, err := a.Reports.Report(c.ctx(), before)
		if err != nil {
			return err
		}
		t.previous = &r
	}
	return reply(a, c, &ask, &t)
}

// comparison reads compare: whether the time before is asked for too.
func comparison(q query) (bool, error) {
	if !q.has("compare") {
		return false, nil
	}
	_, err := oneOf(q, "compare", "previous")
	return err == nil, err
}

// linkReport makes it a report on the link of the path.
func (a *API) linkReport(c *call, ask *asked) error {
	l, err := a.clicksOf(c, &ask.Query)
	ask.code, ask.prior = l.Code, &l.PriorClicks
	return err
}

// ownReport makes it a report on all of someone's links.
func (a *API) ownReport(c *call, ask *asked) error {
	of, err := owner(c)
	ask.Subject = click.Subject{Owner: of}
	return err
}

func (a *API) replyReport(c *call, ask *asked, t *told) error {
	j := a.showReport(&t.Report, text(ask.code))
	j.PriorClicks = ask.prior
	if p := t.previous; p != nil {
		j.Previous = &previousJSON{
			From: moment(p.From), To: moment(p.To), TotalClicks: p.TotalClicks, UniqueVisitors: p.UniqueVisitors,
			BotClicks: p.BotClicks, QRScans: p.QRScans, Series: buckets(p.Series),
		}
		j.Change = &changeJSON{
			TotalClicks: change(p.TotalClicks, t.TotalClicks), UniqueVisitors: change(p.UniqueVisitors, t.UniqueVisitors),
			BotClicks: change(p.BotClicks, t.BotClicks), QRScans: change(p.QRScans, t.QRScans),
		}
	}
	return c.reply(j, nil)
}

// change shows a relative change; null where there was nothing before.
func change(before, now int64) *float64 {
	if part, ok := click.RelativeChange(before, now); ok {
		return &part
	}
	return nil
}

func (a *API) showReport(r *click.Report, code *string) reportJSON {
	j := reportJSON{
		ShortCode: code, From: moment(r.From), To: moment(r.To),
		TimeZone: r.Zone.String(), Interval: string(r.Interval),
		TotalClicks: r.TotalClicks, UniqueVisitors: r.UniqueVisitors,
		UniqueVisitorsPeriod: a.VisitorPeriod,
		BotClicks:            r.BotClicks, QRScans: r.QRScans, LastClickedAt: stamp(r.LastClickedAt), CountedSince: stamp(r.Since),
		TopReferrers: counts(r, click.ByReferrer), TopCountries: counts(r, click.ByCountry),
		TopRegions: counts(r, click.ByRegion), TopCities: counts(r, click.ByCity), Devices: counts(r, click.ByDevice),
		Browsers: counts(r, click.ByBrowser), OperatingSystems: counts(r, click.ByOS),
		Languages: counts(r, click.ByLanguage), UTMSources: counts(r, click.BySource),
		UTMMediums: counts(r, click.ByMedium), UTMCampaigns: counts(r, click.ByCampaign),
		Triggers: counts(r, click.ByTrigger), Series: buckets(r.Series),
	}
	for _, b := range r.ByDay {
		j.ClicksByDay = append(j.ClicksByDay, dayJSON{b.Start.In(r.Zone).Format(time.DateOnly), b.Clicks})
	}
	for _, b := range r.ByHour {
		j.ClicksByHour = append(j.ClicksByHour, hourJSON{beginning(b.Start), b.Clicks})
	}
	return j
}

func buckets(series []click.Bucket) []bucketJSON {
	list := make([]bucketJSON, 0, len(series))
	for _, b := range series {
		list = append(list, bucketJSON{beginning(b.Start), b.Clicks, b.UniqueVisitors})
	}
	return list
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
		hint := ""
		if strings.Contains(q.text(name), " ") {
			hint = "; write %2B for a + in a query"
		}
		return fault.Invalid(name, "%s%s", err.Error(), hint)
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

// filters reads the parameters that are named for dimensions.
func filters(q query) ([]click.Filter, error) {
	given := map[string][]string{}
	for _, name := range dimensionNames() {
		if q.has(name) {
			given[name] = q[name]
		}
	}
	list, err := click.ParseFilters(given)
	enrich.Spell(list)
	return list, err
}

// dimensionNames lists the dimensions, which are parameters too.
func dimensionNames() []string {
	names := make([]string, 0, len(click.Dimensions))
	for _, d := range click.Dimensions {
		names = append(names, string(d))
	}
	return slices.Clip(names)
}
