package app

import (
	"context"
	"log/slog"
	"time"
)

// What the tests see of the inside.
var (
	OpenBlocklist = openBlocklist
	NewProgress   = newProgress
	Hostname      = hostname
)

func (b *blocklist) Watch(ctx context.Context, interval time.Duration) error {
	return b.watch(ctx, interval)
}

type Progress = progress

func (p *progress) Stored(n int, oldest time.Time)            { p.stored(n, oldest) }
func (p *progress) Check(ctx context.Context) (string, error) { return p.check(ctx) }
func Ready(ctx context.Context, checks []Check) (string, bool) {
	text, ready := (&ops{checks: checks}).ready(ctx)
	return string(text), ready
}

func (p *progress) Failed(l *slog.Logger) func(error) { return p.failed(l) }
