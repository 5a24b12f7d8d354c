package cli_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kurz/internal/cli"
	"kurz/test/mmdb"
)

// TestMain makes this test program stand in for kurz in the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"kurz": func() {
			os.Exit(cli.Main(context.Background(), cli.World{
				Args: os.Args[1:], Environ: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr,
				Now: time.Now, Rand: rand.Reader,
			}))
		},
	})
}

// TestScripts runs testdata/*.txtar: what each command prints and how it ends.
//
// Besides the usual commands there are
//
//	eventually CMD…    runs CMD until it succeeds, 20 s at most
//	address DIR VAR    sets VAR to the address of the server of a data folder
//	get STATUS URL     asks for a page, which becomes stdout
//	output VAR         sets VAR to the first line of stdout
//	poke FILE OFF BYTE writes one byte of a file
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("KURZ_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("KURZ_LISTEN", "127.0.0.1:0")
			return cityDatabases(e.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually, "address": address, "get": get, "output": output, "poke": poke,
		},
	})
}

// cityDatabases puts city.mmdb, old.mmdb and countries.mmdb into a folder.
func cityDatabases(dir string) error {
	london, now := netip.MustParsePrefix("81.2.69.0/24"), time.Now()
	for name, d := range map[string]mmdb.Database{
		"city.mmdb":      {Type: "Test-City", Built: now, Networks: map[netip.Prefix]mmdb.Record{london: mmdb.City("GB", "England", "ENG", "London")}},
		"old.mmdb":       {Type: "Test-City", Built: now.AddDate(0, 0, -61), Networks: map[netip.Prefix]mmdb.Record{london: mmdb.City("GB", "England", "ENG", "London")}},
		"countries.mmdb": {Type: "Test-Country", Built: now, Networks: map[netip.Prefix]mmdb.Record{london: mmdb.City("GB", "", "", "")}},
	} {
		data, err := mmdb.Write(d)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if err = ts.Exec(args[0], args[1:]...); (err == nil) != neg {
			return
		}
	}
	ts.Fatalf("%s: %v", strings.Join(args, " "), err)
}

func address(ts *testscript.TestScript, _ bool, args []string) {
	var note struct {
		BaseURL string `json:"base_url"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(args[0], "serving.json"))), &note))
	ts.Setenv(args[1], note.BaseURL)
}

func get(ts *testscript.TestScript, _ bool, args []string) {
	client := &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, args[1], nil)
	ts.Check(err)
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	resp, err := client.Do(req)
	ts.Check(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s: status %s, want %s: %s", args[1], got, args[0], body)
	}
	fmt.Fprintf(ts.Stdout(), "location: %s\n%s", resp.Header.Get("Location"), body)
}

func output(ts *testscript.TestScript, _ bool, args []string) {
	line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	ts.Setenv(args[0], strings.TrimSpace(line))
}

func poke(ts *testscript.TestScript, _ bool, args []string) {
	offset, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	value, err := strconv.ParseUint(args[2], 10, 8)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	_, err = f.WriteAt([]byte{byte(value)}, offset)
	ts.Check(err)
	ts.Check(f.Close())
}
