package cli

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"kurz/internal/backend"
	"kurz/internal/backup"
	"kurz/internal/config"
	"kurz/internal/telemetry"
)

// standard names standard input or output where a file could stand.
const standard = "-"

func backupCommand(w *World) *cobra.Command {
	var verify, replace bool
	c := addJSON(&cobra.Command{
		Use: "backup FILE", Short: "Write all links, accounts and clicks into one file", Args: cobra.ExactArgs(1),
		Long: `Write all links, accounts, jobs and clicks into one file, beside the server or
without one. The server goes on as before. What was answered before the backup
began is in it. The file appears under its name once it was written, read again
and found to be right; it is for its owner alone, since it holds what people
clicked on. With - it goes to standard output, where it can't be read again: do
that with --verify.

The keys of visitor hashes (visitor.key) are not in a backup, nor is what is
known of requests with an Idempotency-Key, nor certificates.`,
		Example: "  kurz backup /backups/kurz-$(date +%F).backup\n  kurz backup - | ssh elsewhere 'cat > kurz.backup'\n  kurz backup --verify /backups/kurz-2030-01-31.backup",
		RunE: func(c *cobra.Command, args []string) error {
			if verify {
				return verifyBackup(w, c, args[0])
			}
			s, err := settings(w, c)
			if err != nil {
				return err
			}
			giveWay()
			defer interruptible(c)()
			return makeBackup(w, c, &s.Settings, args[0], replace)
		},
	})
	c.Flags().BoolVar(&verify, "verify", false, "write nothing: read a backup and tell whether it is right")
	c.Flags().BoolVar(&replace, "replace", false, "take the place of a file that is there")
	settingFlags(c, "DATA")
	return c
}

func makeBackup(w *World, c *cobra.Command, s *config.Settings, path string, replace bool) error {
	m := backend.NewManifest(w.Now(), "kurz "+telemetry.BuildOf(debug.ReadBuildInfo()).Version)
	writing := newBar(w, "writing the backup")
	if path == standard {
		b, err := backend.WriteBackup(c.Context(), s, w.Stdout, m, writing.reach)
		writing.end()
		warnDamaged(w, &b)
		return err
	}
	reading := newBar(w, "reading it again")
	b, size, err := backend.SaveBackup(c.Context(), s, path, replace, m, writing.reach, func(done, total int64) {
		writing.end()
		reading.reach(done, total)
	})
	writing.end()
	reading.end()
	if err != nil {
		return err
	}
	warnDamaged(w, &b)
	return printBackup(w, c, path, size, &b, "written to "+path+" and read again")
}

func warnDamaged(w *World, b *backend.Backup) {
	if b.Damaged > 0 {
		fmt.Fprintf(w.Stderr, "kurz: %d records of the journal are damaged, and not in the backup ('kurz journal verify' tells more)\n", b.Damaged)
	}
}

func verifyBackup(w *World, c *cobra.Command, path string) error {
	in, size, err := openBackup(path)
	if err != nil {
		return err
	}
	defer in.Close()
	bar := newBar(w, "reading the backup")
	b, err := backend.VerifyBackup(c.Context(), in, size, bar.reach)
	bar.end()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return printBackup(w, c, path, size, &b, path+" is intact")
}

// openBackup opens a file, or standard input, and gives its size; 0 if it has
// none. A folder is refused.
func openBackup(path string) (io.ReadCloser, int64, error) {
	if path == standard {
		return os.Stdin, 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder: name a file", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func restoreCommand(w *World) *cobra.Command {
	c := addJSON(&cobra.Command{
		Use: "restore FILE", Short: "Make a data folder of a backup", Args: cobra.ExactArgs(1),
		Long: `Make a data folder of a backup, or of standard input with -. The folder that
--data names is not there yet, or is empty. Every row is compared with the
backup, and only a folder that has all of them can be served.`,
		Example: "  kurz restore /backups/kurz-2030-01-31.backup --data /var/lib/kurz",
		RunE: func(c *cobra.Command, args []string) error {
			s, err := settings(w, c)
			if err != nil {
				return err
			}
			in, size, err := openBackup(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			reading, comparing := newBar(w, "restoring"), newBar(w, "comparing every row")
			b, err := backend.Restore(c.Context(), in, size, &s.Settings, reading.reach, func(done, total int64) {
				reading.end()
				comparing.reach(done, total)
			})
			reading.end()
			comparing.end()
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return printBackup(w, c, s.Data, size, &b, "restored to "+s.Data+" and compared")
		},
	})
	settingFlags(c, "DATA")
	return c
}

// printBackup tells what a backup holds.
func printBackup(w *World, c *cobra.Command, path string, size int64, b *backend.Backup, outcome string) error {
	if wantsJSON(c) {
		return printJSON(w.Stdout, map[string]any{
			"path": path, "bytes": size, "created_at": b.CreatedAt, "program": b.Program, "format": backup.Version,
			"clicks": b.Clicks + b.Waiting, "clicks_waiting": b.Waiting, "journal_damaged": b.Damaged, "parts": b.Parts,
		})
	}
	rows := int64(0)
	counts := map[string]int64{}
	for _, p := range b.Parts {
		rows += p.Rows
		_, table, _ := strings.Cut(p.Part, "/")
		counts[table] = p.Rows
	}
	_, err := fmt.Fprintf(w.Stdout, "%s: backup of %s, %d links, %d users, %d keys, %d clicks, %d of them waiting in the journal; %d rows in %d parts\n",
		outcome, moment(b.CreatedAt), counts["links"], counts["users"], counts["api_keys"], b.Clicks+b.Waiting, b.Waiting, rows, len(b.Parts))
	return err
}
