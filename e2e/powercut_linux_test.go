package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"kurz/client"
	"kurz/test/powercut"
	"kurz/test/program"
)

// TestPowerCut cuts the power of the disk under a server, at random moments of
// its load and of its start, and starts it again on what that left: only what
// was synced, or, two times of three, also some of the rest, torn. No create
// that was acknowledged is lost or done twice; no click is counted twice; none
// is lost in strict mode, otherwise only such as were answered after the last
// sync but one; and the databases pass their integrity check every time.
//
// KURZ_CUTS says how many cuts of each mode, KURZ_SEED which moments. The last
// line of each log is a summary.
func TestPowerCut(t *testing.T) {
	for _, sync := range []string{"50ms", "strict"} {
		t.Run(sync, func(t *testing.T) {
			cuts, proof := times(t, "KURZ_CUTS", 3)
			p := &cutProof{t: t, sync: sync, random: seeded(t), counted: map[*entry]int{}, sent: map[*entry]int{}}
			p.disk, p.mount = powercut.Make(t)
			p.options = program.Options{
				Binary: binary, Data: filepath.Join(p.mount, "data"), Env: append(unlimited(), "KURZ_CLICK_SYNC="+sync),
			}
			for range 2 {
				p.cutStart()
			}
			p.begin()
			for i := range cuts {
				if i%5 == 3 {
					p.stop()
					p.cutStart()
					p.again()
				}
				p.cutLoad()
			}
			p.report(cuts, proof)
		})
	}
}

// TestPowerCutOfTheFirst cuts the power soon after the first start of all: the
// folder itself, its files and the secret that retries depend on have to be as
// durable as the first link.
func TestPowerCutOfTheFirst(t *testing.T) {
	p := &cutProof{t: t}
	p.disk, p.mount = powercut.Make(t)
	s := startIn(t, filepath.Join(p.mount, "new", "data"), append(unlimited(), "KURZ_CLICK_SYNC=strict")...)
	p.options = s.Options
	a := ask{
		method: "POST", path: "/api/v1/urls", body: `{"long_url":"https://go.dev/first"}`,
		header: map[string]string{"Idempotency-Key": "first"},
	}
	code := s.must(t, http.StatusCreated, a).text("short_code")
	s.must(t, http.StatusFound, ask{method: "GET", path: "/" + code})
	p.cut(s.Server)
	s.again(t)
	s.must(t, http.StatusFound, ask{method: "GET", path: "/" + code})
	match(t, "the code that a retry gives", code, s.must(t, http.StatusCreated, a).text("short_code"))
	key := s.key(t, "ann@example.org", "--role", "admin")
	eventually(t, 5*time.Second, func() string {
		r := s.must(t, http.StatusOK, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats?kind=all", key: key})
		if r.text("total_clicks") != "2" {
			return "two redirects were answered: " + string(r.body)
		}
		return ""
	})
}

// TestPowerCutOfBulk cuts the power under a bulk job, whose links are synced with
// what is told of them: in the end each row has its link, and what was told was
// never too much.
func TestPowerCutOfBulk(t *testing.T) {
	rows, cuts := 3*fewRows(), 4
	p := &cutProof{t: t, random: seeded(t)}
	p.disk, p.mount = powercut.Make(t)
	s := startIn(t, filepath.Join(p.mount, "data"), append(unlimited(), "KURZ_RATE_BULK_FREE=off")...)
	p.options = s.Options
	key := s.key(t, "ann@example.org")
	c := s.api(t, key)
	j, err := c.Bulk(t.Context(), client.BulkCSV, bulkFile(rows))
	if err != nil {
		t.Fatal(err)
	}
	for range cuts {
		<-time.After(time.Duration(p.random.IntN(10*rows)) * time.Microsecond)
		if j, err = c.BulkJob(t.Context(), j.ID); err != nil {
			t.Fatal(err)
		}
		t.Logf("cut after %d rows", j.Done)
		p.cut(s.Server)
		s.again(t)
		told := j.Done
		if j, err = c.BulkJob(t.Context(), j.ID); err != nil || j.Done < told {
			t.Fatalf("%+v, where %d rows were done, error %v", j, told, err)
		}
	}
	if j, err = c.WaitBulk(t.Context(), j.ID, nil); err != nil || j.Done != int64(rows-rows/100) {
		t.Fatalf("%+v, error %v", j, err)
	}
	if got := resultsOf(t, c, j.ID); got["created"] != rows-rows/100 {
		t.Errorf("results %v", got)
	}
	if n := s.countLinks(t, key, rows); int64(n) != j.Done {
		t.Errorf("%d links of %d rows", n, j.Done)
	}
}

// cutProof is one server's life on a disk whose power is cut.
type cutProof struct {
	t       *testing.T
	sync    string
	random  *rand.Rand
	disk    *powercut.Disk
	mount   string
	options program.Options
	s       *server
	key     string
	l       *ledger
	loaded  time.Duration

	// Of hot links, after the last restart.
	counted, sent map[*entry]int

	restarts        []time.Duration
	starts          int // cuts while it started
	answered, total int // clicks under load, and how many of all sent are counted
	late            int // clicks that were answered after the last sync but one and are not counted
	oldest, window  time.Duration
	lost, doubled   int
	noSync          int // cuts before a second sync
}

// tear is what a cut keeps: nothing, or some, in small or large sectors.
func (p *cutProof) tear() powercut.Tear {
	if p.random == nil {
		return powercut.Tear{}
	}
	switch p.random.IntN(3) {
	case 0:
		return powercut.Tear{Random: p.random, Sector: 512}
	case 1:
		return powercut.Tear{Random: p.random, Sector: 4096}
	}
	return powercut.Tear{}
}

// cutStart launches a server and cuts the power before it, or soon after it,
// is ready.
func (p *cutProof) cutStart() {
	s, err := program.Launch(p.options)
	if err != nil {
		p.t.Fatal(err)
	}
	timer := time.NewTimer(between(p.random, 0, 150*time.Millisecond))
	defer timer.Stop()
	<-timer.C
	p.cut(s)
	p.starts++
}

// cut cuts the power, and tells when and what was safe. The server dies in the
// same moment: nothing is answered any more.
func (p *cutProof) cut(s *program.Server) (at, safe time.Time) {
	at = p.disk.Freeze()
	if err := s.Signal(os.Kill); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	p.disk.Off() // so that what the server waits for lets it go
	s.Kill()
	safe = p.disk.Safe(powercut.Under("data/journal", ".segment"))
	p.disk.Restart(p.t, p.tear())
	p.integrity()
	return at, safe
}

// integrity checks copies of the databases, since SQLite would mend what it
// finds, as a server at its start.
func (p *cutProof) integrity() {
	p.t.Helper()
	dir := p.t.TempDir()
	for _, name := range []string{"kurz.db", "clicks.db"} {
		for _, ending := range []string{"", "-wal"} {
			data, err := os.ReadFile(filepath.Join(p.options.Data, name+ending))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name+ending), data, 0o600)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				p.t.Fatal(err)
			}
		}
		if said := integrity(filepath.Join(dir, name)); said != "ok" {
			p.t.Errorf("after the cut, %s: %s", name, said)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		p.t.Error(err)
	}
}

// integrity gives what SQLite's integrity check says of a file.
func integrity(path string) (said string) {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	err = sqlitex.ExecuteTransient(c, "PRAGMA integrity_check", &sqlitex.ExecOptions{ResultFunc: func(row *sqlite.Stmt) error {
		said += row.ColumnText(0)
		return nil
	}})
	if err != nil {
		return err.Error()
	}
	return said
}

// begin starts the server for the first time that it is not cut off.
func (p *cutProof) begin() {
	p.s = startWith(p.t, p.options)
	p.options = p.s.Options // the address
	p.key = p.s.key(p.t, "ann@example.org", "--role", "admin")
	p.l = newLedger(p.t, p.s, p.key)
	p.l.timed = true
}

// stop ends the server in order.
func (p *cutProof) stop() {
	if err := p.s.Stop(context.Background()); err != nil {
		p.t.Fatal(err)
	}
}

func (p *cutProof) again() {
	began := time.Now()
	p.s.again(p.t)
	p.restarts = append(p.restarts, time.Since(began))
}

// cutLoad cuts the power under load, starts again and compares.
func (p *cutProof) cutLoad() {
	var at, safe time.Time
	began := time.Now()
	p.s.underLoad(p.t, p.l, between(p.random, 100*time.Millisecond, 900*time.Millisecond), func() { at, safe = p.cut(p.s.Server) })
	p.loaded += at.Sub(began)
	p.again()
	p.s.retry(p.t, p.l)
	for _, e := range p.l.some(p.random) {
		if e.code != "" {
			p.s.must(p.t, http.StatusOK, ask{method: "GET", path: "/api/v1/urls/" + e.code, key: p.key})
		}
	}
	p.doctor()
	p.compare(at, safe)
}

// doctor asks what kurz says of the folder.
func (p *cutProof) doctor() {
	p.t.Helper()
	out, err := p.s.Run(p.t.Context(), "doctor", "--json")
	if err != nil {
		p.t.Errorf("%v\n%s", err, out)
	}
}

// compare waits until all clicks that are left are counted, and compares each
// hot link's with what was sent and answered since the last restart.
func (p *cutProof) compare(at, safe time.Time) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, func() string {
		if n := p.s.metric(p.t, "kurz_clicks_pending"); n != 0 {
			return fmt.Sprintf("%v clicks wait in the journal", n)
		}
		return ""
	})
	if safe.IsZero() {
		p.noSync++
	}
	for _, e := range p.l.hot {
		var link struct{ Clicks int }
		r := p.s.must(p.t, http.StatusOK, ask{method: "GET", path: "/api/v1/urls/" + e.code, key: p.key})
		if err := json.Unmarshal(r.body, &link); err != nil {
			p.t.Fatal(err)
		}
		counted, sent := link.Clicks-p.counted[e], e.sent-p.sent[e]
		due := len(e.answers)
		if p.sync != "strict" {
			due = 0
			for due < len(e.answers) && !e.answers[due].After(safe) {
				due++
			}
		}
		if counted < due {
			p.lost += due - counted
			p.t.Errorf("%s: %d redirects answered that were safe, %d counted", e.code, due, counted)
		}
		if counted > sent {
			p.doubled += counted - sent
			p.t.Errorf("%s: %d redirects sent, %d counted", e.code, sent, counted)
		}
		if counted < len(e.answers) {
			p.late += len(e.answers) - counted
			p.oldest = max(p.oldest, at.Sub(e.answers[counted]))
		}
		p.answered += len(e.answers)
		p.total += counted
		p.counted[e], p.sent[e], e.answers = link.Clicks, e.sent, nil
	}
	if !safe.IsZero() {
		p.window = max(p.window, at.Sub(safe))
	}
}

func (p *cutProof) report(cuts int, proof bool) {
	created, made := p.s.countCreates(p.t, p.l, p.key)
	slices.Sort(p.restarts)
	rate := float64(p.l.redirected) / p.loaded.Seconds()
	counts := p.disk.Counts()
	p.t.Logf("power cut (%s): %d cuts under load, %d while starting, restarts median %d ms, longest %d ms; load: %.0f redirects/s; creates: %d acknowledged, %d made, %d lost, %d doubled; redirects: %d answered, %d counted, %d lost, %d doubled; not yet synced: %d, the oldest answered %.1f ms before the cut; the last sync but one ended at most %.1f ms before the cut, %d cuts came before it; the disk: %+v",
		p.sync, cuts, p.starts, p.restarts[len(p.restarts)/2].Milliseconds(), p.restarts[len(p.restarts)-1].Milliseconds(), rate,
		created, made, p.l.lostCreates, p.l.doubledCreates, p.answered, p.total, p.lost, p.doubled,
		p.late, float64(p.oldest.Microseconds())/1000, float64(p.window.Microseconds())/1000, p.noSync, counts)
	if p.answered < 10*cuts || created < hotLinks+cuts || counts.Dropped == 0 {
		p.t.Error("too little load for a proof")
	}
	if proof && cuts >= 20 && (counts.Torn == 0 || counts.Undone == 0) {
		p.t.Error("no cut tore anything")
	}
	if strings.Contains(p.s.Log(), "panic") {
		p.t.Error("the server panicked")
	}
}
