package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// TLS says where certificates come from: from two files, or by ACME.
type TLS struct {
	// CertFile and KeyFile are PEM files, read again when they change.
	CertFile, KeyFile string
	ACME              *ACME
}

// ACME gets certificates from an authority (RFC 8555), proving control of the
// domains within the TLS handshake (tls-alpn-01, RFC 8737), so that no other
// port is needed.
type ACME struct {
	Domains  []string
	CacheDir string // keeps account and certificates; private to the user
	Email    string // of the account; may be ""
	// DirectoryURL is the authority's; Let's Encrypt's if "".
	DirectoryURL string
	// HTTPClient asks the authority; http.DefaultClient if nil.
	HTTPClient *http.Client
}

// config makes what a listener needs. It reads the files, so that a wrong one
// stops the start.
func (t *TLS) config(now func() time.Time, logger *slog.Logger) (*tls.Config, error) {
	switch {
	case t.ACME != nil && (t.CertFile != "" || t.KeyFile != ""):
		return nil, errors.New("TLS: certificate files and ACME exclude each other")
	case t.ACME != nil:
		return t.ACME.config()
	}
	pair := &keyPair{cert: t.CertFile, key: t.KeyFile, now: now, logger: logger}
	if err := pair.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: pair.get,
	}, nil
}

func (a *ACME) config() (*tls.Config, error) {
	if len(a.Domains) == 0 || a.CacheDir == "" {
		return nil, errors.New("ACME: domains and a folder for certificates are needed")
	}
	m := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(a.CacheDir),
		HostPolicy: autocert.HostWhitelist(a.Domains...),
		Email:      a.Email,
		Client:     &acme.Client{DirectoryURL: a.DirectoryURL, HTTPClient: a.HTTPClient},
	}
	if a.DirectoryURL == "" {
		m.Client.DirectoryURL = acme.LetsEncryptURL
	}
	config := m.TLSConfig()
	config.MinVersion = tls.VersionTLS12
	return config, nil
}

// checkInterval is how often the files of a keyPair are looked at, at most.
const checkInterval = time.Second

// keyPair is a certificate in two files. When they change the new one is taken
// from the next handshake on; while they don't fit together, as when one of
// them was replaced, the old one stays.
type keyPair struct {
	cert, key string
	now       func() time.Time
	logger    *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   pairStamp // of current
	warned  pairStamp
	checked time.Time
}

// pairStamp tells whether files changed.
type pairStamp struct{ cert, key fileStamp }

type fileStamp struct {
	size     int64
	modified time.Time
}

func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.Sub(p.checked).Abs() >= checkInterval {
		p.checked = now
		p.reload()
	}
	return p.current, nil
}

// reload takes changed files in.
func (p *keyPair) reload() {
	stamp, err := p.stat()
	if err == nil && stamp == p.stamp {
		return
	}
	if err == nil {
		err = p.load()
	}
	switch {
	case err == nil:
		p.logger.Info("certificate replaced")
	case stamp != p.warned:
		p.warned = stamp
		p.logger.Log(context.Background(), slog.LevelWarn, "changed certificate not usable, keeping the old one", "error", err)
	}
}

// load reads the files.
func (p *keyPair) load() error {
	stamp, err := p.stat()
	if err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("TLS: certificate %s with key %s: %w", p.cert, p.key, err)
	}
	p.current, p.stamp, p.checked = &cert, stamp, p.now()
	return nil
}

func (p *keyPair) stat() (s pairStamp, err error) {
	for _, f := range []struct {
		path  string
		stamp *fileStamp
	}{{p.cert, &s.cert}, {p.key, &s.key}} {
		info, err := os.Stat(f.path)
		if err != nil {
			return pairStamp{}, err
		}
		*f.stamp = fileStamp{info.Size(), info.ModTime()}
	}
	return s, nil
}
