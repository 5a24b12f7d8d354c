package e2e_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	bin "encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kurz/test/wire"
)

// visitor is one who follows a link.
type visitor struct {
	addr          netip.Addr
	agent, header string
}

// crowd draws visitors with addresses all over, half of them IPv6, each another.
func crowd(seed uint64, n int) []visitor {
	r := rand.New(rand.NewPCG(seed, 1))
	seen := map[netip.Addr]bool{}
	var list []visitor
	for len(list) < n {
		var a netip.Addr
		if len(list)%2 == 0 {
			var b [4]byte
			bin.BigEndian.PutUint32(b[:], r.Uint32())
			a = netip.AddrFrom4(b)
		} else {
			var b [16]byte
			bin.BigEndian.PutUint64(b[:], r.Uint64())
			bin.BigEndian.PutUint64(b[8:], r.Uint64())
			b[0] = 0x20 | b[0]&0x1f // 2000::/3, what is given to people
			a = netip.AddrFrom16(b)
		}
		if !a.IsGlobalUnicast() || a.IsPrivate() || seen[a] || a.Is4() && slices.Contains(a.AsSlice(), 0) {
			continue
		}
		seen[a] = true
		list = append(list, visitor{addr: a, agent: fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", 100+r.IntN(40), 100+r.IntN(40))})
	}
	return list
}

// walk has visitors follow a link, through a proxy that is trusted, over some
// connections.
func (s *server) walk(t *testing.T, code string, visitors []visitor) {
	t.Helper()
	const connections = 8
	var wg sync.WaitGroup
	for c := range connections {
		wg.Go(func() {
			conn, err := wire.Dial(t.Context(), s.Addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			var request []byte
			for i := c; i < len(visitors); i += connections {
				v := visitors[i]
				request = fmt.Appendf(request[:0], "GET /%s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\nUser-Agent: %s\r\n%s\r\n", code, s.Addr, v.addr, v.agent, v.header)
				r, err := conn.Do(request)
				if err != nil || r.Status != 302 {
					t.Errorf("%d %s, %v", r.Status, r.Body, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// counted waits until the reports have so many clicks.
func (s *server) counted(t *testing.T, key string, n int) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		if got := s.must(t, 200, ask{method: "GET", path: "/api/v1/stats?kind=all", key: key}).text("total_clicks"); got != strconv.Itoa(n) {
			return got + " clicks are counted"
		}
		return ""
	})
}

func proxied(env ...string) []string {
	return append(append(unlimited(), "KURZ_TRUSTED_PROXIES=127.0.0.0/8"), env...)
}

// TestNoTraceOfAddresses sends 10,000 clicks from known addresses and looks for
// each in everything that the server wrote, in every usual spelling: while
// clicks are in the journal, when they are counted, after a kill and after an
// orderly end. Four bytes are found by chance; so they are looked for of as
// many addresses that were never sent, and must not be found more often. Then
// addresses are planted, to show that what is there is found.
func TestNoTraceOfAddresses(t *testing.T) {
	t.Parallel()
	s := start(t, proxied("KURZ_LOG_REDIRECTS=1", "KURZ_LOG_LEVEL=debug", "KURZ_PUMP_INTERVAL=2s")...)
	key := s.key(t, "ann@example.org", "--role", "admin")
	code := s.create(t, key, "https://go.dev/")
	visitors, others := crowd(1, 10_000), crowd(2, 10_000)
	s.walk(t, code, visitors[:6_000])
	look := newSearch(visitors, others)
	look.nothing(t, "with clicks in the journal", s.everything(t, key))
	s.walk(t, code, visitors[6_000:])
	s.Kill()
	look.nothing(t, "after a kill", s.everything(t, ""))
	s.again(t)
	s.counted(t, key, len(visitors))
	all := s.everything(t, key)
	look.nothing(t, "when all are counted", all)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	look.nothing(t, "after an orderly end", s.everything(t, ""))

	// The search finds what there is: each form, in the middle of a file, and
	// the short ones of a hundred addresses.
	for i, v := range visitors[:2] {
		for _, n := range spellings(v.addr) {
			planted := written{"a file": slices.Concat(bytes.Repeat([]byte{0xa5}, 999+i), n.bytes, []byte("rest"))}
			if look.long.find(planted)[needleName{n.of, n.form}] == nil {
				t.Errorf("the search does not find %s of %s", n.form, n.of)
			}
		}
	}
	leak := []byte{}
	for _, v := range visitors {
		if v.addr.Is4() && len(leak) < 500 {
			leak = append(leak, v.addr.AsSlice()...)
			leak = append(leak, '.')
		}
	}
	all["planted"] = leak
	if short, chance, most := look.short(all); short <= most {
		t.Errorf("a hundred addresses of four bytes are not noticed: %d found, %d by chance", short, chance)
	}
}

// search looks for visitors, and for as many who never came.
type search struct {
	long          *haystack
	short4, never *haystack
}

func newSearch(visitors, others []visitor) *search {
	var long, short, never []needle
	for _, v := range visitors {
		long = append(long, spellings(v.addr)...)
		if v.addr.Is4() {
			short = append(short, shortSpellings(v.addr)...)
		}
	}
	for _, v := range others {
		if v.addr.Is4() {
			never = append(never, shortSpellings(v.addr)...)
		}
	}
	return &search{newHaystack(long), newHaystack(short), newHaystack(never)}
}

// short counts the short forms that are found, those of addresses that were
// never sent, and what chance explains: five standard deviations more.
func (s *search) short(all written) (found, chance, most int) {
	found, chance = len(s.short4.find(all)), len(s.never.find(all))
	return found, chance, chance + 10 + int(5*math.Sqrt(float64(chance)))
}

func (s *search) nothing(t *testing.T, when string, all written) {
	t.Helper()
	for name, where := range s.long.find(all) {
		t.Errorf("%s: %q hold %s of %s", when, where, name.form, name.of)
	}
	found, chance, most := s.short(all)
	t.Logf("%s: %d places, %d bytes that are not zero; short forms found: %d of addresses that were sent, %d of others", when, len(all), all.size(), found, chance)
	if found > most {
		t.Errorf("%s: %d short forms are found, and %d of addresses that were never sent", when, found, chance)
	}
}

// TestHashesCantBeTurnedBack takes everything in the data folder but the key of
// visitor hashes, and a thousand visitors whose address and user agent are
// known, and tries to find out which hash is whose. With the key it can be
// told, which shows that nothing else keeps it from being told.
func TestHashesCantBeTurnedBack(t *testing.T) {
	t.Parallel()
	s := start(t, proxied("KURZ_LOG_REDIRECTS=1")...)
	key := s.key(t, "ann@example.org", "--role", "admin")
	code := s.create(t, key, "https://go.dev/")
	visitors := crowd(3, 1_000)
	s.walk(t, code, visitors)
	s.counted(t, key, len(visitors))
	hashes := s.hashes(t, key)
	if len(hashes) != len(visitors) {
		t.Fatalf("%d hashes of %d visitors", len(hashes), len(visitors))
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	all := s.everything(t, "")
	file := all[visitorKey]
	delete(all, visitorKey)
	if file == nil || all["server.key"] == nil {
		t.Fatalf("no keys among %d files", len(all))
	}
	a := &attack{hashes: hashes}
	for i := range visitors {
		if how := a.unkeyed(visitors[i]); how != "" {
			t.Errorf("%s of %s is in the statistics", how, visitors[i].addr)
		}
	}
	began := time.Now()
	for where, b := range all {
		for _, k := range decoded(b) {
			if a.fits(k, visitors[0]) {
				t.Errorf("%s is a key", where)
			}
		}
		if at := a.windows(t.Context(), b, visitors[0]); at >= 0 {
			t.Errorf("%s has a key of the hashes at %d", where, at)
		}
	}
	t.Logf("%d keys tried in %v", a.tried, time.Since(began).Round(time.Millisecond))

	// With the key.
	secrets := secretsIn(t, file)
	matched := 0
	for _, v := range visitors {
		if slices.ContainsFunc(secrets, func(k []byte) bool { return a.fits(k, v) }) {
			matched++
		}
	}
	if matched != len(visitors) {
		t.Errorf("with the key %d of %d are told", matched, len(visitors))
	}
	// And a key that lies somewhere is found.
	for _, k := range secrets {
		if a.fits(k, visitors[0]) && a.windows(t.Context(), slices.Concat([]byte("before"), k, []byte("after")), visitors[0]) != len("before") {
			t.Error("the attack does not find a key that is there")
		}
	}
}

const visitorKey = "visitor.key"

// hashes gives the visitor hashes of all clicks.
func (s *server) hashes(t *testing.T, key string) map[uint64]bool {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(s.must(t, 200, ask{method: "GET", path: "/api/v1/clicks.csv", key: key}).body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := slices.Index(rows[0], "visitor")
	hashes := map[uint64]bool{}
	for _, row := range rows[1:] {
		if row[column] == "" {
			continue
		}
		h, err := strconv.ParseUint(row[column], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		hashes[h] = true
	}
	return hashes
}

// secretsIn reads the keys of a visitor key file.
func secretsIn(t *testing.T, file []byte) (secrets [][]byte) {
	t.Helper()
	var keys struct{ Keys []struct{ Secret []byte } }
	if err := json.Unmarshal(file, &keys); err != nil || len(keys.Keys) == 0 {
		t.Fatalf("%v in %s", err, file)
	}
	for _, k := range keys.Keys {
		secrets = append(secrets, k.Secret)
	}
	return secrets
}

// attack knows the hashes, the way that they are made, and visitors.
type attack struct {
	hashes map[uint64]bool
	tried  int
}

func message(v visitor) []byte {
	as16 := v.addr.As16()
	return append(as16[:], v.agent...)
}

// known reports whether the first or the last eight bytes of a sum are a hash.
func (a *attack) known(sum []byte) bool {
	for _, b := range [][]byte{sum[:8], sum[len(sum)-8:]} {
		if a.hashes[bin.BigEndian.Uint64(b)] || a.hashes[bin.LittleEndian.Uint64(b)] {
			return true
		}
	}
	return false
}

// fits reports whether this key makes one of the hashes of a visitor.
func (a *attack) fits(key []byte, v visitor) bool {
	a.tried++
	mac := hmac.New(sha256.New, key)
	mac.Write(message(v))
	if a.known(mac.Sum(nil)) {
		return true
	}
	salted := sha256.Sum256(slices.Concat(key, message(v)))
	if a.known(salted[:]) {
		return true
	}
	salted = sha256.Sum256(slices.Concat(message(v), key))
	return a.known(salted[:])
}

// unkeyed says which hash without a key a visitor has; "" for none.
func (a *attack) unkeyed(v visitor) string {
	as16 := v.addr.As16()
	inputs := map[string][]byte{
		"address and agent": message(v), "address": as16[:], "address as text": []byte(v.addr.String()), "bytes": v.addr.AsSlice(),
		"text and agent": []byte(v.addr.String() + v.agent), "agent and address": append([]byte(v.agent), as16[:]...), "agent and text": []byte(v.agent + v.addr.String()),
	}
	for name, input := range inputs {
		s256, s1, m5 := sha256.Sum256(input), sha1.Sum(input), md5.Sum(input)
		f := fnv.New64a()
		f.Write(input)
		for way, sum := range map[string][]byte{"SHA-256": s256[:], "SHA-1": s1[:], "MD5": m5[:], "FNV": f.Sum(nil)} {
			if a.known(sum) {
				return way + " of " + name
			}
		}
		for _, key := range [][]byte{nil, make([]byte, 16), make([]byte, 32)} {
			mac := hmac.New(sha256.New, key)
			mac.Write(input)
			if a.known(mac.Sum(nil)) {
				return "HMAC without a key of " + name
			}
		}
	}
	return ""
}

// windows tries every 16 and 32 bytes of a file that could be drawn at random
// as the key, and gives where one fits; -1 for nowhere.
func (a *attack) windows(ctx context.Context, b []byte, v visitor) int {
	m := message(v)
	sum := make([]byte, 0, sha256.Size)
	seen := map[[32]byte]bool{}
	for _, size := range []int{32, 16} {
		clear(seen)
		for i := 0; i+size <= len(b); i++ {
			if b[i] == 0 && b[i+size-1] == 0 || ctx.Err() != nil || !random(b[i:i+size]) {
				continue
			}
			var window [32]byte
			copy(window[:], b[i:i+size])
			if seen[window] {
				continue
			}
			seen[window] = true
			a.tried++
			mac := hmac.New(sha256.New, b[i:i+size])
			mac.Write(m)
			if sum = mac.Sum(sum[:0]); a.known(sum) {
				return i
			}
		}
	}
	return -1
}

// random reports whether bytes could be a key: of 16 random ones fewer than 10
// different, or of 32 fewer than 20, come once in some hundred million draws.
func random(b []byte) bool {
	var have [4]uint64
	n := 0
	for _, c := range b {
		if bit := uint64(1) << (c & 63); have[c>>6]&bit == 0 {
			have[c>>6] |= bit
			n++
		}
	}
	return n >= len(b)*5/8
}

// decoded gives what a small file may stand for as a key.
func decoded(b []byte) [][]byte {
	if len(b) > 4096 {
		return nil
	}
	trimmed := bytes.TrimSpace(b)
	keys := [][]byte{b, trimmed}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if k, err := e.DecodeString(string(trimmed)); err == nil {
			keys = append(keys, k)
		}
	}
	if k, err := hex.DecodeString(string(trimmed)); err == nil {
		keys = append(keys, k)
	}
	for _, k := range slices.Clone(keys) {
		sum := sha256.Sum256(k)
		keys = append(keys, sum[:])
	}
	return keys
}

// TestNothingOfTheUntracked: of visitors who ask not to be tracked, where that
// is honoured, nothing is found but that there was a click: no address, user
// agent, referrer, language or hash, while those of others are.
func TestNothingOfTheUntracked(t *testing.T) {
	t.Parallel()
	s := start(t, proxied("KURZ_HONOUR_DNT=true", "KURZ_LOG_REDIRECTS=1", "KURZ_LOG_LEVEL=debug", "KURZ_PUMP_INTERVAL=2s")...)
	key := s.key(t, "ann@example.org", "--role", "admin")
	code := s.create(t, key, "https://go.dev/")
	visitors := crowd(4, 1_000)
	asks := []string{"DNT: 1\r\n", "Sec-GPC: 1\r\n", "DNT: 0\r\n", ""}
	var marks []needle
	for i := range visitors {
		v := &visitors[i]
		name := fmt.Sprintf("q%dq%s", i, strings.Repeat("z", 4))
		v.agent += " " + name + "agent"
		v.header = asks[i/2%4] + "Referer: https://" + name + "host.example/" + name + "path\r\nAccept-Language: x-" + name + "lang\r\nCookie: " + name + "cookie=1\r\n"
		for _, part := range []string{"agent", "host", "path", "lang", "cookie"} {
			marks = append(marks, needle{of: strconv.Itoa(i), form: part, bytes: []byte(name + part)})
		}
	}
	s.walk(t, code+"?utm_campaign=ours&secret=q", visitors)
	stages := []written{s.everything(t, key)}
	s.counted(t, key, len(visitors))
	stages = append(stages, s.everything(t, key))
	secrets := secretsIn(t, stages[0][visitorKey])
	for number, v := range visitors {
		i := strconv.Itoa(number)
		for _, k := range secrets {
			mac := hmac.New(sha256.New, k)
			mac.Write(message(v))
			sum := mac.Sum(nil)[:8]
			backwards := slices.Clone(sum)
			slices.Reverse(backwards)
			marks = append(marks, needle{of: i, form: "hash", bytes: sum}, needle{of: i, form: "hash", bytes: backwards}, needle{of: i, form: "hash", bytes: []byte(hex.EncodeToString(sum))})
		}
		for _, n := range spellings(v.addr) {
			marks = append(marks, needle{of: i, form: "address", bytes: n.bytes})
		}
	}
	h := newHaystack(marks)
	tracked := map[string]int{}
	for _, all := range stages {
		for name, where := range h.find(all) {
			i, err := strconv.Atoi(name.of)
			if err != nil {
				t.Fatal(err)
			}
			asked := i/2%4 < 2
			switch {
			case asked, name.form == "address", name.form == "cookie":
				t.Errorf("%q hold the %s of visitor %d, who sent %q", where, name.form, i, asks[i/2%4])
			default:
				tracked[name.form]++
			}
		}
	}
	for _, part := range []string{"agent", "host", "path", "lang", "hash"} {
		if tracked[part] < len(visitors)/2 {
			t.Errorf("the %s of %d who did not ask is found: the search looks in the wrong place", part, tracked[part])
		}
	}
	total := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats?kind=all", key: key})
	match(t, "clicks", "1000", total.text("total_clicks"))
	match(t, "visitors", "500", total.text("unique_visitors"))
	// Not even what led to the click is claimed.
	match(t, "triggers", "500", s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats?kind=all&trigger=unknown", key: key}).text("total_clicks"))
}
