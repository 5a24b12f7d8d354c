package memory_test

import (
	"testing"

	"kurz/internal/contracttest"
	"kurz/internal/job"
	"kurz/internal/memory"
)

func TestJobs(t *testing.T) {
	contracttest.Jobs(t, func(*testing.T) job.Queue { return memory.NewJobs() })
}
