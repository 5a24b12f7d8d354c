package enrich_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/oschwald/maxminddb-golang/v2"

	"kurz/internal/click"
	"kurz/internal/enrich"
	"kurz/test/mmdb"
)

var built = time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)

// networks are of a small city database.
func networks() map[netip.Prefix]mmdb.Record {
	list := map[netip.Prefix]mmdb.Record{}
	for _, row := range [][5]string{
		{"1.0.0.0/24", "AU", "Queensland", "QLD", "Brisbane"},
		{"1.0.1.0/24", "AU", "Queensland", "QLD", "Brisbane"},
		{"81.2.69.0/24", "GB", "England", "ENG", "London"},
		{"81.2.70.0/32", "GB", "Wales", "WLS", "Newport"},
		{"89.0.0.0/8", "DE", "", "NW", "Köln"},
		{"93.184.216.0/24", "US", "", "", ""},
		{"193.99.0.0/16", "", "", "", "Nowhere"},
		{"200.0.0.0/8", "br", "", "", "Rio"},
		{"201.0.0.0/8", "MX", "a\x00\u202eb", "", " " + strings.Repeat("ü", 100)},
		{"223.255.255.0/24", "ID", "", "", "Jakarta"},
		{"255.255.255.255/32", "ZZ", "", "", "the last"},
		{"10.0.0.0/8", "CH", "", "", "a private place"},
		{"2001:200::/32", "JP", "Tokyo", "13", "Tokyo"},
		{"2a02:8108::/64", "DE", "Berlin", "BE", "Berlin"},
		{"2a02:8108:0:1::1/128", "DE", "Hamburg", "HH", "Hamburg"},
		{"2a02:8108:0:1:0:1::/96", "DE", "Bremen", "HB", "Bremen"},
		{"2a02:8108:0:2::/64", "FR", "", "", "Nancy"},
		{"2a02:8108:0:3::/65", "FR", "", "", "Metz"},
		{"2a02:8108:0:3:8000::/65", "FR", "", "", "Toul"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "ZZ", "", "", "the very last"},
	} {
		list[netip.MustParsePrefix(row[0])] = mmdb.City(row[1], row[2], row[3], row[4])
	}
	return list
}

func write(t testing.TB, d mmdb.Database) []byte {
	t.Helper()
	data, err := mmdb.Write(d)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func cities(t testing.TB) []byte {
	return write(t, mmdb.Database{Type: "Test-City", Built: built, Networks: networks()})
}

// put puts data in the place of a file, at once.
func put(t testing.TB, path string, data []byte) {
	t.Helper()
	err := os.WriteFile(path+".new", data, 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func openCities(t testing.TB, data []byte) *enrich.Cities {
	t.Helper()
	path := filepath.Join(t.TempDir(), "city.mmdb")
	put(t, path, data)
	c, err := enrich.OpenCities(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCities(t *testing.T) {
	c := openCities(t, cities(t))
	for _, row := range []struct {
		addr string
		want click.Place
	}{
		{"1.0.0.0", click.Place{Country: "AU", Region: "Queensland", City: "Brisbane"}},
		{"1.0.1.255", click.Place{Country: "AU", Region: "Queensland", City: "Brisbane"}},
		{"81.2.69.142", click.Place{Country: "GB", Region: "England", City: "London"}},
		{"::ffff:81.2.69.142", click.Place{Country: "GB", Region: "England", City: "London"}},
		{"81.2.70.0", click.Place{Country: "GB", Region: "Wales", City: "Newport"}},
		{"89.255.255.255", click.Place{Country: "DE", Region: "NW", City: "Köln"}},
		{"93.184.216.34", click.Place{Country: "US"}},
		{"201.1.2.3", click.Place{Country: "MX", Region: "ab", City: strings.Repeat("ü", 64)}},
		{"223.255.255.255", click.Place{Country: "ID", City: "Jakarta"}},
		{"2001:200::1", click.Place{Country: "JP", Region: "Tokyo", City: "Tokyo"}},
		{"2a02:8108::ffff", click.Place{Country: "DE", Region: "Berlin", City: "Berlin"}},
		{"2a02:8108:0:1::1", click.Place{Country: "DE", Region: "Hamburg", City: "Hamburg"}},
		{"2a02:8108:0:1:0:1:2:3", click.Place{Country: "DE", Region: "Bremen", City: "Bremen"}},
		{"2a02:8108:0:2::1", click.Place{Country: "FR", City: "Nancy"}},
		{"2a02:8108:0:3:7fff::1", click.Place{Country: "FR", City: "Metz"}},
		{"2a02:8108:0:3:ffff::1", click.Place{Country: "FR", City: "Toul"}},
		// What the file does not know, or not the country of.
		{"193.99.144.80", click.Place{Country: "DE"}},
		{"200.160.2.3", click.Place{Country: "BR"}},
		{"8.8.8.8", click.Place{Country: "US"}},
		{"81.2.70.1", click.Place{Country: "GB"}},
		{"2a02:8108:0:1::2", click.Place{Country: "DE"}},
		{"2a02:8108:0:4::2", click.Place{Country: "DE"}},
		{"2001:4860:4860::8888", click.Place{Country: "US"}},
		// Nobody's.
		{"10.1.2.3", click.Place{}},
		{"127.0.0.1", click.Place{}},
		{"255.255.255.255", click.Place{}},
		{"::", click.Place{}},
		{"fe80::1%eth0", click.Place{}},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", click.Place{}},
	} {
		if d := cmp.Diff(row.want, c.Locate(netip.MustParseAddr(row.addr))); d != "" {
			t.Errorf("%s: %s", row.addr, d)
		}
	}
	if got := c.Locate(netip.Addr{}); got != (click.Place{}) {
		t.Errorf("no address: %+v", got)
	}
	want := enrich.CitiesStats{File: enrich.CityFile{Type: "Test-City", Built: built, Networks: 18, Countries: 10, Cities: 16}}
	if d := cmp.Diff(want, c.Stats()); d != "" {
		t.Error(d)
	}
	for _, text := range []string{"81.2.69.142", "::ffff:81.2.69.142", "2a02:8108:0:1::1", "8.8.8.8", "10.0.0.1"} {
		addr := netip.MustParseAddr(text)
		if n := testing.AllocsPerRun(1000, func() { c.Locate(addr) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// theirs is what the library itself says of an address.
func theirs(t *testing.T, db *maxminddb.Reader, addr netip.Addr) (country, city string) {
	t.Helper()
	r := db.Lookup(addr)
	err := errors.Join(r.DecodePath(&country, "country", "iso_code"), r.DecodePath(&city, "city", "names", "en"))
	if err != nil {
		t.Errorf("%s: %v", addr, err)
	}
	return country, city
}

// Every network of MaxMind's own test database is found as the library finds it.
func TestCitiesOfMaxMind(t *testing.T) {
	data, err := os.ReadFile(corpora(t, "GeoIP2-City-Test.mmdb"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	locate, file, err := enrich.Survey(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", file)
	random := rand.New(rand.NewPCG(1, 2))
	compared, found := 0, 0
	for network := range db.Networks() {
		low := network.Prefix().Addr()
		b := low.AsSlice()
		for i := network.Prefix().Bits(); i < 8*len(b); i++ {
			b[i/8] |= byte(random.IntN(2)) << (7 - i%8)
		}
		inside, _ := netip.AddrFromSlice(b)
		for _, addr := range []netip.Addr{low, low.Prev(), inside, inside.Next()} {
			if !addr.IsValid() || addr.Is4In6() || addr.Is6() && db.Lookup(addr).Prefix().Bits() < 20 {
				continue
			}
			country, city := theirs(t, db, addr)
			got := locate(addr)
			if compared++; got.Country != country || country != "" && got.City != city {
				t.Errorf("%s: %+v, the library says %s, %s", addr, got, country, city)
			}
			if got.City != "" {
				found++
			}
		}
	}
	t.Logf("%d addresses compared, %d of them in a known city", compared, found)
	if compared < 500 || found < 40 {
		t.Error("too few to tell")
	}
	want := click.Place{Country: "GB", Region: "England", City: "London"}
	if got := locate(netip.MustParseAddr("81.2.69.142")); got != want {
		t.Errorf("%+v", got)
	}
}

func TestNoCityDatabase(t *testing.T) {
	good := cities(t)
	dir := t.TempDir()
	for _, tt := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "MaxMind's format", nil},
		{"text", "MaxMind's format", []byte("Not found")},
		{"half", "MaxMind's format", good[:len(good)/2]},
		{"without its beginning", "MaxMind's format", good[len(good)/2:]},
		{"of something else", "knows no country", write(t, mmdb.Database{Type: "Test-ASN", Built: built, Networks: map[netip.Prefix]mmdb.Record{
			netip.MustParsePrefix("1.0.0.0/24"): {"autonomous_system_number": uint32(1)},
		}})},
		{"its tree a knot", "damaged", bytes.Replace(good, good[:8], make([]byte, 8), 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, "city.mmdb")
			put(t, path, tt.data)
			_, err := enrich.OpenCities(path, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v", err)
			}
			if _, inspected := enrich.InspectCities(t.Context(), path); inspected == nil || inspected.Error() != err.Error() {
				t.Errorf("inspected: %v", inspected)
			}
		})
	}
	if _, err := enrich.OpenCities(dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := enrich.OpenCities(filepath.Join(dir, "none"), slog.New(slog.DiscardHandler)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

// tally counts what is logged.
type tally struct {
	slog.Handler
	errors atomic.Int64
}

func (*tally) Enabled(context.Context, slog.Level) bool { return true }

func (l *tally) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		l.errors.Add(1)
	}
	return nil
}

// The file is replaced again and again, by good ones and others, while
// addresses are looked up.
func TestCitiesAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log tally
		path := filepath.Join(t.TempDir(), "city.mmdb")
		addr := netip.MustParseAddr("81.2.69.142")
		in := func(city string) []byte {
			return write(t, mmdb.Database{Type: "Test-City", Built: built, Networks: map[netip.Prefix]mmdb.Record{
				netip.MustParsePrefix("81.2.69.0/24"): mmdb.City("GB", "", "", city),
			}})
		}
		put(t, path, in("London"))
		c, err := enrich.OpenCities(path, slog.New(&log))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		var stop atomic.Bool
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for !stop.Load() {
					if p := c.Locate(addr); p.Country != "GB" || p.City == "" {
						t.Errorf("%+v", p)
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		// Nothing is done at the moment when the file is looked at.
		time.Sleep(time.Second)
		step := func(name, city string, reloads, failures uint64, failing bool, lines int64) {
			t.Helper()
			before := log.errors.Load()
			time.Sleep(time.Minute)
			synctest.Wait()
			got, st := c.Locate(addr).City, c.Stats()
			if got != city || st.Reloads != reloads || st.Failures != failures || st.Failing != failing {
				t.Errorf("%s: %s, %+v", name, got, st)
			}
			if n := log.errors.Load() - before; n != lines {
				t.Errorf("%s: %d errors are logged, not %d", name, n, lines)
			}
		}
		step("as it was", "London", 0, 0, false, 0)
		put(t, path, in("Leeds"))
		step("replaced", "Leeds", 1, 0, false, 0)
		if err := os.WriteFile(path, in("York"), 0o600); err != nil {
			t.Fatal(err)
		}
		step("written over", "York", 2, 0, false, 0)
		put(t, path, in("Bath")[:100])
		step("broken", "York", 2, 1, true, 1)
		put(t, path, []byte("no database"))
		step("broken otherwise", "York", 2, 2, true, 1)
		step("still broken", "York", 2, 2, true, 0)
		put(t, path, in("Bath"))
		step("mended", "Bath", 3, 2, false, 0)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		step("gone", "Bath", 3, 3, true, 1)
		step("still gone", "Bath", 3, 3, true, 0)
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		step("back", "Bath", 3, 3, false, 0)
		stop.Store(true)
		readers.Wait()
	})
}

// A file that is being written is left alone until it stands still.
func TestCitiesBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "city.mmdb")
		put(t, path, cities(t))
		c, err := enrich.OpenCities(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		whole := write(t, mmdb.Database{Type: "Another-City", Built: built, Networks: networks()})
		for cut := 0; cut < len(whole); cut += len(whole) / 100 {
			if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if st := c.Stats(); st.Failures != 0 || st.Reloads != 0 || st.File.Type != "Test-City" {
			t.Errorf("%+v", st)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := c.Stats(); st.Failures != 0 || st.Reloads != 1 || st.File.Type != "Another-City" {
			t.Errorf("%+v", st)
		}
	})
}

// examine reads damaged bytes; if they still are a database, what is found in
// it must be fit to be kept.
func examine(t *testing.T, data []byte) (taken bool) {
	t.Helper()
	locate, _, err := enrich.Survey(data)
	if err != nil {
		return false
	}
	for network := range networks() {
		low := network.Addr()
		for _, addr := range []netip.Addr{low, low.Prev(), low.Next()} {
			if !addr.IsValid() {
				continue
			}
			p := locate(addr)
			for _, s := range []string{p.Country, p.Region, p.City} {
				if len(s) > 128 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
					t.Errorf("%s: %q", addr, s)
				}
			}
			if len(p.Country) != 2 && p != (click.Place{}) {
				t.Errorf("%s: %+v", addr, p)
			}
		}
	}
	return true
}

// No damage makes a look-up panic or give what must not be kept.
func TestDamagedCities(t *testing.T) {
	files := [][]byte{cities(t)}
	if data, err := os.ReadFile(filepath.Join(corporaDir(), "GeoIP2-City-Test.mmdb")); err == nil {
		files = append(files, data)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for _, good := range files {
		taken := 0
		for range 2000 {
			data := bytes.Clone(good)
			for range 1 + random.IntN(8) {
				data[random.IntN(len(data))] ^= 1 << random.IntN(8)
			}
			if examine(t, data) {
				taken++
			}
		}
		for cut := 0; cut < len(good); cut += 1 + len(good)/500 {
			if examine(t, good[:cut]) {
				t.Errorf("%d of %d bytes are taken for a database", cut, len(good))
			}
		}
		t.Logf("%d of 2000 damaged files of %d bytes are still databases", taken, len(good))
	}
}

func FuzzCities(f *testing.F) {
	f.Add(cities(f))
	f.Add(write(f, mmdb.Database{Type: "a", Networks: map[netip.Prefix]mmdb.Record{netip.MustParsePrefix("::/1"): mmdb.City("DE", "", "", "")}}))
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	f.Fuzz(func(t *testing.T, data []byte) { examine(t, data) })
}

func BenchmarkLocateCity(b *testing.B) {
	c, addr := openCities(b, cities(b)), netip.MustParseAddr("81.2.69.142")
	b.ReportAllocs()
	for b.Loop() {
		c.Locate(addr)
	}
}
