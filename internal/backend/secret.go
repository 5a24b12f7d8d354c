package backend

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secretSize is the size of a server's secret, in bytes.
const secretSize = 32

// openSecret reads the secret of this installation, which keys the names of
// stored requests; it is made where there is none. It is a file of its own, for
// the owner alone, so that a copy of the databases does not have it.
func openSecret(path string, rand io.Reader) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeSecret(path, rand)
	}
	if err != nil {
		return nil, fmt.Errorf("server secret: %w", err)
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != secretSize {
		return nil, fmt.Errorf("server secret: %s is damaged: delete it, and requests of the last day can't be repeated safely", path)
	}
	return secret, nil
}

func makeSecret(path string, rand io.Reader) ([]byte, error) {
	secret := make([]byte, secretSize)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return nil, fmt.Errorf("server secret: %w", err)
	}
	// Under another name first, so that a crash leaves all of it or nothing.
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("server secret: %w", err)
	}
	_, err = fmt.Fprintln(f, hex.EncodeToString(secret))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one that counts
		return nil, fmt.Errorf("server secret: %w", err)
	}
	// Requests are stored under names that it keys: it may not be lost alone.
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("server secret: %w", err)
	}
	return secret, nil
}
