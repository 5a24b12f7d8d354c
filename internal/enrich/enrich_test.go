package enrich_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kurz/internal/click"
	"kurz/internal/enrich"
)

func TestAgents(t *testing.T) {
	const (
		webkit  = " AppleWebKit/537.36 (KHTML, like Gecko) "
		safari  = " AppleWebKit/605.1.15 (KHTML, like Gecko) "
		windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
		mac     = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
		linux   = "Mozilla/5.0 (X11; Linux x86_64)"
		android = "Mozilla/5.0 (Linux; Android 15; Pixel 9)"
		iphone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X)"
		ipad    = "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X)"
		chrome  = "Chrome/142.0.0.0 Safari/537.36"
		phone   = "Chrome/142.0.0.0 Mobile Safari/537.36"
	)
	for _, row := range [][4]string{
		{windows + webkit + chrome, "Chrome", "Windows", "desktop"},
		{mac + webkit + chrome, "Chrome", "macOS", "desktop"},
		{linux + webkit + chrome, "Chrome", "Linux", "desktop"},
		{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)" + webkit + chrome, "Chrome", "ChromeOS", "desktop"},
		{android + webkit + phone, "Chrome", "Android", "mobile"},
		{"Mozilla/5.0 (Linux; Android 15; Pixel Tablet)" + webkit + chrome, "Chrome", "Android", "tablet"},
		{"Mozilla/5.0 (Linux; Android 13; SM-X906B)" + webkit + chrome, "Chrome", "Android", "tablet"},
		{"Mozilla/5.0 (Linux; Android 13; CUBOT X30)" + webkit + phone, "Chrome", "Android", "mobile"},
		{iphone + safari + "CriOS/142.0.0.0 Mobile/15E148 Safari/604.1", "Chrome", "iOS", "mobile"},
		{iphone + safari + "Version/18.1 Mobile/15E148 Safari/604.1", "Safari", "iOS", "mobile"},
		{ipad + safari + "Version/18.1 Mobile/15E148 Safari/604.1", "Safari", "iOS", "tablet"},
		{mac + safari + "Version/18.1 Safari/605.1.15", "Safari", "macOS", "desktop"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0", "Firefox", "Windows", "desktop"},
		{"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0", "Firefox", "Linux", "desktop"},
		{"Mozilla/5.0 (X11; FreeBSD amd64; rv:144.0) Gecko/20100101 Firefox/144.0", "Firefox", "FreeBSD", "desktop"},
		{"Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0", "Firefox", "Android", "mobile"},
		{"Mozilla/5.0 (Android 15; Tablet; rv:144.0) Gecko/144.0 Firefox/144.0", "Firefox", "Android", "tablet"},
		{iphone + safari + "FxiOS/144.0 Mobile/15E148 Safari/605.1.15", "Firefox", "iOS", "mobile"},
		{iphone + safari + "FxiOS/144.0 Focus/144 Mobile/15E148 Safari/605.1.15", "Firefox Focus", "iOS", "mobile"},
		{windows + webkit + chrome + " Edg/142.0.0.0", "Edge", "Windows", "desktop"},
		{windows + webkit + "Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763", "Edge", "Windows", "desktop"},
		{android + webkit + phone + " EdgA/142.0.0.0", "Edge", "Android", "mobile"},
		{iphone + safari + "Version/18.0 EdgiOS/142.0 Mobile/15E148 Safari/605.1.15", "Edge", "iOS", "mobile"},
		{windows + webkit + chrome + " OPR/124.0.0.0", "Opera", "Windows", "desktop"},
		{"Opera/9.80 (Windows NT 6.1; U; en) Presto/2.10.289 Version/12.02", "Opera", "Windows", "desktop"},
		{"Opera/9.80 (J2ME/MIDP; Opera Mini/9.80 (S60; SymbOS; Opera Mobi/23.348; U; en) Presto/2.5.25 Version/10.54", "Opera Mini", "Symbian", "mobile"},
		{"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B)" + webkit + "SamsungBrowser/27.0 " + phone, "Samsung Internet", "Android", "mobile"},
		{windows + webkit + chrome + " Vivaldi/7.6", "Vivaldi", "Windows", "desktop"},
		{windows + webkit + "Chrome/140.0.0.0 YaBrowser/25.10.0 Safari/537.36", "Yandex Browser", "Windows", "desktop"},
		{android + webkit + "Version/4.0 " + phone + " DuckDuckGo/5", "DuckDuckGo", "Android", "mobile"},
		{android + webkit + "Version/4.0 UCBrowser/13.4 U3/0.8 " + phone, "UC Browser", "Android", "mobile"},
		{"Mozilla/5.0 (Linux; U; Android 13; en; 2201117TY Build/TKQ1)" + webkit + "Version/4.0 " + phone + " XiaoMi/MiuiBrowser/14.5", "Mi Browser", "Android", "mobile"},
		{"Mozilla/5.0 (Linux; Android 10; LYA-L29; HMSCore 6.1)" + webkit + "Chrome/92.0 HuaweiBrowser/12.0 Mobile Safari/537.36", "Huawei Browser", "Android", "mobile"},
		{"Mozilla/5.0 (Phone; OpenHarmony 5.0)" + webkit + "Chrome/132.0.0.0 Safari/537.36 ArkWeb/4.1 Mobile", "Chrome", "HarmonyOS", "mobile"},
		{"Mozilla/5.0 (Linux; Android 9; KFMAWI)" + webkit + "Silk/130.4 like Chrome/130.0 Safari/537.36", "Silk", "Android", "tablet"},
		{iphone + safari + "Mobile/15E148 MicroMessenger/8.0.50 NetType/WIFI Language/zh_CN", "WeChat", "iOS", "mobile"},
		{iphone + safari + "Mobile/22B83 [FBAN/FBIOS;FBAV/480.0;FBBV/1;FBDV/iPhone14,2;FBMD/iPhone;FBSN/iOS;FBSV/18.1]", "Facebook", "iOS", "mobile"},
		{"Mozilla/5.0 (Linux; Android 14; SM-A546B Build/UP1A; wv)" + webkit + "Version/4.0 " + phone + " [FB_IAB/FB4A;FBAV/480.0;]", "Facebook", "Android", "mobile"},
		{iphone + safari + "Mobile/22B83 Instagram 350.0 (iPhone14,2; iOS 18_1; de_DE)", "Instagram", "iOS", "mobile"},
		{iphone + safari + "Mobile/22B83 musical_ly_37.0 JsSdk/2.0 NetType/WIFI BytedanceWebview/d8a21c6", "TikTok", "iOS", "mobile"},
		{iphone + safari + "Mobile/22B83 Snapchat/13.1 (like Safari/8619)", "Snapchat", "iOS", "mobile"},
		{iphone + safari + "Mobile/22B83 [LinkedInApp]/9.30", "LinkedIn", "iOS", "mobile"},
		{iphone + safari + "Mobile/22B83 Twitter for iPhone/10.60", "X", "iOS", "mobile"},
		{iphone + safari + "Mobile/22B83 [Pinterest/iOS]", "Pinterest", "iOS", "mobile"},
		{iphone + safari + "Mobile/22B83 Safari Line/14.19", "LINE", "iOS", "mobile"},
		{iphone + safari + "GSA/340.0 Mobile/15E148 Safari/604.1", "Google App", "iOS", "mobile"},
		{iphone + safari + "Mobile/22B83", "iOS WebView", "iOS", "mobile"},
		{"Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP2A; wv)" + webkit + "Version/4.0 " + phone, "Android WebView", "Android", "mobile"},
		{"Mozilla/5.0 (Linux; U; Android 2.3; en-us) AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Mobile Safari/533.1", "Android Browser", "Android", "mobile"},
		{"Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)", "Internet Explorer", "Windows", "desktop"},
		{"Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer", "Windows", "desktop"},
		{"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0)", "Internet Explorer", "Windows", "desktop"},
		{"Mozilla/5.0 (compatible; Konqueror/4.5; Linux) KHTML/4.5.4 (like Gecko)", "Konqueror", "Linux", "desktop"},
		{"Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950)" + webkit + "Chrome/52 Mobile Safari/537.36 Edge/15.15254", "Edge", "Windows Phone", "mobile"},
		{"Mozilla/5.0 (BB10; Touch)" + webkit + "Version/10.3 Mobile Safari/537.10+", "BlackBerry", "BlackBerry", "mobile"},
		{"Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5", "Firefox", "KaiOS", "mobile"},
		{"Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0)" + webkit + "Version/7.0 TV Safari/537.36", "", "Tizen", "tv"},
		{"Mozilla/5.0 (Web0S; Linux/SmartTV)" + webkit + chrome, "Chrome", "webOS", "tv"},
		{"Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7)" + webkit + "Silk/99.1 like Chrome/99.0 Safari/537.36", "Silk", "Android", "tv"},
		{"Mozilla/5.0 (Linux; Andr0id 9; BRAVIA 4K)" + webkit + chrome, "Chrome", "Android", "tv"},
		{"Mozilla/5.0 (X11; Linux armv7l)" + webkit + chrome + " CrKey/1.56", "Chrome", "Linux", "tv"},
		{"Mozilla/5.0 (PlayStation; PlayStation 5/8.00) AppleWebKit/605.1.15 (KHTML, like Gecko)", "PlayStation", "PlayStation", "console"},
		{windows[:len(windows)-1] + "; Xbox; Xbox One)" + webkit + chrome + " Edge/44.18363", "Edge", "Xbox", "console"},
		{"Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0", "Nintendo", "Nintendo", "console"},
		{"Mozilla/5.0 (Linux; Android 7.0; M bot 60 Build/NRD90M)" + webkit + phone, "Chrome", "Android", "mobile"},
		{"Mozilla/5.0 (Linux; Android 9; PHANTOM_Z)" + webkit + chrome, "Chrome", "Android", "tablet"},
		{"Mozilla/5.0 (Linux; Android 10; K)" + webkit + phone + " (Ecosia android@150.0.0.0)", "Ecosia", "Android", "mobile"},
		{"Mozilla/5.0 (Linux; Android 10; HiPad X)" + webkit + chrome, "Chrome", "Android", "tablet"},
		{"Mozilla/5.0 (Linux; U; Android 14; zh-CN; 24115RA8EC Build/UKQ1)" + webkit + "Version/4.0 Chrome/100.0.4896.58 Quark/7.3.7.662 Mobile Safari/537.36", "Quark", "Android", "mobile"},
		{"Mozilla/5.0 (X11; Linux x86_64; Quest 3)" + webkit + "OculusBrowser/40.0 SamsungBrowser/4.0 " + chrome + " VR", "Meta Quest Browser", "Linux", "desktop"},
		{"UCWEB/2.0 (MIDP-2.0; U; Adr 9; ru; Redmi_Note_8) U2/1.0.0 UCBrowser/11.1.2.1113 U2/1.0.0 Mobile", "UC Browser", "Android", "mobile"},
		{linux + webkit + "Chrome/88.0.4324.182 Odin/88.4324.2.10 Safari/537.36 Model/Hisense-MT9602 VIDAA/6.0(Hisense;SmartTV)", "Chrome", "VIDAA", "tv"},
		{"Mozilla/5.0 (Web0S; Linux/SmartTV)" + webkit + "Chr0me/79.0.3945.79 Safari/537.36 LG Browser/8.00.00(LGE; 27ART10AKPL)", "LG Browser", "webOS", "tv"},
		{"Links (2.29; Linux x86_64; GNU C; text)", "Links", "Linux", "desktop"},
		{"Lynx/2.9.0 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/3.0", "Lynx", "", ""},
		{"w3m/0.5.3", "w3m", "", ""},
		{linux + " Something/1.0", "", "Linux", "desktop"},
	} {
		got := enrich.New().Enrich(click.Headers{UserAgent: row[0]})
		if got.Kind != click.Human {
			t.Errorf("%s: a person is taken for a %v", row[0], got.Kind)
		}
		if d := cmp.Diff(row[1:], []string{got.Browser, got.OS, got.Device}); d != "" {
			t.Errorf("%s: %s", row[0], d)
		}
	}
}

func TestReferrer(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, row := range [][3]string{
		{"", "", ""},
		{"https://www.Example.com/a/B?token=1#top", "https://www.example.com/a/B", "example.com"},
		{"HTTP://example.com", "http://example.com", "example.com"},
		{"http://example.com/", "http://example.com", "example.com"},
		{"http://user:pass@example.com:8080/x", "http://example.com/x", "example.com"},
		{"https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example", "xn--mnchen-3ya.example"},
		{"https://example.com./x", "https://example.com/x", "example.com"},
		{"https://München.example/", "https://xn--mnchen-3ya.example", "xn--mnchen-3ya.example"},
		{"https://a\u0301\u200d.example:1/", "https://xn--1ca.example", "xn--1ca.example"},
		{"https://xn--\u00fc/", "", ""},
		{"https://m.facebook.com/x", "https://m.facebook.com/x", "facebook.com"},
		{"https://www.m.example.com/", "https://www.m.example.com", "example.com"},
		{"https://mobile.example.com:8443/", "https://mobile.example.com", "example.com"},
		{"https://l.facebook.com/", "https://l.facebook.com", "facebook.com"},
		{"https://l.example.com/", "https://l.example.com", "l.example.com"},
		{"https://www.de/", "https://www.de", "www.de"},
		{"https://m.com/", "https://m.com", "m.com"},
		{"https://WWW.Example.COM:443", "https://www.example.com", "example.com"},
		{"http://localhost:8080/", "http://localhost", "localhost"},
		{"http://direct/x", "http://direct/x", "unknown"},
		{"http://Direct:80/x", "http://direct/x", "unknown"},
		{"http://direct.example/x", "http://direct.example/x", "direct.example"},
		{"http://192.0.2.1:80/x", "http://192.0.2.1/x", "192.0.2.1"},
		{"https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]/x", "[2001:db8::1]"},
		{"https://[::1", "", ""},
		{"https://[]/", "", ""},
		{"https://[x]/", "", ""},
		{"android-app://com.google.android.gm/", "android-app://com.google.android.gm", "com.google.android.gm"},
		{"android-app://com.google.android.googlequicksearchbox/https/www.google.com", "android-app://com.google.android.googlequicksearchbox/https/www.google.com", "com.google.android.googlequicksearchbox"},
		{"ANDROID-APP://org.telegram.messenger", "android-app://org.telegram.messenger", "org.telegram.messenger"},
		{"https://example.com?x", "https://example.com", "example.com"},
		{"javascript:alert(1)", "", ""},
		{"data:text/html,x", "", ""},
		{"about:blank", "", ""},
		{"ftp://example.com/", "", ""},
		{"example.com/path", "", ""},
		{"https://", "", ""},
		{"https:///x", "", ""},
		{"https://a b/", "", ""},
		{"https://<script>/", "", ""},
		{"https://./", "", ""},
		{"https://example.com/\x00\r\nSet-Cookie: a\u202e", "https://example.com/Set-Cookie: a", "example.com"},
		{"https://example.com/\xff\xfe", "https://example.com", "example.com"},
		{"https://" + long + "/", "", ""},
		{"https://example.com/" + long, ("https://example.com/" + long)[:512], "example.com"},
		{"https://example.com/" + strings.Repeat("ü", 400), "https://example.com/" + strings.Repeat("ü", 246), "example.com"},
	} {
		got := enrich.New().Enrich(click.Headers{Referer: row[0]})
		if d := cmp.Diff(row[1:], []string{got.Referrer, got.ReferrerHost}); d != "" {
			t.Errorf("%.100q: %s", row[0], d)
		}
	}
}

func TestLanguage(t *testing.T) {
	for _, row := range [][2]string{
		{"", ""},
		{"de", "de"},
		{"DE-ch", "de"},
		{"de-CH,de;q=0.9,en;q=0.8", "de"},
		{"en;q=0.5, fr ;q=0.9,de; q=0.7", "fr"},
		{"*", ""},
		{"*;q=1, en;q=0.1", "en"},
		{"en;q=0.999,de;q=1.0", "de"},
		{"gsw-CH", "gsw"},
		{"zh_TW", "zh"},
		{"english", ""},
		{"e", ""},
		{"12,en", "en"},
		{"en;q=x", "en"},
		{",,;;q=,", ""},
		{strings.Repeat("x,", 5000) + "en", ""},
	} {
		if got := enrich.New().Enrich(click.Headers{AcceptLanguage: row[0]}).Language; got != row[1] {
			t.Errorf("%.50q: %q, want %q", row[0], got, row[1])
		}
	}
}

func TestCampaign(t *testing.T) {
	type utm = click.Details
	tests := []struct {
		name, query, target string
		want                click.Details
		trigger             click.Trigger
	}{
		{"none", "", "", utm{}, click.ByLink},
		{
			"all", "utm_source=a&utm_medium=b&utm_campaign=c&utm_term=d&utm_content=e", "utm_source=z",
			utm{UTMSource: "a", UTMMedium: "b", UTMCampaign: "c", UTMTerm: "d", UTMContent: "e"},
			click.ByLink,
		},
		{"of the destination", "x=1&utm_id=2&utm_source=", "utm_source=z&qr=1", utm{UTMSource: "z"}, click.ByLink},
		{"never of both", "utm_medium=a", "utm_source=z", utm{UTMMedium: "a"}, click.ByLink},
		{"QR code", "qr=1&utm_source=poster", "", utm{UTMSource: "poster"}, click.ByQR},
		{"no QR code", "qr=2&aqr=1&QR=1", "", utm{}, click.ByLink},
		{"the first counts", "utm_source=a&utm_source=b", "", utm{UTMSource: "a"}, click.ByLink},
		{"escapes", "utm_source=a+b%20c%C3%BC&utm_term=%&utm_content=%zz%4", "", utm{UTMSource: "a b cü", UTMTerm: "%", UTMContent: "%zz%4"}, click.ByLink},
		{"hostile", "utm_source=%00%0d%0a%ff<b>%e2%80%ae&utm_term=%20%09", "", utm{UTMSource: "<b>"}, click.ByLink},
		{"no names", "utm_source=unknown&utm_medium=(other)&utm_campaign=%28other%29", "utm_source=z&utm_medium=(OTHER)", utm{UTMSource: "z", UTMMedium: "(OTHER)"}, click.ByLink},
		{"long", "utm_source=" + strings.Repeat("x", 900), "", utm{UTMSource: strings.Repeat("x", 200)}, click.ByLink},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := enrich.New().Enrich(click.Headers{Query: tt.query, TargetQuery: tt.target, UserAgent: "-"})
			got.Device = ""
			if d := cmp.Diff(click.Enrichment{Kind: click.Bot, Trigger: tt.trigger, Details: tt.want}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAgentsAreForgotten(t *testing.T) {
	e := enrich.New()
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 5000 {
				h := click.Headers{UserAgent: fmt.Sprintf("Mozilla/5.0 (X11; Linux) Firefox/%d", (i*(w+1))%12_000)}
				if got := e.Enrich(h); got.Browser != "Firefox" || got.OS != "Linux" {
					t.Errorf("%+v", got)
				}
			}
		})
	}
	group.Wait()
	if n := enrich.Remembered(e); n > 2*4096 {
		t.Errorf("%d agents are remembered", n)
	}
	long := strings.Repeat("bot", 10_000)
	if e.Enrich(click.Headers{UserAgent: long}).Kind != click.Bot {
		t.Error("a long agent")
	}
}

func TestLocator(t *testing.T) {
	l := enrich.NewLocator()
	for _, row := range [][2]string{
		{"8.8.8.8", "US"},
		{"::ffff:8.8.8.8", "US"},
		{"2001:4860:4860::8888", "US"},
		{"193.99.144.80", "DE"},
		{"10.1.2.3", ""},
		{"::ffff:192.168.1.1", ""},
		{"127.0.0.1", ""},
		{"::1", ""},
		{"fe80::1%eth0", ""},
		{"fd00::1", ""},
		{"169.254.1.1", ""},
		{"224.0.0.1", ""},
		{"0.0.0.0", ""},
		{"100.64.0.1", ""},
		{"192.0.2.1", ""},
		{"255.255.255.255", ""},
	} {
		if got := l.Locate(netip.MustParseAddr(row[0])); got != (click.Place{Country: row[1]}) {
			t.Errorf("%s: %+v, want %q", row[0], got, row[1])
		}
	}
	if got := l.Locate(netip.Addr{}); got != (click.Place{}) {
		t.Errorf("no address: %+v", got)
	}
	for _, text := range []string{"8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "10.0.0.1"} {
		addr := netip.MustParseAddr(text)
		if n := testing.AllocsPerRun(1000, func() { l.Locate(addr) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// The quick way to read a referrer reads it as the other does.
func FuzzReferrer(f *testing.F) {
	for _, seed := range []string{
		"https://www.example.com/a/B?c#d", "http://example.com", "https://example.com/", "https://example.com//", "https://example.com?x",
		"https://a:80/", "https://a@b/", "https://.a/", "https://a./", "https://A/", "https://a/ b", "https://a/b ", "https://a/b?c d\x00",
		"https://m.a.b/", "https://l.facebook.com/x", "https://a/\x7f", "https://a/" + strings.Repeat("b", 600), "https://-_/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		address, host := enrich.Referrer(raw)
		if a, h := enrich.AnyReferrer(raw); a != address || h != host {
			t.Errorf("%q: %q, %q is quickly %q, %q", raw, a, h, address, host)
		}
	})
}

// A finder finds what looking for each mark finds.
func FuzzFinder(f *testing.F) {
	f.Add("bot,crawl,spider", "Mozilla/5.0 spider bot")
	f.Add("aab,aa,ab,b ", "aaab")
	f.Add("\xff\xff,", "\xff\xff\xff")
	f.Fuzz(func(t *testing.T, list, text string) {
		var marks []string
		for m := range strings.SplitSeq(list, ",") {
			if len(m) >= 2 && len(marks) < 1000 {
				marks = append(marks, m)
			}
		}
		want := slices.IndexFunc(marks, func(m string) bool { return strings.Contains(text, m) })
		if got, found := enrich.First(marks, text); got != want || found != (want >= 0) {
			t.Errorf("%q in %q: %d, %v, want %d", marks, text, got, found, want)
		}
	})
}

func FuzzEnrich(f *testing.F) {
	f.Add("Mozilla/5.0", "https://a.example/b?c#d", "de,en;q=0.5", "prefetch", "utm_source=a%20b&qr=1", "utm_term=%ff")
	f.Add("", "android-app://x", "*", "", "&&==&utm_", "utm_source")
	f.Add("\xff", "https://[::1]:80/\xe2\x80", ";q=", "\x00", "utm_source=%e2%80", "%")
	e := enrich.New()
	f.Fuzz(func(t *testing.T, agent, referer, language, purpose, query, target string) {
		got := e.Enrich(click.Headers{
			UserAgent: agent, Referer: referer, AcceptLanguage: language, Purpose: purpose, Query: query, TargetQuery: target,
		})
		if got.Kind < click.Human || got.Kind > click.Head || got.Trigger < click.ByLink || got.Trigger > click.ByQR {
			t.Errorf("%+v", got)
		}
		for _, s := range []string{
			got.Referrer, got.ReferrerHost, got.Browser, got.OS, got.Device, got.Language,
			got.UTMSource, got.UTMMedium, got.UTMCampaign, got.UTMTerm, got.UTMContent,
		} {
			if len(s) > 512 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("%q", s)
			}
		}
		if strings.ContainsAny(got.Referrer, "?#") {
			t.Errorf("referrer %q", got.Referrer)
		}
	})
}

// typical is what a visitor's browser sends.
var typical = click.Headers{
	UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	Referer:   "https://www.news.example/a/b", AcceptLanguage: "de-CH,de;q=0.9,en;q=0.8", Query: "utm_source=mail&qr=1",
}

// Every click goes through Enrich on its way into the reports.
func TestEnrichDoesNotAllocate(t *testing.T) {
	e := enrich.New()
	if n := testing.AllocsPerRun(1000, func() { e.Enrich(typical) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEnrich(b *testing.B) {
	e := enrich.New()
	b.ReportAllocs()
	for b.Loop() {
		e.Enrich(typical)
	}
}

// The parts of it: an agent seen before, and one seen for the first time.
func BenchmarkAgentRemembered(b *testing.B) {
	e := enrich.New()
	b.ReportAllocs()
	for b.Loop() {
		e.Enrich(click.Headers{UserAgent: typical.UserAgent})
	}
}

func BenchmarkAgentParsed(b *testing.B) {
	agents := []string{
		typical.UserAgent,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		enrich.ParseAgent(agents[i%len(agents)])
	}
}

func BenchmarkLocate(b *testing.B) {
	l, addr := enrich.NewLocator(), netip.MustParseAddr("193.99.144.80")
	b.ReportAllocs()
	for b.Loop() {
		l.Locate(addr)
	}
}
