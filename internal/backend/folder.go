package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// The names within the data folder.
const (
	lockName    = "lock"
	servingName = "serving.json"
	mainName    = "kurz.db"
	clicksName  = "clicks.db"
	journalName = "journal"
	visitorName = "visitor.key"
	secretName  = "server.key"
	codeKeyName = "code.key"
	certsName   = "certificates"
)

// ErrInUse says that a server has the data folder.
var ErrInUse = errors.New("in use")

// prepare makes the data folder, durably, for its owner's eyes only, and checks
// that files can be made in it.
func prepare(dir string) error {
	const fix = "give the user who runs kurz the right to write it, or name another with --data"
	if err := makeFolder(dir); err != nil {
		return fmt.Errorf("data folder %s can't be made: %w: %s", dir, err, fix)
	}
	probe, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data folder %s can't be written: %w: %s", dir, err, fix)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// makeFolder makes a folder and those above it. Nothing in a folder outlives a
// power cut whose own entry does not.
func makeFolder(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	// The nearest is synced even if it was there: by a start that was killed.
	above := []string{filepath.Dir(dir)}
	for at := above[0]; ; {
		if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		at = filepath.Dir(at)
		above = append(above, at)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, at := range above {
		// Whoever made a folder that we may not read has to have synced it.
		if err := syncDir(at); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// Lock is the right to be the server of a data folder. It ends with the
// process, however that ends.
type Lock struct{ file *os.File }

// TakeLock makes this process the server of a data folder, which exists;
// ErrInUse if another is.
func TakeLock(dir string) (*Lock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of the data folder: %w", err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("data folder %s is %w: another 'kurz serve' runs on it: stop that one, or name another folder with --data", dir, ErrInUse)
		}
		return nil, fmt.Errorf("lock of the data folder %s: %w", dir, err)
	}
	return &Lock{f}, nil
}

// lockPatience is for how long a server waits for the lock: commands that ask
// whether there is a server hold it for a moment.
const lockPatience = 300 * time.Millisecond

// awaitLock does as TakeLock, unless the lock is given back soon.
func awaitLock(ctx context.Context, dir string) (*Lock, error) {
	late := time.NewTimer(lockPatience)
	defer late.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := TakeLock(dir)
		if !errors.Is(err, ErrInUse) {
			return l, err
		}
		select {
		case <-tick.C:
		case <-late.C:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Close gives the right back.
func (l *Lock) Close() error { return l.file.Close() }

// Served reports whether a server has the data folder.
func Served(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, lockName)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	l, err := TakeLock(dir)
	if errors.Is(err, ErrInUse) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, l.Close()
}

// Serving says where the server of a data folder is reached, so that commands
// run beside it need not be told.
type Serving struct {
	PID     int       `json:"pid"`
	Listen  []string  `json:"listen"` // network:address
	TLS     bool      `json:"tls"`
	BaseURL string    `json:"base_url"`
	Domains []string  `json:"domains,omitempty"`
	Since   time.Time `json:"since"`

	// How it makes codes. CodeKey tells keys apart, where there is one.
	CodeStrategy string `json:"code_strategy,omitempty"`
	CodeLength   int    `json:"code_length,omitempty"`
	CodeKey      string `json:"code_key,omitempty"`
}

// NewServing describes a server that listens.
func NewServing(listeners []net.Listener, tls bool, base *url.URL, domains []string, now time.Time) Serving {
	s := Serving{PID: os.Getpid(), TLS: tls, BaseURL: base.String(), Domains: domains, Since: now.UTC().Truncate(time.Millisecond)}
	for _, l := range listeners {
		s.Listen = append(s.Listen, l.Addr().Network()+":"+l.Addr().String())
	}
	return s
}

// WriteServing leaves the note in the data folder; the result removes it.
func WriteServing(dir string, s Serving) (remove func(), err error) {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, servingName)
	// Renamed into place, so that nobody reads half of it.
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(path) }, nil
}

// ReadServing reads the note of the server that has the data folder now; the
// note of one that is gone is fs.ErrNotExist.
func ReadServing(dir string) (Serving, error) {
	served, err := Served(dir)
	if err != nil {
		return Serving{}, err
	}
	if !served {
		return Serving{}, fs.ErrNotExist
	}
	text, err := os.ReadFile(filepath.Join(dir, servingName))
	if err != nil {
		return Serving{}, err
	}
	var s Serving
	if err := json.Unmarshal(text, &s); err != nil {
		return Serving{}, fmt.Errorf("%s: %w", servingName, err)
	}
	if u, err := url.Parse(s.BaseURL); err != nil || u.Host == "" {
		return Serving{}, fmt.Errorf("%s: base URL %q", servingName, s.BaseURL)
	}
	return s, nil
}

// Base gives the base URL, which ReadServing has checked.
func (s Serving) Base() *url.URL {
	u, err := url.Parse(s.BaseURL)
	if err != nil {
		return nil
	}
	return u
}

func journalPath(dir string) string { return filepath.Join(dir, journalName) }
