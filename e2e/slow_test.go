package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/test/wire"
)

// slowness is a mode of slowhttptest.
type slowness struct {
	name, path string
	flags      []string
}

var slownesses = []slowness{
	{"slow headers", "/honest", []string{"-H", "-i", "1"}},
	{"slow body", "/shorten", []string{"-B", "-i", "1", "-s", "8192", "-f", "application/json"}},
	{"slow read", "/api/openapi.json", []string{"-X", "-w", "1", "-y", "16", "-n", "1", "-z", "4", "-k", "3"}},
	{"ranges", "/honest", []string{"-R", "-t", "GET", "-a", "5", "-b", "3000"}},
}

// attackers is how many connections slowhttptest opens.
const attackers = 2000

// TestSlowClients has slowhttptest open 2,000 slow connections, and meanwhile
// sends 500 honest requests a second, each when it is due, half of them on
// connections of their own: all are answered. How long they take beside those
// without an attack is in the log: a machine that runs other tests is no place
// to ask for it.
//
// KURZ_SLOW says for how many seconds, and has all its modes tried instead of
// slow headers alone.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	needs(t, "slowhttptest")
	seconds, proof := times(t, "KURZ_SLOW", 10)
	modes := slownesses
	if !proof {
		modes = slownesses[:1]
	}
	s := start(t, unlimited()...)
	s.must(t, 201, ask{method: "POST", path: "/api/v1/urls", body: `{"long_url":"https://go.dev/","custom_alias":"honest"}`})
	for _, a := range modes {
		t.Run(a.name, func(t *testing.T) { s.attacked(t, a, seconds) })
	}
}

func (s *server) attacked(t *testing.T, a slowness, seconds int) {
	length := time.Duration(seconds) * time.Second
	before := s.honest(t, length/5)
	// Who attacks has a machine of their own: here they get what the others leave.
	args := append(append([]string{"-n", "19", "slowhttptest"}, a.flags...), "-c", fmt.Sprint(attackers), "-r", "1000", "-l", fmt.Sprint(seconds), "-u", s.URL+a.path)
	tool := exec.CommandContext(t.Context(), "nice", args...)
	var out []byte
	var err error
	var group sync.WaitGroup
	group.Go(func() { out, err = tool.CombinedOutput() })
	during := s.honest(t, length)
	group.Wait()
	if err != nil {
		t.Fatalf("slowhttptest: %v: %s", err, out)
	}
	quiet := slices.Concat(before, s.honest(t, length/5))
	t.Logf("%d connections, %s; %d of %d honest requests answered, p50 %v, p99 %v; without: p50 %v, p99 %v: p99 %.1f times; slowhttptest took %v of CPU",
		attackers, fates(string(out)), len(during), seconds*honestRate,
		percentile(during, 50), percentile(during, 99), percentile(quiet, 50), percentile(quiet, 99),
		percentile(during, 99).Seconds()/percentile(quiet, 99).Seconds(),
		(tool.ProcessState.UserTime() + tool.ProcessState.SystemTime()).Round(10*time.Millisecond))
}

// honestRate is how many honest requests are sent in a second.
const honestRate = 500

// honest sends requests for a time, each when it is due, and gives how long
// they took from then on. One that is not answered fails the test.
func (s *server) honest(t *testing.T, length time.Duration) []time.Duration {
	t.Helper()
	const clients = 50
	ctx, cancel := context.WithTimeout(t.Context(), length+30*time.Second)
	defer cancel()
	total := int(length.Seconds() * honestRate)
	took := make([]time.Duration, total)
	began := time.Now()
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			var conn *wire.Conn
			for i := client; i < total && !t.Failed(); i += clients {
				due := began.Add(time.Duration(i) * time.Second / honestRate)
				<-time.After(time.Until(due))
				var err error
				if conn, err = s.visitHonest(ctx, conn, client%2 == 0); err != nil {
					t.Errorf("honest request %d: %v", i, err)
				}
				took[i] = time.Since(due)
			}
			if conn != nil {
				conn.Close()
			}
		})
	}
	group.Wait()
	return took
}

// visitHonest sends a request on a connection, or on a new one if there is
// none, and gives it back if it is to be kept.
func (s *server) visitHonest(ctx context.Context, conn *wire.Conn, keep bool) (*wire.Conn, error) {
	if conn == nil {
		var err error
		if conn, err = wire.Dial(ctx, s.Addr); err != nil {
			return nil, err
		}
		if deadline, ok := ctx.Deadline(); ok {
			if err := conn.SetDeadline(deadline); err != nil {
				return nil, err
			}
		}
	}
	r, err := conn.Do(wire.AppendGet(nil, s.Addr, "/honest"))
	if err == nil && r.Status != 302 {
		err = fmt.Errorf("status %d", r.Status)
	}
	if keep && err == nil {
		return conn, nil
	}
	conn.Close()
	return nil, err
}

func percentile(took []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(len(sorted)*p/100, len(sorted)-1)].Round(10 * time.Microsecond)
}

var fate = regexp.MustCompile(`(pending|connected|error|closed): *(\S+)`)

// fates are what slowhttptest says last of its connections.
func fates(out string) string {
	out = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAllString(out, "")
	last := map[string]string{}
	for _, m := range fate.FindAllStringSubmatch(out, -1) {
		last[m[1]] = m[2]
	}
	var all []string
	for _, name := range []string{"connected", "pending", "error", "closed"} {
		all = append(all, last[name]+" "+name)
	}
	return strings.Join(all, ", ")
}
