package cli

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"kurz/client"
)

func liveCommand(w *World) *cobra.Command {
	var watch client.Watch
	var domain string
	var filters filterFlags
	c := addJSON(&cobra.Command{
		Use: "live [CODE]", Short: "Print the clicks of a link, or of all, as they come", Args: cobra.MaximumNArgs(1),
		Long: "Print the clicks of a link, or of all of yours, as they are counted, a line each, until it is interrupted.\n\n" +
			"It asks the server that KURZ_SERVER names, with KURZ_API_KEY. Where the connection breaks, it comes back and prints what came meanwhile.",
		Example: "  kurz live --server https://go.example\n  kurz live abc1234 --kind all --country '!DE'",
		RunE: func(c *cobra.Command, args []string) error {
			watch.Filters = filters.values()
			away := false
			watch.Away = func(err error) {
				if !away {
					fmt.Fprintf(w.Stderr, "kurz: no connection, trying again: %v\n", err)
				}
				away = true
			}
			server, err := serverOf(w, c)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			events := server.AllLive(ctx, watch)
			if len(args) > 0 {
				events = server.On(domain).Live(ctx, args[0], watch)
			}
			for e, err := range events {
				switch {
				case ctx.Err() != nil:
					return nil // interrupted, as it is meant to be
				case err != nil:
					return err
				}
				away = false
				if err := printLive(w, c, e); err != nil {
					return err
				}
			}
			return nil
		},
	})
	f := c.Flags()
	f.StringVar(&watch.Kind, "kind", "", "human, bot or all (default human)")
	f.StringVar(&watch.After, "after", "", "ID of the last click you saw: those since then come first")
	f.StringVar(&domain, "domain", "", "another of the server's domains, with a code")
	filters = addFilters(c)
	settingFlags(c, "SERVER")
	return c
}

// serverOf gives the server that the settings name.
func serverOf(w *World, c *cobra.Command) (*client.Client, error) {
	s, err := settings(w, c)
	if err != nil {
		return nil, err
	}
	if s.Server == "" {
		return nil, errors.New("live clicks come from a server: name it by KURZ_SERVER or --server, and a key by KURZ_API_KEY")
	}
	return client.New(s.Server, client.WithKey(s.APIKey), client.WithUserAgent("kurz-cli"), client.WithHTTPClient(&http.Client{}))
}

// printLive prints a click on a line: the JSON of the API, or its time,
// link, kind and what else is known of it.
func printLive(w *World, c *cobra.Command, e client.LiveEvent) error {
	if e.Click == nil {
		how := "some"
		if e.Missed >= 0 {
			how = count(e.Missed)
		}
		fmt.Fprintf(w.Stderr, "kurz: %s clicks were left out: they came too fast\n", how)
		return nil
	}
	if wantsJSON(c) {
		_, err := fmt.Fprintf(w.Stdout, "%s\n", e.JSON)
		return err
	}
	k := e.Click
	from := cmp.Or(k.Referrer, "direct")
	if k.Trigger == "qr" {
		from = "QR code"
	}
	_, err := fmt.Fprintf(w.Stdout, "%s  %s  %-8s  %-2s  %s  %s\n", moment(k.ClickedAt), plain(k.ShortCode), plain(k.Kind), plain(cmp.Or(k.Country, "-")), plain(from), plain(device(k)))
	return err
}

// device tells what someone came with.
func device(k *client.Click) string {
	text := cmp.Or(k.Browser, "unknown")
	if k.OperatingSystem != "" {
		text += " on " + k.OperatingSystem
	}
	return text
}
