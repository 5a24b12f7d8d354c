package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"kurz/internal/telemetry"
)

func versionCommand(w *World) *cobra.Command {
	return addJSON(&cobra.Command{
		Use: "version", Short: "Say which kurz this is", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b := telemetry.BuildOf(debug.ReadBuildInfo())
			if wantsJSON(c) {
				return printJSON(w.Stdout, b)
			}
			line := "kurz " + b.Version
			if b.Commit != "" {
				line += ", commit " + b.Commit[:min(12, len(b.Commit))]
				if b.Modified {
					line += " with changes"
				}
			}
			_, err := fmt.Fprintf(w.Stdout, "%s, %s\n", line, b.GoVersion)
			return err
		},
	})
}

func configCommand(w *World) *cobra.Command {
	c := addJSON(&cobra.Command{
		Use: "config", Short: "Show the settings in force and where they come from", Args: cobra.NoArgs,
		Long: "Show the settings in force and where they come from.\n\nSettings come from flags, the environment (KURZ_…), the file that --config names, and defaults,\nin this order. Secrets are hidden.",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := settings(w, c)
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				return printJSON(w.Stdout, map[string]any{"settings": s.Entries()})
			}
			rows := [][]string{{"SETTING", "VALUE", "FROM"}}
			for _, e := range s.Entries() {
				value := e.Value
				if value == "" {
					value = "-"
				}
				rows = append(rows, []string{e.Name, value, e.From})
			}
			return table(w.Stdout, rows)
		},
	})
	settingFlags(c)
	return c
}
