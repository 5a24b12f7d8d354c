package cli

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kurz/client"
	"kurz/internal/click"
)

func statsCommand(w *World) *cobra.Command {
	var q client.Stats
	var domain string
	var filters filterFlags
	from, to := momentFlag{now: w.Now}, momentFlag{now: w.Now}
	c := addJSON(&cobra.Command{
		Use: "stats [CODE]", Short: "Show the statistics of a link, or of all", Args: cobra.MaximumNArgs(1),
		Example: "  kurz stats abc1234 --from 2030-01-01 --interval week --tz Europe/Berlin\n" +
			"  kurz stats abc1234 --country DE,AT --browser '!Firefox' --compare",
		RunE: func(c *cobra.Command, args []string) error {
			zone := zoneOf(q.TimeZone)
			q.From, q.To, q.Filters = from.in(zone), to.in(zone), filters.values()
			if c.Flags().Changed("top") && (q.Top < 1 || q.Top > mostListed) {
				return fmt.Errorf("--top must be a whole number from 1 to %d", mostListed)
			}
			code, title := "", "All links"
			if len(args) > 0 {
				code, title = args[0], args[0]
			}
			return withLinks(w, c, domain, func(ctx context.Context, src source) error {
				r, err := statsOf(ctx, src, code, q)
				if err != nil {
					return err
				}
				if wantsJSON(c) {
					return printJSON(w.Stdout, r)
				}
				return printReport(w, title, r, q.Top)
			})
		},
	})
	f := c.Flags()
	f.Var(&from, "from", "begin: a date in --tz, a time, or a span such as -7d (default: 30 days ago)")
	f.Var(&to, "to", "end (default: now)")
	f.StringVar(&q.Interval, "interval", "", "hour, day, week or month (default day)")
	f.StringVar(&q.TimeZone, "tz", "", "time zone in which days begin (default UTC)")
	f.StringVar(&q.Kind, "kind", "", "human, bot or all (default human)")
	f.IntVar(&q.Top, "top", 0, "how many rows the lists have, 1 to 1000 (default 5, with --json 100)")
	f.BoolVar(&q.Compare, "compare", false, "compare with the time before: as many months, days, or as long")
	f.StringVar(&domain, "domain", "", "another of the server's domains")
	filters = addFilters(c)
	settingFlags(c, linkSettings...)
	return c
}

// zoneOf gives a time zone; whoever makes the report refuses one that is unknown.
func zoneOf(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

func statsOf(ctx context.Context, src source, code string, q client.Stats) (*client.Report, error) {
	if code == "" {
		return src.AllStats(ctx, q)
	}
	return src.Stats(ctx, code, q)
}

// filterFlags are flags named for what clicks are filtered by.
type filterFlags map[string]*[]string

func addFilters(c *cobra.Command) filterFlags {
	flags := filterFlags{}
	for _, d := range click.Dimensions {
		name := string(d)
		flags[name] = c.Flags().StringArray(strings.ReplaceAll(name, "_", "-"), nil,
			"only clicks with this "+strings.ReplaceAll(name, "_", " ")+": values with commas between them, '!' before them for all others")
	}
	return flags
}

func (f filterFlags) values() url.Values {
	values := url.Values{}
	for name, given := range f {
		if len(*given) > 0 {
			values[name] = *given
		}
	}
	return values
}

// topShown bounds the lists printed for people, unless they say otherwise;
// --json has more.
const topShown = 5

// printReport prints a report for people, with whole lists where top is not 0.
func printReport(w *World, code string, r *client.Report, top int) error {
	zone := zoneOf(r.TimeZone)
	local := func(t time.Time) string { return t.In(zone).Format(momentLayout) }
	_, err := fmt.Fprintf(w.Stdout, "%s from %s to %s, %s\n\n", code, local(r.From), local(r.To), r.TimeZone)
	if err != nil {
		return err
	}
	if r.CountedSince != nil {
		fmt.Fprintf(w.Stderr, "Older clicks have no details any more: with filters, they are counted from %s on.\n", local(*r.CountedSince))
	}
	last := "never"
	if r.LastClickedAt != nil {
		last = local(*r.LastClickedAt)
	}
	rows := [][]string{
		{"Clicks", count(r.TotalClicks)},
		{"Visitors", count(r.UniqueVisitors)},
		{"Bots", count(r.BotClicks)},
		{"QR scans", count(r.QRScans)},
		{"Last click", last},
	}
	if p, ch := r.Previous, r.Change; p != nil && ch != nil {
		for i, before := range []string{
			comparedWith(p.TotalClicks, ch.TotalClicks), comparedWith(p.UniqueVisitors, ch.UniqueVisitors),
			comparedWith(p.BotClicks, ch.BotClicks), comparedWith(p.QRScans, ch.QRScans),
			"compared with the time from " + local(p.From),
		} {
			rows[i] = append(rows[i], before)
		}
	}
	if n := r.PriorClicks; n != nil && *n > 0 {
		rows = append(rows, []string{"Before it was imported", count(*n)})
	}
	if err := table(w.Stdout, rows); err != nil {
		return err
	}
	if err := printSeries(w, r); err != nil {
		return err
	}
	for _, list := range []struct {
		name   string
		counts []client.Count
	}{
		{"REFERRERS", r.TopReferrers},
		{"COUNTRIES", r.TopCountries},
		{"REGIONS", r.TopRegions},
		{"CITIES", r.TopCities},
		{"DEVICES", r.Devices},
		{"BROWSERS", r.Browsers},
		{"SYSTEMS", r.OperatingSystems},
		{"LANGUAGES", r.Languages},
		{"SOURCES", r.UTMSources},
		{"MEDIA", r.UTMMediums},
		{"CAMPAIGNS", r.UTMCampaigns},
	} {
		if top == 0 {
			list.counts = list.counts[:min(topShown, len(list.counts))]
		}
		rows := [][]string{{"", ""}, {list.name, "CLICKS"}}
		for _, c := range list.counts {
			rows = append(rows, []string{c.Value, count(c.Clicks)})
		}
		if len(rows) > 2 {
			if err := table(w.Stdout, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

func printSeries(w *World, r *client.Report) error {
	layout := time.DateOnly
	if r.Interval == "hour" {
		layout = "2006-01-02 15:04"
	}
	rows := [][]string{{"", ""}, {"FROM", "CLICKS", "VISITORS"}}
	for _, b := range r.Series {
		if b.Clicks > 0 {
			rows = append(rows, []string{b.Start.In(zoneOf(r.TimeZone)).Format(layout), count(b.Clicks), count(b.UniqueVisitors)})
		}
	}
	if len(rows) == 2 {
		return nil
	}
	return table(w.Stdout, rows)
}

// comparedWith tells what a number was before, and by how much it changed.
func comparedWith(before int64, change *float64) string {
	if change == nil {
		return "after " + count(before)
	}
	return fmt.Sprintf("after %d (%+.1f %%)", before, 100**change)
}

func count(n int64) string { return strconv.FormatInt(n, 10) }
