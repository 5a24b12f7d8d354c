package e2e_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kurz/test/mmdb"
	"kurz/test/program"
)

// TestCity shows where clicks come from with a city database, which is replaced
// by others, a broken one among them, while links are clicked: each click is
// counted once, in the city of the file in force, and its address is nowhere.
func TestCity(t *testing.T) {
	t.Parallel()
	const (
		visitor = "81.2.69.142"
		agent   = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	)
	file := filepath.Join(t.TempDir(), "city.mmdb")
	put := func(city string) {
		t.Helper()
		data := []byte("this is no database")
		var err error
		if city != "" {
			data, err = mmdb.Write(mmdb.Database{Type: "Test-City", Built: time.Now(), Networks: map[netip.Prefix]mmdb.Record{
				netip.MustParsePrefix("81.2.69.0/24"): mmdb.City("GB", "England", "ENG", city),
			}})
		}
		if err == nil {
			err = os.WriteFile(file+".new", data, 0o644)
		}
		if err == nil {
			err = os.Rename(file+".new", file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("London")
	s := start(t, append(unlimited(), "KURZ_GEOIP="+file, "KURZ_TRUSTED_PROXIES=127.0.0.0/8")...)
	key := s.key(t, "ann@example.org")
	code := s.create(t, key, "https://go.dev/")
	click := ask{method: "GET", path: "/" + code, header: map[string]string{"X-Forwarded-For": visitor, "User-Agent": agent}}
	s.must(t, 302, click)
	stats := func(query string) reply {
		return s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/stats" + query, key: key})
	}
	eventually(t, 10*time.Second, func() string {
		if r := stats("?country=GB&region=England"); r.text("total_clicks") != "1" || r.text("top_cities.0.value") != "London" {
			return string(r.body)
		}
		return ""
	})
	row := s.must(t, 200, ask{method: "GET", path: "/api/v1/urls/" + code + "/clicks", key: key})
	match(t, "the click", "GB, England, London", strings.Join([]string{row.text("items.0.country"), row.text("items.0.region"), row.text("items.0.city")}, ", "))
	match(t, "readiness", `(?s).*city database: ok, Test-City of 20.*`, string(s.must(t, 200, ask{method: "GET", path: "/health/ready"}).body))

	var clicks atomic.Int64
	clicks.Store(1)
	var stop atomic.Bool
	var visitors sync.WaitGroup
	for range 4 {
		visitors.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for !stop.Load() {
				<-pace.C
				r, err := s.do(t.Context(), click)
				if err != nil || r.status != 302 {
					t.Errorf("%d, %v", r.status, err)
					return
				}
				clicks.Add(1)
			}
		})
	}
	measured := func(name, want string) {
		t.Helper()
		pattern := regexp.MustCompile(`(?m)^` + name + ` (.*)$`)
		eventually(t, 30*time.Second, func() string {
			found := pattern.FindSubmatch(s.must(t, 200, ask{method: "GET", path: "/metrics"}).body)
			if found == nil || string(found[1]) != want {
				return fmt.Sprintf("%s is %q, not %s", name, found, want)
			}
			return ""
		})
	}
	put("Leeds")
	measured("kurz_geoip_reloads_total", "1")
	put("")
	measured("kurz_geoip_failures_total", "1")
	measured("kurz_geoip_failing", "1")
	put("York")
	measured("kurz_geoip_reloads_total", "2")
	measured("kurz_geoip_failing", "0")
	s.must(t, 302, click)
	clicks.Add(1)
	stop.Store(true)
	visitors.Wait()

	total := fmt.Sprint(clicks.Load())
	var report reply
	eventually(t, 10*time.Second, func() string {
		if report = stats("?region=England"); report.text("total_clicks") != total {
			return total + " clicks were answered: " + string(report.body)
		}
		return ""
	})
	cities := map[string]bool{}
	for i := range 3 {
		cities[report.text(fmt.Sprintf("top_cities.%d.value", i))] = true
	}
	if !cities["London"] || !cities["Leeds"] || !cities["York"] || report.field("top_cities.3") != nil {
		t.Errorf("cities: %s", report.body)
	}
	t.Logf("%s clicks, all of them counted: %v", total, report.field("top_cities"))
	if n := strings.Count(s.Log(), "city database can't be used"); n != 1 {
		t.Errorf("the broken file is logged %d times", n)
	}
	s.findNone(t, []string{visitor}, "")
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	s.findNone(t, []string{visitor}, "")
}

// TestNoCity shows that a start with a broken city database fails and names the
// setting.
func TestNoCity(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "city.mmdb")
	if err := os.WriteFile(file, []byte("half of a dat"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := program.Start(t.Context(), program.Options{Binary: binary, Data: t.TempDir(), Env: []string{"KURZ_GEOIP=" + file}})
	if err == nil {
		s.Kill()
		t.Fatal("it runs")
	}
	if !strings.Contains(err.Error(), "KURZ_GEOIP: "+file) {
		t.Errorf("the error does not name the setting and the file: %v", err)
	}
}
