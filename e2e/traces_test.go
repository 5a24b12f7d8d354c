package e2e_test

import (
	"bytes"
	"encoding/base64"
	bin "encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// written is everything that a server wrote, by where.
type written map[string][]byte

// everything reads the data folder, the log and what strangers and users can
// ask for.
func (s *server) everything(t *testing.T, key string) written {
	t.Helper()
	all := written{"the log": []byte(s.Log())}
	err := filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(s.Data, path)
		if err != nil {
			return err
		}
		all[name], err = os.ReadFile(path)
		if os.IsNotExist(err) { // a journal's files come and go
			err = nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if key == "" {
		return all
	}
	for _, path := range []string{"/metrics", "/health/ready", "/api/v1/stats?kind=all&top=1000", "/api/v1/stats.csv?kind=all&top=1000", "/api/v1/clicks.csv", "/api/v1/urls"} {
		all[path] = s.must(t, 200, ask{method: "GET", path: path, key: key}).body
	}
	return all
}

// size is how many bytes there are that are not zero.
func (w written) size() (n int) {
	for _, b := range w {
		n += len(b) - bytes.Count(b, []byte{0})
	}
	return n
}

// needle is something to find: a spelling of what must not be there.
type needle struct {
	of    string // whose
	form  string
	bytes []byte
	at    int // where in bytes it is looked for by
}

// haystack finds many needles at once: it looks at four bytes of each place
// before it compares.
type haystack struct {
	maybe []uint64 // a bit for each hash of four bytes
	by    map[uint32][]needle
}

func newHaystack(needles []needle) *haystack {
	h := &haystack{maybe: make([]uint64, 1<<18), by: map[uint32][]needle{}}
	for _, n := range needles {
		n.at = telling(n.bytes)
		key := bin.LittleEndian.Uint32(n.bytes[n.at:])
		h.by[key] = append(h.by[key], n)
		at := hashed(key)
		h.maybe[at>>6] |= 1 << (at & 63)
	}
	return h
}

// telling gives where the four bytes stand by which a needle is looked for: the
// last ones that all differ, since many needles begin alike.
func telling(b []byte) int {
	for want := 4; ; want-- {
		for i := len(b) - 4; i >= 0; i-- {
			different := map[byte]bool{b[i]: true, b[i+1]: true, b[i+2]: true, b[i+3]: true}
			if len(different) >= want {
				return i
			}
		}
	}
}

func hashed(key uint32) uint32 { return key * 0x9E3779B1 >> 8 }

// find gives what is found: where, by whose and in which form.
func (h *haystack) find(all written) map[needleName][]string {
	found := map[needleName][]string{}
	for _, where := range slices.Sorted(maps.Keys(all)) {
		b := all[where]
		for i := 0; i+4 <= len(b); i++ {
			key := bin.LittleEndian.Uint32(b[i:])
			if at := hashed(key); h.maybe[at>>6]&(1<<(at&63)) == 0 {
				continue
			}
			for _, n := range h.by[key] {
				if i >= n.at && bytes.HasPrefix(b[i-n.at:], n.bytes) {
					name := needleName{n.of, n.form}
					if list := found[name]; len(list) == 0 || list[len(list)-1] != where {
						found[name] = append(list, where)
					}
				}
			}
		}
	}
	return found
}

type needleName struct{ of, form string }

// spellings are the forms of an address that are long enough not to be found by
// chance.
func spellings(a netip.Addr) []needle {
	var list []needle
	add := func(form string, b []byte) { list = append(list, needle{of: a.String(), form: form, bytes: b}) }
	text := func(form, s string) {
		add(form, []byte(s))
		if upper := strings.ToUpper(s); upper != s {
			add(form+", upper case", []byte(upper))
		}
	}
	as16 := a.As16()
	backwards := slices.Clone(as16[:])
	slices.Reverse(backwards)
	text("text", a.String())
	add("16 bytes", as16[:])
	add("16 bytes, backwards", backwards)
	text("hex of 16 bytes", hex.EncodeToString(as16[:]))
	text("hex of 16 bytes, backwards", hex.EncodeToString(backwards))
	encoded(add, "base64 of 16 bytes", as16[:])
	encoded(add, "base64 of 16 bytes, backwards", backwards)
	encoded(add, "base64 of the text", []byte(a.String()))
	text("hex of the text", hex.EncodeToString([]byte(a.String())))
	if a.Is4() {
		b := a.As4()
		text("with dashes", fmt.Sprintf("%d-%d-%d-%d", b[0], b[1], b[2], b[3]))
		text("backwards, as in in-addr.arpa", fmt.Sprintf("%d.%d.%d.%d", b[3], b[2], b[1], b[0]))
		text("with zeros", fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3]))
		text("mapped", netip.AddrFrom16(as16).String())
		return list
	}
	text("all digits", a.StringExpanded())
	add("the /64", as16[:8])
	add("the lower half", as16[8:])
	encoded(add, "base64 of the /64", as16[:8])
	text("hex of the /64", hex.EncodeToString(as16[:8]))
	text("the /64 as text", a.StringExpanded()[:19])
	var nibbles []string
	for _, digit := range hex.EncodeToString(backwards) {
		nibbles = append(nibbles, string(digit))
	}
	for i := 0; i < len(nibbles); i += 2 {
		nibbles[i], nibbles[i+1] = nibbles[i+1], nibbles[i]
	}
	text("backwards, as in ip6.arpa", strings.Join(nibbles, "."))
	return list
}

// encoded adds base64 at each of its three alignments, without what depends on
// neighbours.
func encoded(add func(string, []byte), form string, b []byte) {
	for shift := range 3 {
		for name, e := range map[string]*base64.Encoding{"": base64.RawStdEncoding, ", for addresses of pages": base64.RawURLEncoding} {
			padded := append(make([]byte, shift), b...)
			s := e.EncodeToString(padded)
			from, to := (shift*8+5)/6, (len(padded)*8)/6
			add(fmt.Sprintf("%s%s, shifted by %d", form, name, shift), []byte(s[from:to]))
		}
	}
}

// shortSpellings are forms of an IPv4 address that occur by chance: only a
// comparison with addresses that were never sent tells whether they do more
// often.
func shortSpellings(a netip.Addr) []needle {
	b := a.As4()
	n := bin.BigEndian.Uint32(b[:])
	backwards := []byte{b[3], b[2], b[1], b[0]}
	list := []needle{
		{of: a.String(), form: "4 bytes", bytes: b[:]},
		{of: a.String(), form: "4 bytes, backwards", bytes: backwards},
		{of: a.String(), form: "hex", bytes: []byte(hex.EncodeToString(b[:]))},
		{of: a.String(), form: "hex, upper case", bytes: []byte(strings.ToUpper(hex.EncodeToString(b[:])))},
		{of: a.String(), form: "hex, backwards", bytes: []byte(hex.EncodeToString(backwards))},
		{of: a.String(), form: "a number", bytes: []byte(fmt.Sprint(n))},
		{of: a.String(), form: "a number, backwards", bytes: []byte(fmt.Sprint(bin.LittleEndian.Uint32(b[:])))},
	}
	encoded(func(form string, b []byte) { list = append(list, needle{of: a.String(), form: form, bytes: b}) }, "base64", b[:])
	return slices.DeleteFunc(list, func(n needle) bool { return len(n.bytes) < 4 })
}
