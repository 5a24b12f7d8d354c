package enrich

import (
	"strings"

	"kurz/internal/click"
)

// previewMarks are found, in lower case, in agents that fetch a link to show
// what is behind it. Many apps name themselves in their browsers too, so the
// marks are those of the fetchers.
var previewMarks = newFinder([]string{
	"facebookexternalhit", "facebookcatalog", "meta-externalfetcher", "facebot", "twitterbot", "slackbot", "slack-imgproxy",
	"telegrambot", "discordbot", "linkedinbot", "skypeuripreview", "whatsapp/", "redditbot", "pinterestbot", "pinterest/0.",
	"snap url preview", "viber/", "line-poker", "kakaotalk-scrap", "kakaostory-og-reader", "vkshare", "odklbot", "tumblr/",
	"mastodon/", "pleroma", "akkoma", "misskey", "summalybot", "gotosocial", "lemmy/", "friendica", "hubzilla",
	"diaspora", "peertube", "pixelfed", "cardyb/", "iframely", "embedly", "opengraph", "open graph", "unfurl", "linkpreview",
	"link-preview", "microsoft-teams", "mattermost-bot", "synapse (bot", "nextcloud server crawler", "notionembedder",
	"flipboardproxy", "bitlybot", "bitrix link", "google-chat", "google-pagerenderer", "steamchaturllookup",
	"applebot", "apple-messages", "imessage", "preview",
})

// botMarks are found, in lower case, in agents of programs, and not in those
// of people's browsers.
var botMarks = newFinder([]string{
	// What such programs call themselves.
	"bot", "crawl", "spider", "scan", "fetch", "monitor", "check", "scrap", "slurp", "archiv", "validat", "verif",
	"inspect", "synthetic", "optimizer", "uptime", "survey", "capture", "audit", "resolver", "watcher", "metrix",
	"agent", "feed", "headless", "lighthouse", "phantom", "selenium", "playwright", "puppeteer", "cypress",
	"webdriver", "automat", "harvest", "sitemap", "index", "research", "generator",
	// Where they say who runs them.
	"http", "www.", "[at]", "(at)", ".com)", ".com;", ".com/",
	// Languages and libraries.
	"python", "curl", "wget", "perl/", "ruby/", "php", "java/", "(java)", "go-http", "libwww", "node-", "axios", "zgrab",
	"httrack", "nutch", "indy library",
	// Services that come with a browser's name.
	"google-", "partners-google", "store-google", "google favicon", "googleagent", "pingdom", "appinsights", "siteimprove",
	"dareboost", "datanyze", "ptst/", "newsai/", "collapsify", "hardenize", "manus-user", "scope3", "silktide",
	"thousandeyes", "sindup", "page speed", "google search console", "duplexweb", "statuscake", "catchpoint", "emailproxy",
	"mail.ukr.net", "cloudflare", "whatcms", "assetnote", "devin/", "functionize", "transcoder", "networkmeasurement",
	"prospecting", "leadradar", "rigor)", "iplabel", "yunjiankong", "dmbrowser", "convertify",
	"tsm-turingos", "criticalcss", "dlc/", "foregenix", "ghost inspector", "linktiger",
	"marketgoo", "miniature.io", "newsnow", "openvas", "printfriendly", "readable/", "securityheaders",
	"splash version", "testlocally", "xmco.fr", "ylt chrome", "productfinder", "browserstack", "watchtowr",
	"ips-", "bw/1", "mutant", "hotjar", "imageproxy",
})

// namesakes are parts of people's agents that a bot mark would be found in.
var namesakes = strings.NewReplacer(
	"ecosia android@", "", "ecosia ios@", "", // a browser
	"agentweb", "", // in browsers of Android
	"botech", "", // a maker of televisions
	"cubot", "", // a maker of telephones
	"user-agent:", "",
	"applewebkit", "",
	"verifone", "", // a maker of tills
	"libwww-fm", "", // in Lynx
)

// browserStarts are how agents of people's browsers begin, in lower case. What
// begins otherwise is a program.
var browserStarts = []string{
	"mozilla/", "opera/", "ucweb", "nokia", "samsung-", "blackberry", "lg-", "mot-", "sonyericsson", "sec-", "docomo/",
	"kddi-", "softbank/", "vodafone/", "huawei", "zte", "htc", "alcatel", "micromax", "lynx/", "links (", "elinks", "w3m/",
	"netsurf", "dillo/", "instagram ", "roku/",
}

// kindOfAgent tells what an agent is: Human, Bot or Preview. It errs on the
// side of Human: a visit of a person is never to be hidden.
func kindOfAgent(text string) click.Kind {
	low := namesakes.Replace(withoutModel(strings.ToLower(strings.Trim(text, " \""))))
	switch {
	case previewMarks.any(low):
		return click.Preview
	case low == "" || !startsWithAny(low, browserStarts) || strings.IndexByte(low, '@') >= 0 || botMarks.any(low) || onlyCompatible(low):
		return click.Bot
	}
	return click.Human
}

// withoutModel leaves the device out of the agent of a browser on Android, as
// in "mozilla/5.0 (linux; android 7.0; m bot 54 build/…)": makers call them
// robots, spiders and phantoms.
func withoutModel(low string) string {
	_, rest, found := strings.Cut(low, "(linux; ")
	if !found {
		return low
	}
	_, rest, found = strings.Cut(rest, "android ")
	if !found {
		return low
	}
	model, after, found := strings.Cut(rest, ") applewebkit/")
	if !found || containsAny(model, []string{"compatible", "http", "-google"}) {
		return low // a program that says what it is there
	}
	return low[:len(low)-len(rest)] + after
}

// onlyCompatible reports whether an agent says that it is compatible with
// something without being any browser that says so.
func onlyCompatible(low string) bool {
	if low == "mozilla/5.0" || low == "mozilla/4.0" {
		return true
	}
	_, rest, found := strings.Cut(low, "compatible;")
	return found && !containsAny(rest, []string{"msie ", "trident/", "konqueror", "applewebkit", "opera"})
}

func containsAny(text string, marks []string) bool {
	for _, m := range marks {
		if strings.Contains(text, m) {
			return true
		}
	}
	return false
}

func startsWithAny(text string, starts []string) bool {
	for _, s := range starts {
		if strings.HasPrefix(text, s) {
			return true
		}
	}
	return false
}
