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
	text, err := openKey(path, rand)
	if err != nil {
		return nil, fmt.Errorf("server secret: %w", err)
	}
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != secretSize {
		return nil, fmt.Errorf("server secret: %s is damaged: delete it, and requests of the last day can't be repeated safely", path)
	}
	return secret, nil
}

// openKey gives the text of the file of a secret, which is made where there is
// none. Of several processes that make it, one does, and all get that one's.
func openKey(path string, rand io.Reader) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path, rand); err != nil {
			return "", err
		}
		text, err = os.ReadFile(path)
	}
	return strings.TrimSpace(string(text)), err
}

func makeKey(path string, rand io.Reader) error {
	secret := make([]byte, secretSize)
	if _, err := io.ReadFull(rand, secret); err != nil {
		return err
	}
	// Under another name first, so that a crash leaves all of it or nothing.
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already, where it was renamed
	_, err = fmt.Fprintln(f, hex.EncodeToString(secret))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	// A link, unlike a rename, leaves what another process put there.
	err = os.Link(f.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = os.Rename(f.Name(), path) // on a file system without links
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// What it keys is stored next: it may not be lost alone.
	return syncDir(filepath.Dir(path))
}
