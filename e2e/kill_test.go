package e2e_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestKill kills the server again and again, at random moments, under a load of
// creates and redirects, and keeps the ledger here, outside of it. After each
// restart creates that were acknowledged resolve; in the end all of them are
// there, each redirect that was answered is counted once, none more often than
// it was sent, and no create was done twice, though half of those that got no
// answer were retried.
//
// KURZ_KILLS says how often, KURZ_SEED which moments; with KURZ_KILLS set it is
// a proof, which asks for 1,000 redirects a second and restarts within 2 s. The
// last line of its log is a summary.
func TestKill(t *testing.T) {
	kills, proof := times(t, "KURZ_KILLS", 3)
	random := seeded(t)
	s := start(t, unlimited()...)
	key := s.key(t, "ann@example.org", "--role", "admin")
	l := newLedger(t, s, key)
	var restarts []time.Duration
	var loaded time.Duration
	for range kills {
		began := time.Now()
		s.underLoad(t, l, between(random, 200*time.Millisecond, 1200*time.Millisecond), s.Kill)
		loaded += time.Since(began)
		began = time.Now()
		s.again(t)
		restarts = append(restarts, time.Since(began))
		s.retry(t, l)
		s.resolve(t, l, l.some(random))
	}
	rate := float64(l.redirected) / loaded.Seconds()
	s.resolve(t, l, l.all())
	created, made := s.countCreates(t, l, key)
	answered, sent, counted := s.countClicks(t, l, key)
	slices.Sort(restarts)
	longest := restarts[kills-1]
	t.Logf("kill: %d kills, restarts median %d ms, longest %d ms; load: %.0f redirects/s (%d in %.1f s); creates: %d acknowledged, %d made, %d lost, %d doubled; redirects: %d answered, %d sent, %d counted, %d lost, %d doubled",
		kills, restarts[kills/2].Milliseconds(), longest.Milliseconds(), rate, l.redirected, loaded.Seconds(),
		created, made, l.lostCreates, l.doubledCreates, answered, sent, counted, l.lostClicks, l.doubledClicks)
	if created < 64+kills || answered < 64*kills {
		t.Error("too little load for a proof")
	}
	if proof && (rate < 1000 || longest > 2*time.Second) {
		t.Error("a proof asks for 1,000 redirects a second and restarts within 2 s")
	}
}

// times gives how often something is to be done: as an environment variable
// says, which makes it a proof, or a few times.
func times(t *testing.T, variable string, few int) (n int, proof bool) {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return few, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number of times", variable, text)
	}
	return n, true
}

// seeded gives randomness that KURZ_SEED repeats.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("KURZ_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("KURZ_SEED: %v", err)
		}
	}
	t.Logf("KURZ_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)))
}
