package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kurz/client"
	"kurz/internal/account"
	"kurz/internal/link"
	"kurz/internal/qr"
)

func qrCommand(w *World) *cobra.Command {
	var q client.QR
	var output, domain string
	var margin int
	var force bool
	c := &cobra.Command{
		Use: "qr CODE", Short: "Show a link's QR code, or write it to a file", Args: cobra.ExactArgs(1),
		Long: "Shows the QR code of a link, or writes it to a file: an SVG or a PNG, as the file's name ends.\n" +
			"Scans are told from other clicks: their trigger is qr.",
		Example: "  kurz qr abc1234\n  kurz qr abc1234 -o poster.svg --level Q --logo\n  kurz qr abc1234 -o label.png --size 300 --fg 1f3a5f",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.Format, err = pictureFormat(output, q.Format); err != nil {
				return usageError{err, c.CommandPath()}
			}
			if c.Flag("margin").Changed {
				q.Margin = &margin
			}
			return withLinks(w, c, domain, func(ctx context.Context, src source) error {
				file, err := src.QR(ctx, args[0], q)
				if err != nil {
					return err
				}
				if output != "" && output != "-" {
					return writeNew(output, file, force)
				}
				if q.Format == string(qr.Text) && isTerminal(w.Stdout) {
					file = onWhite(file)
				}
				_, err = w.Stdout.Write(file)
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "", "file to write, .svg, .png or .txt; '-' is standard output")
	f.BoolVar(&force, "force", false, "replace the file if it is there")
	f.StringVar(&q.Format, "format", "", "svg, png or txt (default: as the file's name ends; txt without one)")
	f.IntVar(&q.Size, "size", 0, "pixels a side (default 512)")
	f.IntVar(&margin, "margin", qr.QuietZone, "modules that are left free on each side")
	f.StringVar(&q.Level, "level", "", "how much may be damaged: L, M, Q or H (default M)")
	f.StringVar(&q.Foreground, "fg", "", "dark colour, in hexadecimal (default 000000)")
	f.StringVar(&q.Background, "bg", "", "light colour, or transparent (default ffffff)")
	f.BoolVar(&q.Logo, "logo", false, "with the logo in the middle (KURZ_QR_LOGO, or that of kurz)")
	f.StringVar(&domain, "domain", "", "another of the server's domains")
	settingFlags(c, append([]string{"QR_LOGO", "BLOCKLIST"}, linkSettings...)...)
	return c
}

// pictureFormat says in which form a picture is wanted.
func pictureFormat(output, format string) (string, error) {
	if format != "" {
		return format, nil
	}
	if output == "" || output == "-" {
		return string(qr.Text), nil
	}
	switch ext := strings.TrimPrefix(strings.ToLower(filepath.Ext(output)), "."); qr.Format(ext) {
	case qr.SVG, qr.PNG, qr.Text:
		return ext, nil
	}
	return "", fmt.Errorf("%s: name the file .svg, .png or .txt, or give --format", output)
}

// writeNew writes a file, which must not be there unless it may be replaced.
func writeNew(name string, data []byte, replace bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if replace {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o644)
	if os.IsExist(err) {
		return fmt.Errorf("%s is there already: choose another name, or --force", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// onWhite makes a text black on white, whatever colours a terminal has:
// readers may not know inverted codes.
func onWhite(text []byte) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		b.WriteString("\x1b[30;107m" + strings.TrimSuffix(line, "\n") + "\x1b[0m\n")
	}
	return []byte(b.String())
}

// QR draws as the API does, for an operator.
func (f *folder) QR(ctx context.Context, code string, q client.QR) ([]byte, error) {
	look, err := qr.ParseLook(q.Query())
	if err != nil {
		return nil, err
	}
	key := link.Key{Domain: f.domain}
	if key.Code, err = link.ParseCode(code); err != nil {
		return nil, err
	}
	if _, err := f.links.Reach(ctx, account.Operator(), key); err != nil {
		return nil, err
	}
	return qr.Draw(f.domains.ScanURL(key), look, f.logo)
}
