package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kurz/client"
	"kurz/internal/export"
)

func exportCommand(w *World) *cobra.Command {
	var format, output string
	c := &cobra.Command{
		Use: "export", Short: "Write links into a CSV or JSON file", Args: cobra.NoArgs,
		Long: `Write links with everything known of them, oldest first, to standard output or
a file: everybody's on the data folder, those of the API key with --server (an
admin's: everybody's). As CSV, whose cells no spreadsheet takes for formulas, or
as a JSON object a line. 'kurz import --from kurz' reads both without loss.

Clicks are numbers here. Everything, single clicks and accounts included, is in
'kurz backup'.`,
		Example: "  kurz export > links.csv\n  kurz export --format jsonl --output links.jsonl\n  kurz export --server https://go.example | gzip > links.csv.gz",
		RunE: func(c *cobra.Command, _ []string) error {
			if format == "" {
				format = formatOf(output)
			}
			if format != "csv" && format != "jsonl" {
				return usageError{fmt.Errorf("--format must be csv or jsonl, not %q", format), c.CommandPath()}
			}
			return withLinks(w, c, "", func(ctx context.Context, src source) error {
				if output == "" || output == standard {
					return exportTo(ctx, src, w.Stdout, format)
				}
				return exportFile(ctx, src, output, format)
			})
		},
	}
	c.Flags().StringVar(&format, "format", "", "csv, or jsonl: a JSON object a line (default: by the file's name, else csv)")
	c.Flags().StringVar(&output, "output", "", "file to write to, whose place it takes (default: standard output)")
	settingFlags(c, linkSettings...)
	return c
}

// formatOf gives the format of a file by its name.
func formatOf(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson", ".json":
		return "jsonl"
	}
	return "csv"
}

// exportFile puts a file in its place once it is whole.
func exportFile(ctx context.Context, src source, path, format string) error {
	f, err := os.OpenFile(path+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = exportTo(ctx, src, f, format)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error that counts is the first one
	}
	return err
}

func exportTo(ctx context.Context, src source, to io.Writer, format string) error {
	out := export.NewJSONLines(to)
	if format == "csv" {
		var err error
		if out, err = export.NewCSV(to); err != nil {
			return err
		}
	}
	for l, err := range src.List(ctx, client.Filter{Archived: "any", Sort: "created_at", PageSize: 500}) {
		if err != nil {
			return err
		}
		row := exported(l)
		if l.Owner != "" {
			if row.OwnerEmail, err = src.Email(ctx, l.Owner); err != nil {
				return err
			}
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	return out.Flush()
}

func exported(l *client.Link) *export.Link {
	return &export.Link{
		ShortCode: l.ShortCode, ShortURL: l.ShortURL, Domain: l.Domain, LongURL: l.LongURL, CustomAlias: l.CustomAlias, Status: l.Status,
		Clicks: l.Clicks, PriorClicks: l.PriorClicks, Owner: l.Owner, Title: l.Title, Notes: l.Notes, Tags: l.Tags, ContentID: l.ContentID,
		RedirectStatus: l.RedirectStatus, EdgeTTL: l.EdgeTTL, ForwardQuery: l.ForwardQuery, ExpiredURL: l.ExpiredURL,
		CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt, StartsAt: l.StartsAt, ExpiresAt: l.ExpiresAt, RevokedAt: l.RevokedAt,
	}
}
