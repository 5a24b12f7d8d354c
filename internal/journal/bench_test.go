package journal_test

import (
	"bytes"
	"context"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"kurz/internal/journal"
)

func TestAppendAllocatesNothing(t *testing.T) {
	if raceDetector() {
		t.Skip("allocations are not the same under the race detector")
	}
	eachMode(t, func(t *testing.T, o journal.Options) {
		o.SegmentSize = 0
		j := open(t, t.TempDir(), o)
		data := bytes.Repeat([]byte("x"), 300)
		if n := testing.AllocsPerRun(1000, func() {
			if _, err := j.Append(data); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			j := open(b, b.TempDir(), journal.Options{Sync: 50 * time.Millisecond, PlainWrites: m.plain})
			data := bytes.Repeat([]byte("x"), 300)
			stop := drain(b, j)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := j.Append(data); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			stop()
		})
	}
}

// drain releases what is appended, so that a long benchmark fills no disk.
func drain(b *testing.B, j *journal.Journal) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := j.Release(j.Stats().Appended); err != nil {
				b.Error(err)
			}
		}
	}()
	return func() { cancel(); <-done }
}

func BenchmarkRead(b *testing.B) {
	j := open(b, b.TempDir(), journal.Options{Sync: time.Hour})
	data := bytes.Repeat([]byte("x"), 300)
	for range b.N {
		if _, err := j.Append(data); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(data)))
	b.ResetTimer()
	for after := uint64(0); after < uint64(b.N); {
		list, err := j.Read(context.Background(), after, nil, 2000)
		if err != nil || len(list) == 0 {
			b.Fatal(len(list), err)
		}
		after = list[len(list)-1].Sequence
	}
}

// raceDetector reports whether this program was built with it: then pools forget
// at random, and allocations can't be counted.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
