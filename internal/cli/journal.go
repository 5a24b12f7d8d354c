package cli

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"kurz/internal/backend"
	"kurz/internal/journal"
)

func journalCommand(w *World) *cobra.Command {
	return group("journal", "Look after the clicks on their way into the statistics", journalVerifyCommand(w))
}

func journalVerifyCommand(w *World) *cobra.Command {
	c := addJSON(&cobra.Command{
		Use: "verify", Short: "Read all of the journal and tell what is damaged", Args: cobra.NoArgs,
		Long: `Read all of the data folder's journal and tell, of each segment, how many
records are intact and damaged; which sequences there are; and how many clicks
wait to be stored. It changes nothing and can run beside the server. Fails if
anything is damaged, or is of another journal.`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := settings(w, c)
			if err != nil {
				return err
			}
			bar := newBar(w, "reading the journal")
			r, err := backend.InspectJournal(c.Context(), &s.Settings, bar.reach)
			bar.end()
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				err = printJSON(w.Stdout, journalJSON(&r))
			} else {
				err = printJournal(w, &r)
			}
			if err == nil && !r.Intact() {
				err = errSaid
			}
			return err
		},
	})
	settingFlags(c, "DATA")
	return c
}

func journalJSON(r *backend.JournalReport) map[string]any {
	segments := make([]map[string]any, 0, len(r.Segments))
	for _, s := range r.Segments {
		segments = append(segments, map[string]any{
			"file": filepath.Base(s.Path), "bytes": s.Bytes, "first": s.First, "last": s.Last,
			"records": s.Records, "damaged": s.Damaged, "state": segmentState(s),
		})
	}
	foreign := make([]string, 0, len(r.Foreign))
	for _, path := range r.Foreign {
		foreign = append(foreign, filepath.Base(path))
	}
	v := map[string]any{
		"folder": r.Folder, "intact": r.Intact(), "segments": segments, "of_other_journals": foreign,
		"records": r.Records, "damaged": r.Damaged, "first": r.First(), "last": r.Last(),
		"waiting": r.Pending, "reserve": r.Reserve,
	}
	if !r.None {
		v["log"] = hex.EncodeToString(r.Log[:])
	}
	if r.Unknown != nil {
		v["waiting"], v["waiting_unknown"] = nil, r.Unknown.Error()
	}
	return v
}

func printJournal(w *World, r *backend.JournalReport) error {
	if r.None {
		_, err := fmt.Fprintf(w.Stdout, "There is no journal in %s yet.\n", filepath.Dir(r.Folder))
		return err
	}
	rows := [][]string{{"SEGMENT", "BYTES", "SEQUENCES", "INTACT", "DAMAGED", "STATE"}}
	for _, s := range r.Segments {
		rows = append(rows, []string{
			filepath.Base(s.Path), strconv.FormatInt(s.Bytes, 10), sequences(s.First, s.Last),
			strconv.FormatUint(s.Records, 10), strconv.FormatUint(s.Damaged, 10), segmentState(s),
		})
	}
	for _, path := range r.Foreign {
		rows = append(rows, []string{filepath.Base(path), "", "", "", "", "of another journal"})
	}
	if err := table(w.Stdout, rows); err != nil {
		return err
	}
	reserve := "a reserve"
	if !r.Reserve {
		reserve = "no reserve"
	}
	_, err := fmt.Fprintf(w.Stdout, "\n%d intact, %d damaged; sequences %s; %s; %s\n",
		r.Records, r.Damaged, sequences(r.First(), r.Last()), waiting(r), reserve)
	return err
}

func segmentState(s journal.SegmentReport) string {
	switch {
	case !s.Header && s.Records+s.Damaged > 0:
		return "header damaged"
	case s.Sealed:
		return "sealed"
	case s.Records+s.Damaged > 0:
		return "open"
	}
	return "empty"
}

func sequences(first, last uint64) string {
	if last == 0 {
		return "none"
	}
	return fmt.Sprintf("%d to %d", first, last)
}

// waiting tells how many clicks wait to be stored.
func waiting(r *backend.JournalReport) string {
	if r.Unknown != nil {
		return "how many wait is not known: " + r.Unknown.Error()
	}
	return fmt.Sprintf("%d waiting", r.Pending)
}
