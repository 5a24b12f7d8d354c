// Package telemetry sets up what operators see: the log and the metrics.
//
// It guarantees that every label's values come from a closed set, so that
// strangers can't make series, and that it alone knows Prometheus: the rest of
// the program calls the methods of Metrics or hands it functions that read
// counters. Start reading at Metrics.
package telemetry

import (
	"io"
	"log/slog"
	"time"
)

// NewLogger makes a logger that writes lines of the format ("json", otherwise
// text) from the level up. Times are UTC.
func NewLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: utc}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func utc(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC().Truncate(time.Millisecond))
	}
	return a
}
