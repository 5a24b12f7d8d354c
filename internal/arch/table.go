package arch

// Table has one line for each package of the module, in the order of the tree.
// A package without a line, and a line without a package, fail the build: the
// table is where a new package says what it is.
//
// Uses names the outside technologies that this package, and no other, may
// import; TestUses those that only its tests may. golang.org/x counts as the
// standard library, apart from what Technologies names.
func Table() []Line {
	return []Line{
		{Path: "cmd/kurz", Kind: Command},

		{Path: "internal/fault", Kind: Word},
		{Path: "internal/account", Kind: Word},
		{Path: "internal/link", Kind: Word, Uses: []string{"github.com/nlnwa/whatwg-url"}},
		{Path: "internal/click", Kind: Word},

		{Path: "internal/journal", Kind: Mechanism},
		{Path: "internal/enrich", Kind: Mechanism, Uses: []string{
			"github.com/phuslu/iploc",
			"github.com/oschwald/maxminddb-golang",
		}},
		{Path: "internal/columns", Kind: Mechanism},
		{Path: "internal/search", Kind: Mechanism},
		{Path: "internal/ratelimit", Kind: Mechanism},
		{Path: "internal/export", Kind: Mechanism},
		{Path: "internal/backup", Kind: Mechanism, Uses: []string{"github.com/klauspost/compress"}},
		{Path: "internal/idempotency", Kind: Mechanism},
		{Path: "internal/job", Kind: Mechanism},
		{Path: "internal/pace", Kind: Mechanism},
		{Path: "internal/qr", Kind: Mechanism, Uses: []string{"github.com/piglig/go-qr"}},

		{
			Path: "internal/edge", Kind: Front,
			Uses:     []string{"golang.org/x/crypto/acme"},
			TestUses: []string{"github.com/letsencrypt/pebble", "github.com/letsencrypt/challtestsrv"},
		},
		{Path: "internal/redirect", Kind: Room},
		{
			Path: "internal/api", Kind: Room,
			Uses:     []string{"github.com/go-json-experiment/json"},
			TestUses: []string{"github.com/santhosh-tekuri/jsonschema"},
		},
		{Path: "internal/web", Kind: Room},

		{Path: "internal/memory", Kind: Adapter},
		{Path: "internal/sqlite", Kind: Adapter, Uses: []string{"zombiezen.com/go/sqlite"}},
		{Path: "internal/contracttest", Kind: Test},

		{Path: "internal/config", Kind: Joining},
		{Path: "internal/telemetry", Kind: Joining, Uses: []string{"github.com/prometheus/client_golang"}},
		{Path: "internal/app", Kind: Joining},
		{Path: "internal/backend", Kind: Joining},
		{Path: "internal/cli", Kind: Joining, Uses: []string{"github.com/spf13/cobra"}},
		{Path: "internal/arch", Kind: Test},

		{Path: "client", Kind: Outside},
		{Path: "e2e", Kind: Outside, TestUses: []string{"zombiezen.com/go/sqlite"}},
		{Path: "bench", Kind: Outside},
		{Path: "bench/flame", Kind: Outside},
		{Path: "test/mmdb", Kind: Outside},
		{Path: "test/powercut", Kind: Outside, Uses: []string{"github.com/hanwen/go-fuse"}},
		{Path: "test/fresh", Kind: Outside},
		{Path: "test/program", Kind: Outside},
		{Path: "test/rfc9112", Kind: Outside},
		{Path: "test/wire", Kind: Outside},
	}
}

// technologies are parts of golang.org/x that are a technology of their own,
// and so belong to one package.
var technologies = []string{"golang.org/x/crypto/acme"}

// testTools may be imported by any test, and by nothing else. Package
// contracttest counts as a test.
var testTools = []string{
	"github.com/google/go-cmp",
	"github.com/rogpeppe/go-internal",
	"pgregory.net/rapid",
}

// nondescript are the names of rule 6: they say nothing of what is inside.
var nondescript = map[string]bool{
	"base": true, "common": true, "helper": true, "helpers": true,
	"manager": true, "managers": true, "model": true, "models": true,
	"service": true, "services": true, "type": true, "types": true,
	"util": true, "utils": true,
}
