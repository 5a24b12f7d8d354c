package journal_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"kurz/internal/journal"
)

// forcePlain names, for a copy of the test program, that every journal is to be
// written without a mapping, as on a system that has none.
const forcePlain = "KURZ_TEST_PLAIN"

func forced() bool { return os.Getenv(forcePlain) != "" }

// TestPlainWrites runs the whole suite again with plain writes forced.
func TestPlainWrites(t *testing.T) {
	t.Parallel()
	if forced() {
		j := open(t, t.TempDir(), journal.Options{})
		add(t, j, 0, 1)
		if journal.Mapped(j) {
			t.Error("a segment is mapped though plain writes are forced")
		}
		return
	}
	if runtime.GOOS == "linux" {
		j := open(t, t.TempDir(), journal.Options{})
		add(t, j, 0, 1)
		if !journal.Mapped(j) {
			t.Error("no segment is mapped: the suite has tested plain writes alone")
		}
	}
	args := []string{"-test.count=1", "-test.v"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	suite := exec.CommandContext(t.Context(), executable(t), args...)
	suite.Env = append(os.Environ(), forcePlain+"=1")
	out, err := suite.CombinedOutput()
	if err != nil {
		t.Fatalf("with plain writes: %v\n%s", err, out)
	}
	passed := strings.Count(string(out), "--- PASS: Test")
	if passed < 25 || !strings.Contains(string(out), "--- PASS: TestPlainWrites") {
		t.Fatalf("only %d tests ran:\n%s", passed, out)
	}
	t.Logf("%d tests passed with plain writes", passed)
}
