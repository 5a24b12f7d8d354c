package enrich_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"kurz/internal/click"
	"kurz/internal/enrich"
)

// corpora gives the path of a file of public test data, which is no part of
// the repository. Where it is missing the test is skipped, unless KURZ_CORPORA
// says where it is: a clean checkout has no such folder beside it.
func corpora(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(corporaDir(), name)
	_, err := os.Stat(path)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("KURZ_CORPORA") == "":
		t.Skipf("%s is not there: set KURZ_CORPORA to the folder that has it", path)
	default:
		t.Fatal(err)
	}
	return path
}

func corporaDir() string {
	return cmp.Or(os.Getenv("KURZ_CORPORA"), filepath.FromSlash("../../../shared/corpora"))
}

func TestCrawlers(t *testing.T) {
	b, err := os.ReadFile(corpora(t, "crawler-user-agents.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Pattern   string   `json:"pattern"`
		Instances []string `json:"instances"`
		Tags      []string `json:"tags"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	e := enrich.New()
	total, missed := 0, 0
	for _, c := range list {
		for _, text := range c.Instances {
			total++
			if got := e.Enrich(click.Headers{UserAgent: text}); got.Kind == click.Human {
				missed++
				t.Logf("taken for a person: %s (%s)", text, c.Pattern)
			}
		}
	}
	share := 1 - float64(missed)/float64(total)
	t.Logf("%d of %d agents, %.2f %%, are no people", total-missed, total, 100*share)
	if share < 0.99 || total < 2000 {
		t.Errorf("below 99 %%, or too few to tell")
	}
}

func TestPreviews(t *testing.T) {
	for _, text := range []string{
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
		"Slack-ImgProxy (+https://api.slack.com/robots)",
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
		"Twitterbot/1.0", "WhatsApp/2.23.20.0 A", "TelegramBot (like TwitterBot)",
		"Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
		"LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
		"Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
		"http.rb/5.1.1 (Mastodon/4.2.1; +https://mastodon.example/) Bot",
		"Bluesky Cardyb/1.1; +mailto:support@bsky.app", "Viber/13.3.0", "vkShare; +http://vk.com/dev/Share",
		"Mozilla/5.0 (compatible; Iframely/1.3.1; +https://iframely.com/docs/about)",
		"facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/t/scrap/33984",
		"Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots", "MicrosoftPreview/2.0 +https://aka.ms/MicrosoftPreview",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
	} {
		if got := enrich.New().Enrich(click.Headers{UserAgent: text}); got.Kind != click.Preview || got.Device != "bot" {
			t.Errorf("%s: %v, %s", text, got.Kind, got.Device)
		}
	}
}

func TestKind(t *testing.T) {
	const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	tests := []struct {
		name string
		h    click.Headers
		want click.Kind
	}{
		{"person", click.Headers{UserAgent: chrome}, click.Human},
		{"head", click.Headers{UserAgent: chrome, Head: true}, click.Head},
		{"head of a bot", click.Headers{UserAgent: "Googlebot/2.1", Head: true}, click.Head},
		{"Sec-Purpose", click.Headers{UserAgent: chrome, Purpose: "prefetch;prerender"}, click.Prefetch},
		{"Purpose", click.Headers{UserAgent: chrome, Purpose: "prefetch"}, click.Prefetch},
		{"X-Moz", click.Headers{UserAgent: chrome, Purpose: "Prefetch"}, click.Prefetch},
		{"Safari's top sites", click.Headers{UserAgent: chrome, Purpose: "preview"}, click.Prefetch},
		{"another purpose", click.Headers{UserAgent: chrome, Purpose: "fun"}, click.Human},
		{"none", click.Headers{}, click.Bot},
		{"space", click.Headers{UserAgent: "  "}, click.Bot},
		{"curl", click.Headers{UserAgent: "curl/8.5.0"}, click.Bot},
		{"wget", click.Headers{UserAgent: "Wget/1.21.3"}, click.Bot},
		{"requests", click.Headers{UserAgent: "python-requests/2.32"}, click.Bot},
		{"Go", click.Headers{UserAgent: "Go-http-client/2.0"}, click.Bot},
		{"headless", click.Headers{UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36"}, click.Bot},
		{"bare", click.Headers{UserAgent: "Mozilla/5.0"}, click.Bot},
		{"nothing behind it", click.Headers{UserAgent: "Mozilla/5.0 (Thing/1.0)"}, click.Bot},
		{"of Google, on a telephone", click.Headers{UserAgent: "Mozilla/5.0 (Linux; Android 8.0; Pixel 2 Build/OPD3; Storebot-Google/1.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/81.0.4044.138 Mobile Safari/537.36"}, click.Bot},
		{"on a telephone", click.Headers{UserAgent: "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/W.X.Y.Z Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}, click.Bot},
		{"in Instagram", click.Headers{UserAgent: "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0.7444.142 Mobile Safari/537.36 Instagram 406.0.0.58.159 Android (35/15; 480dpi; 1080x2400; OPPO; CPH2557)"}, click.Human},
		{"nonsense", click.Headers{UserAgent: "\x00\xff"}, click.Bot},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := enrich.New().Enrich(tt.h).Kind; got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
