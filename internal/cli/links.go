package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"kurz/client"
)

// linkSettings are the settings of the commands about links.
var linkSettings = []string{"DATA", "BASE_URL", "DOMAINS", "SERVER"}

func shortenCommand(w *World) *cobra.Command {
	var n client.NewLink
	starts, expires := momentFlag{now: w.Now}, momentFlag{now: w.Now}
	c := addJSON(&cobra.Command{
		Use: "shorten URL", Short: "Make a short link and print it", Args: cobra.ExactArgs(1),
		Example: "  kurz shorten https://example.org/a/long/path\n  kurz shorten https://example.org/ --alias example --expires 90d",
		RunE: func(c *cobra.Command, args []string) error {
			n.LongURL, n.StartsAt, n.ExpiresAt = args[0], starts.time, expires.time
			return withLinks(w, c, n.Domain, func(ctx context.Context, src source) error {
				l, err := src.Create(ctx, n)
				if err != nil {
					return err
				}
				if wantsJSON(c) {
					return printJSON(w.Stdout, l)
				}
				_, err = fmt.Fprintln(w.Stdout, l.ShortURL)
				return err
			})
		},
	})
	f := c.Flags()
	f.StringVar(&n.CustomAlias, "alias", "", "code to ask for, instead of a drawn one")
	f.StringVar(&n.Domain, "domain", "", "another of the server's domains")
	f.StringVar(&n.Title, "title", "", "what the link is")
	f.StringSliceVar(&n.Tags, "tag", nil, "tags, separated by commas")
	f.Var(&starts, "starts", "from when it works: a date, a time, or a span such as 2h")
	f.Var(&expires, "expires", "until when it works")
	f.StringVar(&n.ExpiredURL, "expired-url", "", "where it leads afterwards")
	f.IntVar(&n.RedirectStatus, "status", 0, "301, 302, 307 or 308 (default 302)")
	f.BoolVar(&n.ForwardQuery, "forward-query", false, "append the query of requests to the destination")
	f.IntVar(&n.CodeLength, "code-length", 0, "characters of the drawn code")
	f.StringVar(&n.IdempotencyKey, "idempotency-key", "", "with --server: the same key makes one link, however often it is sent")
	settingFlags(c, linkSettings...)
	return c
}

func linksCommand(w *World) *cobra.Command {
	var filter client.Filter
	var domain string
	var limit int
	var all bool
	c := addJSON(&cobra.Command{
		Use: "links", Short: "List links", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError{fmt.Errorf("--limit must be at least 1"), c.CommandPath()}
			}
			filter.PageSize = min(limit, 500)
			return withLinks(w, c, domain, func(ctx context.Context, src source) error {
				list := []*client.Link{}
				more := false
				for l, err := range src.List(ctx, filter) {
					if err != nil {
						return err
					}
					if more = !all && len(list) == limit; more {
						break
					}
					list = append(list, l)
				}
				if wantsJSON(c) {
					return printJSON(w.Stdout, list)
				}
				return printLinks(w, list, more)
			})
		},
	})
	f := c.Flags()
	f.IntVar(&limit, "limit", 50, "how many, at most")
	f.BoolVar(&all, "all", false, "all of them")
	f.StringVar(&filter.Text, "search", "", "only with these words, each in code, title, destination or a tag")
	f.StringVar(&filter.Tag, "tag", "", "only with this tag")
	f.StringVar(&filter.Status, "status", "", "only scheduled, active, expired or revoked ones")
	f.StringVar(&filter.Archived, "archived", "", "true: only archived ones; any: these too")
	f.StringVar(&filter.Sort, "sort", "", "created_at, updated_at, short_code, title or expires_at; with '-' before it the other way (default -created_at)")
	f.StringVar(&domain, "domain", "", "only of another of the server's domains")
	settingFlags(c, linkSettings...)
	return c
}

func printLinks(w *World, list []*client.Link, more bool) error {
	rows := [][]string{{"SHORT URL", "CLICKS", "STATUS", "CREATED", "DESTINATION"}}
	for _, l := range list {
		rows = append(rows, []string{l.ShortURL, strconv.FormatInt(l.Clicks, 10), l.Status, moment(l.CreatedAt), l.LongURL})
	}
	if err := table(w.Stdout, rows); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(w.Stderr, "There are more: use --limit or --all.\n")
	}
	return nil
}
