package enrich_test

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kurz/internal/click"
	"kurz/internal/enrich"
)

// agentLists gives the folder of public lists of user agents, which test/agents
// fetches. They are no part of the repository, and none of the tables were
// built from them.
func agentLists() string {
	if dir := os.Getenv("KURZ_AGENTS"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "kurz-test", "agents")
}

// list gives the path of a list, "" if it is not there.
func list(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(agentLists(), pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		return ""
	}
	return slices.Max(found)
}

// needList skips the test where no list is there.
func needList(t *testing.T, there bool) {
	t.Helper()
	if there {
		return
	}
	text := "no list of user agents in " + agentLists() + ": run test/agents"
	if os.Getenv("REQUIRE_BACKENDS") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// told is an agent, and what others say of it; weight is its share of traffic.
type told struct {
	agent, browser, os, device string
	weight                     float64
}

// userAgents reads the list of the npm package user-agents.
func userAgents(t *testing.T, file string) []told {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewReader(unzipped)
	for {
		header, err := files.Next()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if path.Base(header.Name) == "user-agents.json" {
			break
		}
	}
	var rows []struct {
		UserAgent      string  `json:"userAgent"`
		DeviceCategory string  `json:"deviceCategory"`
		Weight         float64 `json:"weight"`
	}
	if err := json.NewDecoder(files).Decode(&rows); err != nil {
		t.Fatal(err)
	}
	var all []told
	for _, r := range rows {
		all = append(all, told{agent: r.UserAgent, device: r.DeviceCategory, weight: r.Weight})
	}
	return all
}

// fakeUserAgents reads the list of the Python package fake-useragent.
func fakeUserAgents(t *testing.T, file string) []told {
	t.Helper()
	var all []told
	archive, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	f, err := archive.Open("fake_useragent/data/browsers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for rows := json.NewDecoder(f); ; {
		var r struct {
			UserAgent string  `json:"useragent"`
			Browser   string  `json:"browser"`
			OS        string  `json:"os"`
			Type      string  `json:"type"`
			Percent   float64 `json:"percent"`
		}
		if err := rows.Decode(&r); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, told{r.UserAgent, r.Browser, r.OS, r.Type, r.Percent / 100})
	}
}

// deviceDetector reads the browsers among the fixtures of the Python package
// device_detector: a list of YAML maps, of a form that lines can be read of.
func deviceDetector(t *testing.T, file string) []told {
	t.Helper()
	archive, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var all []told
	for _, member := range archive.File {
		if !strings.Contains(member.Name, "/fixtures/upstream/") || !strings.HasSuffix(member.Name, ".yml") {
			continue
		}
		f, err := member.Open()
		if err != nil {
			t.Fatal(err)
		}
		at, section := map[string]string{}, ""
		take := func() {
			if at["client.type"] == "browser" && strings.HasPrefix(at["user_agent"], "Mozilla/") {
				all = append(all, told{agent: at["user_agent"], browser: at["client.name"], os: at["os.name"], device: at["device.type"]})
			}
			clear(at)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			line := lines.Text()
			if line == "-" {
				take()
			}
			key, value, found := strings.Cut(strings.TrimSpace(line), ":")
			switch value = unquoted(strings.TrimSpace(value)); {
			case !found:
			case strings.HasPrefix(line, "    "):
				at[section+"."+key] = value
			default:
				section, at[key] = key, value
			}
		}
		take()
		f.Close()
	}
	return all
}

// unquoted undoes YAML's quotes.
func unquoted(s string) string {
	if strings.HasPrefix(s, "'") {
		return strings.ReplaceAll(strings.Trim(s, "'"), "''", "'")
	}
	if u, err := strconv.Unquote(s); err == nil && strings.HasPrefix(s, `"`) {
		return u
	}
	return s
}

// TestPeople shows that browsers of people are not taken for programs.
func TestPeople(t *testing.T) {
	lists := map[string][]told{}
	if file := list(t, "user-agents-*.tgz"); file != "" {
		lists[filepath.Base(file)] = userAgents(t, file)
	}
	if file := list(t, "fake_useragent-*.whl"); file != "" {
		lists[filepath.Base(file)] = fakeUserAgents(t, file)
	}
	needList(t, len(lists) > 0)
	e := enrich.New()
	for name, all := range lists {
		agents, missed := map[string]bool{}, 0
		weight, missedWeight := 0.0, 0.0
		for _, a := range all {
			person := e.Enrich(click.Headers{UserAgent: a.agent}).Kind == click.Human
			weight += a.weight
			if !person {
				missedWeight += a.weight
			}
			if !agents[a.agent] && !person {
				missed++
				t.Logf("%s: taken for a program: %s", name, a.agent)
			}
			agents[a.agent] = true
		}
		share := float64(missed) / float64(len(agents))
		t.Logf("%s: %d of %d agents, %.3f %%, and %.4f %% of the visits are taken for programs", name, missed, len(agents), 100*share, 100*missedWeight/weight)
		if share > 0.001 || missedWeight/weight > 0.001 || len(agents) < 500 {
			t.Errorf("%s: more than 0.1 %%, or too few to tell", name)
		}
	}
}

// theirNames are names that others give to what has another here; the same
// names need no line.
var theirNames = map[string]string{
	"Chrome Mobile": "Chrome", "Chrome Mobile iOS": "Chrome", "Mobile Safari": "Safari", "Google": "Google App",
	"Microsoft Edge": "Edge", "Edge Mobile": "Edge", "Firefox Mobile": "Firefox", "Firefox iOS": "Firefox", "Twitter": "X", "Opera Mobile": "Opera",
	"DuckDuckGo Mobile": "DuckDuckGo", "Amazon Silk": "Silk", "Mobile Safari UI/WKWebView": "iOS WebView", "Apple Mail": "",
	"Chrome Webview": "Android WebView", "Samsung Browser": "Samsung Internet", "Samsung Browser Lite": "Samsung Internet",
	"Opera Devices": "Opera", "Opera GX": "Opera", "Opera Touch": "Opera", "Yandex Browser Lite": "Yandex Browser", "Mobile Silk": "Silk",
	"Huawei Browser Mobile": "Huawei Browser", "IE Mobile": "Internet Explorer", "UC Browser Turbo": "UC Browser", "UC Browser Mini": "UC Browser",
	"vivo Browser": "Vivo Browser", "HeyTapBrowser": "HeyTap Browser", "Puffin Web Browser": "Puffin", "Aloha Browser": "Aloha",
	"DuckDuckGo Privacy Browser": "DuckDuckGo", "Oculus Browser": "Meta Quest Browser", "BlackBerry Browser": "BlackBerry", "Nintendo Browser": "Nintendo",

	"Mac OS X": "macOS", "Mac": "macOS", "Ubuntu": "Linux", "GNU/Linux": "Linux", "Chrome OS": "ChromeOS", "Fire OS": "Android", "Android TV": "Android",
	"BlackBerry OS": "BlackBerry",

	"smartphone": "mobile", "phablet": "mobile", "feature phone": "mobile", "": "",
}

func ours(name string) string {
	if name, ok := theirNames[name]; ok {
		return name
	}
	return name
}

// TestNames compares browsers, systems and devices with what others say of the
// same agents, in so far as both have a name for it.
func TestNames(t *testing.T) {
	lists := map[string][]told{}
	if file := list(t, "fake_useragent-*.whl"); file != "" {
		lists[filepath.Base(file)] = fakeUserAgents(t, file)
	}
	if file := list(t, "device_detector-*.whl"); file != "" {
		lists[filepath.Base(file)] = deviceDetector(t, file)
	}
	needList(t, len(lists) == 2)
	e := enrich.New()
	for name, all := range lists {
		people := 0
		seen := map[string]bool{}
		var browsers, systems, devices agreement
		for _, a := range all {
			if seen[a.agent] {
				continue
			}
			seen[a.agent] = true
			got := e.Enrich(click.Headers{UserAgent: a.agent})
			if got.Kind != click.Human {
				continue
			}
			people++
			browsers.compare(a.browser, got.Browser)
			systems.compare(a.os, got.OS)
			devices.compare(a.device, got.Device)
		}
		t.Logf("%s: %d of %d are people's, %.2f %%; of those the same browser in %s, system in %s, device in %s", name,
			people, len(seen), 100*float64(people)/float64(len(seen)), &browsers, &systems, &devices)
		for what, a := range map[string]*agreement{"browser": &browsers, "system": &systems, "device": &devices} {
			t.Logf("%s: %s: %s", name, what, a.worst())
		}
		if float64(people) < 0.99*float64(len(seen)) || browsers.share() < 0.9 || systems.share() < 0.98 || devices.share() < 0.85 {
			t.Errorf("%s: too few are the same", name)
		}
	}
}

// agreement counts what is named the same.
type agreement struct {
	same, all int
	others    map[string]int
}

func (a *agreement) compare(theirs, got string) {
	a.all++
	if ours(theirs) == got {
		a.same++
		return
	}
	if a.others == nil {
		a.others = map[string]int{}
	}
	a.others[cmp.Or(theirs, "none")+" → "+cmp.Or(got, "none")]++
}

func (a *agreement) share() float64 { return float64(a.same) / float64(a.all) }

func (a *agreement) String() string {
	return fmt.Sprintf("%.2f %% of %d", 100*a.share(), a.all)
}

// worst names what differs most often.
func (a *agreement) worst() string {
	names := slices.SortedFunc(maps.Keys(a.others), func(x, y string) int { return cmp.Compare(a.others[y], a.others[x]) })
	var b strings.Builder
	for _, n := range names[:min(12, len(names))] {
		fmt.Fprintf(&b, "%d %s; ", a.others[n], n)
	}
	return b.String()
}
