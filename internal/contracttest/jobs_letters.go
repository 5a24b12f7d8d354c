package contracttest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kurz/internal/job"
)

// wantLetters reads the letters of the first job, two a page.
func wantLetters(t *testing.T, q job.Queue, want []job.Letter) {
	t.Helper()
	var got []job.Letter
	for after := int64(0); ; {
		page, err := q.Letters(t.Context(), queued(1).ID, after, 2)
		if err != nil {
			t.Fatalf("Letters after %d: %v", after, err)
		}
		if len(page) > 2 {
			t.Fatalf("Letters after %d: %d of them", after, len(page))
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = page[len(page)-1].Row
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
}

func jobLetters(t *testing.T, q job.Queue) {
	jobAdd(t, q, queued(1), queued(2))
	j := jobAcquire(t, q, 10).Job
	other := jobAcquire(t, q, 10).Job
	wantLetters(t, q, nil)
	letter := func(row int64, code string) job.Letter {
		return job.Letter{Row: row, Text: []byte(strings.Repeat("ü\xff,", int(row))), Code: code, Error: "Not so: ü"}
	}
	j = jobSaved(t, q, j, []job.Letter{letter(9, "A"), letter(2, "A"), letter(5, "A")}, 90)
	jobSaved(t, q, other, []job.Letter{letter(5, "OTHER")}, 90)
	jobSaved(t, q, j, []job.Letter{letter(5, "B"), letter(7, "B"), {Row: 1 << 40}}, 90)
	wantLetters(t, q, []job.Letter{letter(2, "A"), letter(5, "B"), letter(7, "B"), letter(9, "A"), {Row: 1 << 40}})
}
