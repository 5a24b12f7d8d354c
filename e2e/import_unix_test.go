//go:build unix

package e2e_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestImportKilled has an import of rows killed in its middle again and again:
// in the end each good row is one link, each bad one is told. KURZ_ROWS says how
// many rows there are.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	few := 40_000
	if testing.Short() { // with the race detector, a row takes ten times as long
		few = 22_000 // links are stored 10,000 at a time
	}
	rows, _ := times(t, "KURZ_ROWS", few)
	s := start(t, unlimited()...) // it works beside a server
	dir := t.TempDir()
	file := filepath.Join(dir, "rows.csv")
	var text bytes.Buffer
	text.WriteString("long_url\n")
	bad := 0
	for i := range rows {
		scheme := "https"
		if i%100 == 99 {
			scheme = "ftp"
			bad++
		}
		fmt.Fprintf(&text, "%s://example.com/%d/a-page-of-an-ordinary-name\n", scheme, i)
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Rows, Made, Failed int
		There              int `json:"there_already"`
	}
	kills, patience := 0, 300*time.Millisecond
	for done := false; !done; {
		var out, log bytes.Buffer
		command := exec.CommandContext(t.Context(), s.Binary, "import", file, "--data", s.Data, "--json")
		command.Env = withoutSettings(os.Environ())
		command.Stdout, command.Stderr = &out, &log
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
		err := command.Wait()
		if !kill.Stop() && kills < 50 {
			kills++
			patience = patience * 4 / 3
			continue
		}
		done = true
		if code := command.ProcessState.ExitCode(); code != 1 {
			t.Fatalf("exit code %d, %v: %s", code, err, log.Bytes())
		}
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
	}
	t.Logf("killed %d times; the last run made %d links and found %d made before", kills, report.Made, report.There)
	if report.Rows != rows || report.Failed != bad || report.Made+report.There != rows-bad {
		t.Errorf("of %d rows, %d of them bad: %+v", rows, bad, report)
	}
	if kills == 0 || report.There == 0 {
		t.Errorf("nothing was left of %d killed imports", kills)
	}
	failures, err := os.Open(file + ".failures.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer failures.Close()
	if list, err := csv.NewReader(failures).ReadAll(); err != nil || len(list) != bad+1 {
		t.Errorf("%d lines of failures, error %v", len(list), err)
	}
	exported := filepath.Join(dir, "links.csv")
	if _, err := s.Run(t.Context(), "export", "--output", exported); err != nil {
		t.Fatal(err)
	}
	all, err := os.Open(exported)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	in := csv.NewReader(all)
	header, err := in.Read()
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]int{}
	for i, name := range header {
		places[name] = i
	}
	times, code := map[string]int{}, ""
	for {
		cells, err := in.Read()
		if err != nil {
			break
		}
		times[cells[places["long_url"]]]++
		code = cells[places["short_code"]]
	}
	for destination, n := range times {
		if n != 1 {
			t.Fatalf("%s was made %d times", destination, n)
		}
	}
	if len(times) != rows-bad {
		t.Errorf("%d links of %d", len(times), rows-bad)
	}
	// The server heard of them.
	eventually(t, 5*time.Second, func() string {
		if r, err := s.do(t.Context(), ask{method: "GET", path: "/" + code}); err != nil || r.status != 302 {
			return fmt.Sprint("a link that was imported: ", r, err)
		}
		return ""
	})
}

// TestImportInterrupted has an import end by SIGINT: it says how far it was, and
// that the same again goes on.
func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	const rows = 100_000
	data, dir := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "rows.csv")
	if err := os.WriteFile(file, []byte("long_url\n"+strings.Repeat("https://example.com/a-page\n", rows)), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(interrupt bool) (code int, out, log string) {
		command := exec.CommandContext(t.Context(), binary, "import", file, "--data", data)
		command.Env = withoutSettings(os.Environ())
		var o, l bytes.Buffer
		command.Stdout, command.Stderr = &o, &l
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if interrupt { // once some rows are made
			eventually(t, time.Minute, func() string {
				if log, err := os.Stat(filepath.Join(data, "kurz.db-wal")); err != nil || log.Size() < 1<<20 {
					return "nothing is made"
				}
				return ""
			})
			if err := command.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
		_ = command.Wait() // the exit code tells
		return command.ProcessState.ExitCode(), o.String(), l.String()
	}
	made, err := exec.CommandContext(t.Context(), binary, "migrate", "--data", data).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, made)
	}
	if code, _, log := run(true); code != 1 || !strings.Contains(log, "interrupted") || !strings.Contains(log, "run the same again to go on") {
		t.Errorf("exit code %d: %s", code, log)
	}
	if code, out, log := run(false); code != 0 || !strings.Contains(out, fmt.Sprint(rows, " rows:")) {
		t.Errorf("again: exit code %d, %s, %s", code, out, log)
	}
}
