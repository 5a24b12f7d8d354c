package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"kurz/internal/backend"
)

func clicksCommand(w *World) *cobra.Command {
	return group("clicks", "Look after the clicks in the statistics", clicksRebuildCommand(w))
}

func clicksRebuildCommand(w *World) *cobra.Command {
	check := false
	c := addJSON(&cobra.Command{
		Use: "rebuild", Short: "Count all single clicks again", Args: cobra.NoArgs,
		Long: `Count all single clicks again, and replace what reports have counted in
advance where it differs; what was counted of clicks that KURZ_CLICK_RETENTION
let go stays. It can run beside the server: reports go on as before, and new
clicks wait in the journal until it is done. With --check nothing is changed,
and it fails if anything would have been.`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := settings(w, c)
			if err != nil {
				return err
			}
			data, err := backend.OpenToRebuild(c.Context(), &s.Settings)
			if err != nil {
				return err
			}
			bar := newBar(w, "counting clicks")
			found, err := data.RebuildClicks(c.Context(), check, bar.reach, func(file string) {
				fmt.Fprintf(w.Stderr, "kurz: waiting for another program, which writes %s\n", file)
			})
			bar.end()
			if err := closing(data, err); err != nil {
				return err
			}
			if err := printRebuilt(w, c, found, check); err != nil {
				return err
			}
			if check && found.Changed > 0 {
				return errSaid
			}
			return nil
		},
	})
	c.Flags().BoolVar(&check, "check", false, "change nothing, only tell what differs")
	settingFlags(c, "DATA")
	return c
}

func printRebuilt(w *World, c *cobra.Command, found backend.Rebuilt, check bool) error {
	if wantsJSON(c) {
		return printJSON(w.Stdout, map[string]any{
			"clicks": found.Clicks, "not_counted_in_advance": found.Fresh, "rollups": found.Rollups, "different": found.Changed, "replaced": !check,
		})
	}
	outcome := "none differs"
	switch {
	case found.Changed > 0 && check:
		outcome = fmt.Sprintf("%d differ: run 'kurz clicks rebuild'", found.Changed)
	case found.Changed > 0:
		outcome = fmt.Sprintf("%d differed and are replaced", found.Changed)
	}
	_, err := fmt.Fprintf(w.Stdout, "%d clicks counted, %d rollups: %s; %d clicks are not counted in advance yet\n", found.Clicks, found.Rollups, outcome, found.Fresh)
	return err
}
