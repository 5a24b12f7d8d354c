package app

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"kurz/internal/link"
)

// maxBlocklist bounds the file, in bytes: some five million domains.
const maxBlocklist = 128 << 20

// blocklist is a link.Blocklist that follows a file.
type blocklist struct {
	*link.Blocklist
	path   string
	logger *slog.Logger
	stamp  fileStamp
}

// fileStamp tells whether a file changed.
type fileStamp struct {
	size     int64
	modified time.Time
}

// openBlocklist reads the file; without a path nothing is blocked.
func openBlocklist(path string, logger *slog.Logger) (*blocklist, error) {
	b := &blocklist{path: path, logger: logger}
	if path == "" {
		return b, nil
	}
	b.Blocklist = link.NewBlocklist(nil)
	if err := b.load(); err != nil {
		return nil, fmt.Errorf("KURZ_BLOCKLIST: %w", err)
	}
	return b, nil
}

func (b *blocklist) load() error {
	stamp, err := stampOf(b.path)
	if err != nil {
		return err
	}
	if stamp.size > maxBlocklist {
		return fmt.Errorf("%s is larger than %d MiB", b.path, maxBlocklist>>20)
	}
	data, err := os.ReadFile(b.path)
	if err != nil {
		return err
	}
	domains, err := ParseBlocklist(data)
	if err != nil {
		return fmt.Errorf("%s: %w", b.path, err)
	}
	unusable := b.Replace(domains)
	b.stamp = stamp
	if len(unusable) > 0 {
		b.logger.Warn("lines of the block list are no domains and block nothing", "file", b.path, "count", len(unusable), "first", unusable[0])
	}
	b.logger.Info("block list loaded", "file", b.path, "domains", len(domains)-len(unusable))
	return nil
}

// watch loads the file anew when it changes, until ctx ends. A file that can't
// be read leaves the list as it is.
func (b *blocklist) watch(ctx context.Context, interval time.Duration) error {
	if b.path == "" {
		return nil
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	bad := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		stamp, err := stampOf(b.path)
		if err == nil && stamp != b.stamp {
			err = b.load()
		}
		if err != nil && !bad {
			b.logger.Warn("block list can't be read, the old one stays", "error", err)
		}
		bad = err != nil
	}
}

func stampOf(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{info.Size(), info.ModTime()}, nil
}

// ParseBlocklist reads a block list: one domain a line, '#' before a comment,
// also behind a domain. Lines of a hosts file, an address before the domain,
// are understood too.
func ParseBlocklist(data []byte) ([]string, error) {
	var domains []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "\ufeff"), "#")
		words := strings.Fields(text)
		if len(words) > 1 {
			if _, err := netip.ParseAddr(words[0]); err != nil {
				return nil, fmt.Errorf("line %d: write one domain a line", number)
			}
			words = words[1:]
		}
		domains = append(domains, words...)
	}
	return domains, lines.Err()
}
