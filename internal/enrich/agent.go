package enrich

import (
	"strings"

	"kurz/internal/click"
)

// agent is what a user agent says. Its texts are constants of this package.
//
// The parsers to be had were measured first: mileusna/useragent and
// mssola/useragent give whatever token they find as the browser's name, so a
// stranger could fill reports with names of their own; neither knows televisions
// or consoles, and their bots are a fraction of those that visit short links.
// So the rules are tables here, read from top to bottom: the first entry that
// is contained in the agent says what it is.
type agent struct {
	kind    click.Kind
	browser string
	os      string
	device  string
}

// The classes of click.Devices.
const (
	mobile  = "mobile"
	tablet  = "tablet"
	desktop = "desktop"
	tv      = "tv"
	console = "console"
	bot     = "bot"
)

// The browsers that say nothing but the system they belong to.
const (
	androidBrowser = "Android Browser"
	safari         = "Safari"
	iosWebView     = "iOS WebView"
)

// mark says that an agent with the token is named so.
type mark struct{ token, name string }

var browsers = newNamer([]mark{
	{"Edg/", "Edge"},
	{"EdgA/", "Edge"},
	{"EdgiOS/", "Edge"},
	{"Edge/", "Edge"},
	{"Opera Mini", "Opera Mini"},
	{"OPR/", "Opera"},
	{"OPiOS/", "Opera"},
	{"OPT/", "Opera"},
	{"OPX/", "Opera"},
	{"Opera", "Opera"},
	{"OculusBrowser/", "Meta Quest Browser"},
	{"SamsungBrowser/", "Samsung Internet"},
	{"YaBrowser/", "Yandex Browser"},
	{"YaSearchBrowser/", "Yandex Browser"},
	{"YandexSearch", "Yandex Browser"},
	{"YaApp_", "Yandex Browser"},
	{"Vivaldi/", "Vivaldi"},
	{"DuckDuckGo/", "DuckDuckGo"},
	{"Ddg/", "DuckDuckGo"},
	{"Brave/", "Brave"},
	{"Brave Chrome/", "Brave"},
	{"UCBrowser/", "UC Browser"},
	{"UCWEB", "UC Browser"},
	{"UBrowser/", "UC Browser"},
	{"MiuiBrowser/", "Mi Browser"},
	{"HuaweiBrowser/", "Huawei Browser"},
	{"HeyTapBrowser/", "HeyTap Browser"},
	{"VivoBrowser/", "Vivo Browser"},
	{"HonorBrowser/", "Honor Browser"},
	{"MZBrowser/", "Meizu Browser"},
	{"PHX/", "Phoenix Browser"},
	{"Quark/", "Quark"},
	{"AlohaBrowser/", "Aloha"},
	{"baiduboxapp/", "Baidu"},
	{"baidubrowser", "Baidu"},
	{"BIDUBrowser", "Baidu"},
	{"SogouMobileBrowser/", "Sogou"},
	{"Weibo", "Weibo"},
	{"NAVER(", "NAVER"},
	{"Zalo", "Zalo"},
	{"BingSapphire/", "Bing"},
	{"BingWeb/", "Bing"},
	{"MicroMessenger/", "WeChat"},
	{"QQBrowser/", "QQ Browser"},
	{"Silk/", "Silk"},
	{"Whale/", "Whale"},
	{"coc_coc_browser/", "Coc Coc"},
	{"Puffin/", "Puffin"},
	{"Maxthon", "Maxthon"},
	{"Sleipnir/", "Sleipnir"},
	{"Ecosia ", "Ecosia"},
	{"AvastSecureBrowser/", "Avast"},
	{"Avast/", "Avast"},
	{"AVG/", "AVG"},
	{"Norton/", "Norton"},
	{"FBAN/", "Facebook"},
	{"FBAV/", "Facebook"},
	{"FB_IAB", "Facebook"},
	{"MetaIAB", "Facebook"},
	{"Instagram", "Instagram"},
	{"Barcelona ", "Threads"},
	{"BytedanceWebview", "TikTok"},
	{"musical_ly", "TikTok"},
	{"TikTok", "TikTok"},
	{"trill_", "TikTok"},
	{"Snapchat/", "Snapchat"},
	{"Pinterest/", "Pinterest"},
	{"LinkedInApp", "LinkedIn"},
	{"Twitter for", "X"},
	{"TwitterAndroid", "X"},
	{"Reddit/", "Reddit"},
	{"Telegram-Android", "Telegram"},
	{"GoogleApp/", "Google App"},
	{"Line/", "LINE"},
	{"KAKAOTALK", "KakaoTalk"},
	{"GSA/", "Google App"},
	{"Focus/", "Firefox Focus"},
	{"Klar/", "Firefox Focus"},
	{"FxiOS/", "Firefox"},
	{"SeaMonkey/", "SeaMonkey"},
	{"PaleMoon/", "Pale Moon"},
	{"Waterfox/", "Waterfox"},
	{"CriOS/", "Chrome"},
	{"Chromium/", "Chromium"},
	{"; wv)", "Android WebView"},
	{"Version/4.0 Chrome/", "Android WebView"}, // before they said wv
	{"Chrome/", "Chrome"},
	{"Firefox/", "Firefox"},
	{"Trident/", "Internet Explorer"},
	{"MSIE ", "Internet Explorer"},
	{"PlayStation", "PlayStation"},
	{"Nintendo", "Nintendo"},
	{"LG Browser/", "LG Browser"},
	{"NetFront", "NetFront"},
	{"Konqueror", "Konqueror"},
	{"Epiphany/", "GNOME Web"},
	{"BB10", "BlackBerry"},
	{"BlackBerry", "BlackBerry"},
	{"Lynx/", "Lynx"},
	{"w3m/", "w3m"},
	{"Links (", "Links"},
	{"ELinks", "ELinks"},
	{"NetSurf", "NetSurf"},
	{"Dillo/", "Dillo"},
})

var systems = newNamer([]mark{
	{"Windows Phone", "Windows Phone"},
	{"Xbox", "Xbox"},
	{"Windows", "Windows"},
	{"AppleTV", "tvOS"},
	{"Apple TV", "tvOS"},
	{"tvOS", "tvOS"},
	{"PlayStation", "PlayStation"},
	{"Nintendo", "Nintendo"},
	{"CrOS", "ChromeOS"},
	{"Tizen", "Tizen"},
	{"Web0S", "webOS"},
	{"webOS", "webOS"},
	{"hpwOS", "webOS"},
	{"Roku", "Roku"},
	{"KAIOS", "KaiOS"},
	{"HarmonyOS", "HarmonyOS"},
	{"OpenHarmony", "HarmonyOS"},
	{"VIDAA", "VIDAA"},
	{"Android", "Android"},
	{"Andr0id", "Android"}, // of televisions
	{"; Adr ", "Android"},  // of UC Browser
	{"iPhone", "iOS"},      // and parts of the names of others' devices
	{"iPad", "iOS"},
	{"iPod", "iOS"},
	{"Macintosh", "macOS"},
	{"Mac OS X", "macOS"},
	{"BlackBerry", "BlackBerry"},
	{"BB10", "BlackBerry"},
	{"PlayBook", "BlackBerry"},
	{"Symbian", "Symbian"},
	{"SymbOS", "Symbian"},
	{"Series60", "Symbian"},
	{"Series40", "Series 40"},
	{"FreeBSD", "FreeBSD"},
	{"OpenBSD", "OpenBSD"},
	{"NetBSD", "NetBSD"},
	{"SunOS", "Solaris"},
	{"Linux", "Linux"},
	{"X11", "Linux"},
	{"Ubuntu", "Linux"},
})

var devices = newNamer([]mark{
	{"PlayStation", console},
	{"Xbox", console},
	{"Nintendo", console},
	{"AppleTV", tv},
	{"Apple TV", tv},
	{"tvOS", tv},
	{"GoogleTV", tv},
	{"Google TV", tv},
	{"Android TV", tv},
	{"SmartTV", tv},
	{"SMART-TV", tv},
	{"Smart TV", tv},
	{"Smart-TV", tv},
	{"HbbTV", tv},
	{"NetCast", tv},
	{"Web0S", tv},
	{"Roku", tv},
	{"CrKey", tv},
	{"BRAVIA", tv},
	{"; AFT", tv},
	{"Viera", tv},
	{"DTV", tv},
	{"MiBOX", tv},
	{"SHIELD", tv},
	{"TV Safari", tv},
	{"Opera TV", tv},
	{"OMI/", tv},
	{"Andr0id", tv},
	{"AndroidTV", tv},
	{"VIDAA", tv},
	{"TiVo", tv},
	{"LG Browser/", tv},
	{"CE-HTML", tv},
	{"NETTV/", tv},
	{"MiTV", tv},
	{"BeyondTV", tv},
	{"TV Box", tv},
	{"TV BOX", tv},
	{"TVBOX", tv},
	{"TV Stick", tv},
	{"MagentaTV", tv},
	{"Maple", tv},
	{"Chromecast", tv},
	{"iPad", tablet},
	{"Tablet", tablet},
	{"PlayBook", tablet},
	{"Kindle", tablet},
	{"hpwOS", tablet},
	{"Nexus 7", tablet},
	{"Nexus 9", tablet},
	{"Nexus 10", tablet},
	{"; SM-T", tablet},
	{"; SM-X", tablet},
	{"; KF", tablet},
	{"iPhone", mobile},
	{"iPod", mobile},
	{"Mobile", mobile},
	{"Windows Phone", mobile},
	{"BlackBerry", mobile},
	{"BB10", mobile},
	{"Symbian", mobile},
	{"SymbOS", mobile},
	{"Series60", mobile},
	{"Series40", mobile},
	{"KAIOS", mobile},
	{"Opera Mini", mobile},
	{"J2ME", mobile},
	{"MIDP", mobile},
	{"Opera Mobi", mobile},
	{"MetaIAB", mobile},
	{"Instagram", mobile},
	{"FBAN/", mobile},
	{"FB_IAB", mobile},
	{"; wv)", mobile},
	{"UCWEB", mobile},
	{"OpenHarmony", mobile},
	{"Silk/", tablet},
	{"Android", tablet}, // without "Mobile"
	{"Windows", desktop},
	{"Macintosh", desktop},
	{"CrOS", desktop},
	{"X11", desktop},
	{"Linux", desktop},
	{"FreeBSD", desktop},
	{"OpenBSD", desktop},
	{"NetBSD", desktop},
	{"SunOS", desktop},
	{"Mac OS X", desktop},
})

// parseAgent tells what a user agent says.
func parseAgent(text string) agent {
	a := agent{
		kind: kindOfAgent(text), browser: browsers.name(text),
		os: systems.name(text), device: devices.name(text),
	}
	if a.browser == "" {
		a.browser = webKit(text, a.os)
	}
	if a.kind == click.Human && a.browser+a.os+a.device == "" && nothingBehind(text) {
		a.kind = click.Bot
	}
	if a.kind != click.Human {
		a.device = bot
	}
	return a
}

// nothingBehind reports whether an agent that says neither browser, system nor
// device only pretends to be some: "Mozilla/5.0 (thing/1.0)".
func nothingBehind(text string) bool {
	return strings.HasPrefix(text, "Mozilla/5.0") && !strings.Contains(text, "WebKit/") && !strings.Contains(text, "Gecko/")
}

// webKit names the browsers that say nothing but the system they belong to.
func webKit(text, os string) string {
	switch {
	case !strings.Contains(text, "AppleWebKit/"):
		return ""
	case os == "Android":
		return androidBrowser
	case strings.Contains(text, "Safari/") && (os == "macOS" || os == "iOS" || os == "Windows"):
		return safari
	case os == "iOS":
		return iosWebView
	}
	return ""
}
