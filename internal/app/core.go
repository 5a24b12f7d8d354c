// Package app joins given parts to a running kurz: the rules, the rooms behind
// the front door, and the work in the background. It knows contracts and no
// adapter; package backend picks those.
//
// It guarantees that what was answered is kept when the program is told to
// end: first the front door closes, then what runs finishes, then the clicks
// in the log are brought into the statistics. Start reading at Parts, then New
// and App.Run.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"kurz/internal/config"
	"kurz/internal/link"
	"kurz/internal/qr"
)

// Surroundings are what the program sees of the world.
type Surroundings struct {
	Now    func() time.Time
	Rand   io.Reader // secure
	Logger *slog.Logger
	// NotifySocket is where systemd is told of start and stop; "" for nobody.
	NotifySocket string
	// Breathe, unless nil, is called several times within a millisecond of work
	// in the background, which it may hold up.
	Breathe func()
}

// Core is what the server and the commands have in common: the rules for
// links, under the settings.
type Core struct {
	Domains   *link.Domains
	Blocklist *blocklist
	Logo      *qr.Logo // for QR codes; nil is kurz's own
	Registry  *link.Registry
	// changed is told of changes; the server sets it.
	changed func(context.Context, link.Change)
}

// NewCore makes a Core. It reads the block list and the logo.
func NewCore(s *config.Settings, links link.Store, codes link.Codes, w Surroundings) (*Core, error) {
	domains, err := link.NewDomains(s.BaseURL, s.Domains)
	if err != nil {
		return nil, err
	}
	if w.Logger == nil {
		w.Logger = slog.New(slog.DiscardHandler)
	}
	blocked, err := openBlocklist(s.Blocklist, w.Logger)
	if err != nil {
		return nil, err
	}
	logo, err := openLogo(s.QRLogo)
	if err != nil {
		return nil, err
	}
	c := &Core{Domains: domains, Blocklist: blocked, Logo: logo}
	c.Registry = link.NewRegistry(c.settings(s, links, codes, w))
	return c, nil
}

// openLogo reads the logo of QR codes; nil without a path.
func openLogo(path string) (*qr.Logo, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("KURZ_QR_LOGO: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, qr.MaxLogoFile+1))
	if err != nil {
		return nil, fmt.Errorf("KURZ_QR_LOGO: %w", err)
	}
	logo, err := qr.NewLogo(data)
	if err != nil {
		return nil, fmt.Errorf("KURZ_QR_LOGO: %s: %w", path, err)
	}
	return logo, nil
}

// VisitorPeriod is within what unique visitors are exact.
func VisitorPeriod(s *config.Settings) string {
	if s.VisitorKeyRotation == config.RotateNever {
		return "ever"
	}
	return string(s.VisitorKeyRotation)
}

// hostname gives a host without its port.
func hostname(host string) string {
	if ap, err := netip.ParseAddrPort(host); err == nil {
		return ap.Addr().String()
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}
