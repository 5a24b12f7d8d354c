package telemetry

import (
	"runtime/debug"
	"time"
)

// Build says which program runs.
type Build struct {
	Version   string    `json:"version"` // of the module; "devel" where unknown
	Commit    string    `json:"commit,omitempty"`
	Time      time.Time `json:"commit_time,omitzero"`
	Modified  bool      `json:"modified,omitempty"` // built from an edited tree
	GoVersion string    `json:"go_version"`
}

// BuildOf reads what the Go tool noted in the program.
func BuildOf(info *debug.BuildInfo, ok bool) Build {
	if !ok || info == nil {
		return Build{Version: "devel"}
	}
	b := Build{Version: info.Main.Version, GoVersion: info.GoVersion}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				b.Time = t.UTC()
			}
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
