package flame_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kurz/bench/flame"
)

// raw is what go tool pprof -raw prints, shortened.
const raw = `PeriodType: cpu nanoseconds
Period: 10000000
Time: 2026-11-22 11:32:35.194671192 +0000 UTC
Duration: 2.00
Samples:
samples/count cpu/nanoseconds
          1   10000000: 1 2 3 
          4   40000000: 4 3 
          2   20000000: 5 3 
          1   10000000: 6 
Locations
     1: 0x48ed73 M=1 runtime.nanotime /usr/local/go/src/runtime/time_nofake.go:33:0 s=32
             internal/poll.runtime_pollSetDeadline /usr/local/go/src/runtime/netpoll.go:381:0 s=372
     2: 0x59b5a7 M=1 internal/poll.(*FD).SetReadDeadline /usr/local/go/src/internal/poll/fd_poll_runtime.go:138:0 s=137
     3: 0x7bd2e6 M=1 net/http.(*conn).serve /usr/local/go/src/net/http/server.go:2094:0 s=1887
     4: 0x4ebe33 M=1 kurz/internal/journal.(*Journal).Append /src/journal.go:162:0 s=146
     5: 0x4ebe34 M=1 sync.(*Pool[go.shape.struct { A int }]).Get <&> kurz/pool.go:1:0 s=1
     6: 0x4ebe35 M=1 
Mappings
1: 0x400000/0xd7a000/0x0 /bin/kurz 0e8b14668624349359c84e1985e1233a4cf5fdf3 [FN]
`

var want = flame.Profile{
	{Nanoseconds: 10_000_000, Stack: []string{"net/http.(*conn).serve", "internal/poll.(*FD).SetReadDeadline", "internal/poll.runtime_pollSetDeadline", "runtime.nanotime"}},
	{Nanoseconds: 40_000_000, Stack: []string{"net/http.(*conn).serve", "kurz/internal/journal.(*Journal).Append"}},
	{Nanoseconds: 20_000_000, Stack: []string{"net/http.(*conn).serve", "sync.(*Pool[go.shape.struct { A int }]).Get <&>"}},
	{Nanoseconds: 10_000_000, Stack: []string{"(no name)"}},
}

func TestParse(t *testing.T) {
	got, err := flame.Parse(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "Samples:\nsamples/count cpu/nanoseconds\nLocations\nMappings\n"} {
		if p, err := flame.Parse(strings.NewReader(bad)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v, %v", bad, p, err)
		}
	}
}

// TestShares makes sure that each sample is in one share, that of the innermost
// function which a rule names.
func TestShares(t *testing.T) {
	rules := flame.Rules{
		List: []flame.Rule{
			{Share: "server", Functions: regexp.MustCompile(`^net/http\.`)},
			{Share: "deadline", Functions: regexp.MustCompile(`^internal/poll\.`)},
			{Share: "journal", Functions: regexp.MustCompile(`^kurz/internal/journal\.`)},
			{Share: "unused", Functions: regexp.MustCompile(`^nowhere\.`)},
		},
		Rest: flame.Rule{Share: "else"},
	}
	got := map[string]int64{}
	var order []string
	var sum int64
	for _, s := range rules.Shares(want) {
		got[s.Share], sum = s.Nanoseconds/1e6, sum+s.Nanoseconds
		order = append(order, s.Share)
	}
	if diff := cmp.Diff(map[string]int64{"journal": 40, "server": 20, "deadline": 10, "else": 10}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"journal", "server", "deadline", "else"}, order); diff != "" {
		t.Error(diff)
	}
	if sum != want.Total() {
		t.Errorf("shares of %d ns in a profile of %d", sum, want.Total())
	}
}

// TestRedirect names where functions of a redirect belong, whoever calls them.
func TestRedirect(t *testing.T) {
	rules := flame.Redirect()
	for _, c := range []struct {
		share string
		stack []string
	}{
		{"write", []string{"net/http.(*conn).serve", "net.(*conn).Write", "internal/poll.(*FD).Write", "internal/runtime/syscall/linux.Syscall6"}},
		{"write", []string{"kurz/internal/edge.(*conn).serve", "syscall.Write", "internal/runtime/syscall/linux.Syscall6"}},
		{"write", []string{"kurz/internal/edge.(*lane).serve", "kurz/internal/edge.(*socket).Write", "internal/poll.(*FD).RawWrite", "kurz/internal/edge.(*socket).sendAll", "internal/runtime/syscall/linux.Syscall6"}},
		{"read", []string{"kurz/internal/edge.(*lane).serve", "kurz/internal/edge.(*socket).Read", "internal/poll.(*FD).RawRead", "kurz/internal/edge.(*socket).receiveSome", "internal/runtime/syscall/linux.Syscall6"}},
		{"read", []string{"net/http.(*conn).serve", "internal/poll.(*FD).Read", "syscall.read"}},
		{"wait", []string{"runtime.mcall", "runtime.park_m", "runtime.schedule", "runtime.findRunnable", "runtime.netpoll"}},
		{"collect", []string{"runtime.gcBgMarkWorker", "runtime.systemstack", "runtime.gcDrain"}},
		{"hash", []string{"net/http.(*conn).serve", "kurz/internal/click.(*Recorder).Record", "kurz/internal/enrich.(*Hasher).Hash", "crypto/internal/fips140/sha256.blockSHANI"}},
		{"country", []string{"kurz/internal/click.(*Recorder).Record", "kurz/internal/enrich.Locator.Locate", "github.com/phuslu/iploc.IPCountry"}},
		{"journal", []string{"kurz/internal/click.(*Recorder).Record", "kurz/internal/journal.(*Journal).Append", "hash/crc32.Update"}},
		{"record", []string{"kurz/internal/click.(*Recorder).Record", "kurz/internal/click.AppendVisit", "runtime.memmove"}},
		{"limit", []string{"kurz/internal/redirect.(*Handler).Redirect", "kurz/internal/memory.(*Limits).Take"}},
		{"route", []string{"kurz/internal/redirect.(*Resolver).Resolve", "kurz/internal/memory.(*Routes).Get", "runtime.mapaccess2"}},
		{"redirect", []string{"kurz/internal/edge.(*Edge).ServeHTTP", "kurz/internal/redirect.(*Handler).Redirect"}},
		{"count", []string{"kurz/internal/edge.(*Edge).finish", "kurz/internal/telemetry.(*Metrics).Request"}},
		{"parse", []string{"net/http.(*conn).serve", "net/http.(*conn).readRequest", "net/textproto.(*Reader).ReadMIMEHeader"}},
		{"edge", []string{"net/http.(*conn).serve", "kurz/internal/edge.(*Edge).ServeHTTP"}},
		{"net/http", []string{"net/http.(*conn).serve", "runtime.mallocgc"}},
		{"reports", []string{"kurz/internal/click.(*Pump).Run", "kurz/internal/sqlite.(*Clicks).Store", "zombiezen.com/go/sqlite.(*Stmt).Step"}},
		{"else", []string{"os/signal.loop"}},
	} {
		got := rules.Rest.Share
		if i := rules.Of(c.stack); i < len(rules.List) {
			got = rules.List[i].Share
		}
		if got != c.share {
			t.Errorf("%s is in %s, want %s", c.stack[len(c.stack)-1], got, c.share)
		}
	}
}

func TestShort(t *testing.T) {
	for function, short := range map[string]string{
		"kurz/internal/journal.(*Journal).Append": "journal.(*Journal).Append",
		"runtime.mcall":                            "runtime.mcall",
		"kurz/x.Get[kurz/internal/link.Route]":     "x.Get[kurz/internal/link.Route]",
		"github.com/a/b/v2.(*T[go/shape.int]).Run": "v2.(*T[go/shape.int]).Run",
	} {
		if got := flame.Short(function); got != short {
			t.Errorf("%s: %s, want %s", function, got, short)
		}
	}
}

// TestDraw makes sure that the graph is well-formed, needs no script, and has a
// box for each function.
func TestDraw(t *testing.T) {
	var b bytes.Buffer
	if err := flame.Draw(&b, `a <"title"> & more`, want, flame.Redirect()); err != nil {
		t.Fatal(err)
	}
	var titles []string
	boxes, elements := 0, xml.NewDecoder(bytes.NewReader(b.Bytes()))
	inTitle := false
	for {
		token, err := elements.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			inTitle = e.Name.Local == "title"
			switch e.Name.Local {
			case "rect":
				boxes++
			case "svg", "g", "title", "text":
			default:
				t.Errorf("element %s", e.Name.Local)
			}
		case xml.CharData:
			if inTitle {
				titles = append(titles, string(e))
			}
		case xml.EndElement:
			inTitle = false
		}
	}
	all := strings.Join(titles, "\n")
	for _, title := range []string{
		"all: 100.00 %, 80 ms",
		"net/http.(*conn).serve: 87.50 %, 70 ms",
		"kurz/internal/journal.(*Journal).Append: 50.00 %, 40 ms",
		"sync.(*Pool[go.shape.struct { A int }]).Get <&>: 25.00 %, 20 ms",
		"(no name): 12.50 %, 10 ms",
	} {
		if !strings.Contains(all, title) {
			t.Errorf("no box says %q: %s", title, all)
		}
	}
	if !strings.Contains(b.String(), "journal.(*Journal).Append</text>") {
		t.Error("no box has the text that fits it")
	}
	var empty bytes.Buffer
	if err := flame.Draw(&empty, "nothing", nil, flame.Redirect()); err != nil || strings.Contains(empty.String(), "NaN") {
		t.Errorf("%v, %s", err, empty.String())
	}
}
