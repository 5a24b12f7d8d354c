package flame

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// Rule says which functions make up a share. A sample belongs to the share of
// the innermost of its functions that a rule names.
type Rule struct {
	Share     string
	Says      string // what it is, for people
	Functions *regexp.Regexp
}

// Rules are tried in order. The last share is that of samples which none names.
type Rules struct {
	List []Rule
	Rest Rule
}

// Share is a part of a profile.
type Share struct {
	Rule
	Nanoseconds int64
	// Inner are the functions that its samples ended in, the heaviest first.
	Inner []Inner
}

// Inner is a function with the time spent in itself.
type Inner struct {
	Function    string
	Nanoseconds int64
}

// Of gives the number of a stack's rule; that of Rest is len(List).
func (r Rules) Of(stack []string) int {
	for i := len(stack) - 1; i >= 0; i-- {
		for n, rule := range r.List {
			if rule.Functions.MatchString(stack[i]) {
				return n
			}
		}
	}
	return len(r.List)
}

// Shares gives those with samples, the heaviest first.
func (r Rules) Shares(p Profile) []Share {
	all := make([]Share, len(r.List)+1)
	inner := make([]map[string]int64, len(all))
	for i, rule := range append(slices.Clone(r.List), r.Rest) {
		all[i].Rule, inner[i] = rule, map[string]int64{}
	}
	for _, s := range p {
		i := r.Of(s.Stack)
		all[i].Nanoseconds += s.Nanoseconds
		if len(s.Stack) > 0 {
			inner[i][s.Stack[len(s.Stack)-1]] += s.Nanoseconds
		}
	}
	for i := range all {
		for function, n := range inner[i] {
			all[i].Inner = append(all[i].Inner, Inner{function, n})
		}
		slices.SortFunc(all[i].Inner, func(a, b Inner) int {
			return cmp.Or(cmp.Compare(b.Nanoseconds, a.Nanoseconds), cmp.Compare(a.Function, b.Function))
		})
	}
	all = slices.DeleteFunc(all, func(s Share) bool { return s.Nanoseconds == 0 })
	slices.SortStableFunc(all, func(a, b Share) int { return cmp.Compare(b.Nanoseconds, a.Nanoseconds) })
	return all
}

// Short gives a function's name without the path of its package.
func Short(function string) string {
	// Not within the brackets of type parameters.
	head, _, _ := strings.Cut(function, "[")
	return function[strings.LastIndexByte(head, '/')+1:]
}

// Redirect are the rules for a redirect of kurz, by package and function, so
// that a function that is new is in the share of its package.
func Redirect() Rules {
	rule := func(share, says, functions string) Rule {
		return Rule{share, says, regexp.MustCompile(`^(?:` + functions + `)`)}
	}
	return Rules{
		List: []Rule{
			rule("collect", "memory is collected", `runtime\.(gcBgMarkWorker|bgsweep|bgscavenge|gcStart|gcAssistAlloc|gcDrain|sweepone)`),
			rule("wait", "waiting for connections, and changing between goroutines", `runtime\.(mcall|mstart|schedule|findRunnable|netpoll|sysmon|goready|ready|gopark|park_m|gosched|morestack|rt0_go|usleep|futex)|syscall\.(E|e)poll|golang\.org/x/sys/unix\.(E|e)poll|internal/runtime/syscall/linux\.Epoll`),
			rule("read", "bytes of a request come in", `internal/poll\.\(\*FD\)\.(Read|RawRead|Accept)|kurz/internal/edge\.\(\*socket\)\.(Read|receive)|syscall\.(r|R)e(ad|cv)|golang\.org/x/sys/unix\.(r|R)e(ad|cv)`),
			rule("write", "bytes of an answer leave", `internal/poll\.\(\*FD\)\.(Write|RawWrite|Shutdown)|kurz/internal/edge\.\(\*socket\)\.(Write|send)|syscall\.((w|W)rite|(s|S)end)|golang\.org/x/sys/unix\.((w|W)rite|(s|S)end)`),
			rule("encrypt", "TLS", `crypto/tls\.`),
			rule("deadline", "timers that bound a request", `internal/poll\.\(\*FD\)\.Set\w*Deadline|net\.\(\*conn\)\.Set\w*Deadline|time\.(AfterFunc|NewTimer|\(\*Timer\))`),
			rule("hash", "the visitor hash", `kurz/internal/enrich\.\(\*(h|H)asher\)|crypto/(hmac|sha256)\.`),
			rule("country", "the country of the address", `kurz/internal/enrich\.\(?\*?(l|L)ocator|kurz/internal/enrich\.\(\*(Cities|cities|Atlas|atlas)\)|github\.com/phuslu/iploc\.`),
			rule("journal", "the click is put into the journal", `kurz/internal/journal\.`),
			rule("record", "the click's record is written together", `kurz/internal/click\.(\(\*Recorder\)|AppendVisit|append)`),
			rule("reports", "clicks are brought into the reports", `kurz/internal/(click|columns|sqlite)\.|zombiezen\.com/|modernc\.org/`),
			rule("limit", "the client's rate limit", `kurz/internal/ratelimit\.|kurz/internal/memory\.\(\*(L|l)imit`),
			rule("route", "the code's link is looked up", `kurz/internal/memory\.|kurz/internal/link\.`),
			rule("redirect", "what the answer is, is decided", `kurz/internal/redirect\.`),
			rule("count", "metrics are counted", `kurz/internal/telemetry\.|github\.com/prometheus/`),
			rule("parse", "the request is read and taken apart", `net/http\.(readRequest|\(\*conn\)\.readRequest|ReadRequest|parse|fixHost|validMethod|\(\*connReader\))|net/textproto\.|net/url\.|bufio\.\(\*Reader\)|kurz/internal/edge\.(\(.*\)\.)?\w*([pP]arse|[sS]can|[hH]ead|[rR]equest)`),
			rule("edge", "the front door: address, request record, answer's header, log", `kurz/internal/edge\.`),
			rule("net/http", "the standard library's server besides", `net/http\.|bufio\.|context\.|net\.`),
		},
		Rest: Rule{Share: "else", Says: "what no rule names"},
	}
}
