package enrich

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// keyFile is the file of visitor keys.
type keyFile struct {
	Note     string    `json:"note"`
	Rotation Rotation  `json:"rotation"`
	Keys     []fileKey `json:"keys"`
}

type fileKey struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Secret []byte    `json:"secret"`
}

const keyFileNote = "Keys of visitor hashes. Keep out of backups: each is destroyed when its period is over."

// readKeys reads a file of keys; none is no error.
func readKeys(path string) ([]visitorKey, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(b)
	if err := ownersAlone(path); err != nil {
		return nil, err
	}
	var file keyFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): delete it, and visitors of today count once more", path, err)
	}
	var keys []visitorKey
	for _, k := range file.Keys {
		if len(k.Secret) < MinVisitorKey {
			return nil, fmt.Errorf("%s is damaged (a key is too short): delete it, and visitors of today count once more", path)
		}
		keys = append(keys, newVisitorKey(k.From.UTC(), k.To.UTC(), k.Secret))
	}
	sortKeys(keys)
	return keys, nil
}

func sortKeys(keys []visitorKey) {
	slices.SortFunc(keys, func(a, b visitorKey) int { return a.from.Compare(b.from) })
}

// writeKeys replaces a file of keys: after a crash it holds the old or the new
// ones. The bytes of the old file are overwritten, as far as the file system
// does that in place.
func writeKeys(path string, r Rotation, keys []visitorKey) error {
	file := keyFile{Note: keyFileNote, Rotation: r}
	for _, k := range keys {
		file.Keys = append(file.Keys, fileKey{From: k.from, To: k.to, Secret: k.secret})
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	defer clear(b)
	old, err := openOld(path)
	if err != nil {
		return err
	}
	if err := replace(path, append(b, '\n')); err != nil {
		if old != nil {
			old.Close()
		}
		return err
	}
	if old == nil {
		return nil
	}
	return errors.Join(overwrite(old), old.Close())
}

// openOld opens the file that is to be replaced, nil where there is none, or
// where that would keep it from being replaced.
func openOld(path string) (*os.File, error) {
	if runtime.GOOS == "windows" {
		return nil, nil //nolint:nilnil // nothing to overwrite is no error
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing to overwrite is no error
	}
	return f, err
}

// replace puts a new file, which only its owner can read, in the place of
// another. The name of what a crash leaves is always the same, so that the next
// try destroys it.
func replace(path string, data []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = f.Chmod(0o600) // what a crash or a stranger left may have another
	if err == nil {
		_, err = f.Write(data)
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		os.Remove(next)
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // not possible everywhere
		dir.Close()
	}
	return nil
}

// ownersAlone takes the right to read a file from all others, who may have got
// it from a copy.
func ownersAlone(path string) error {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return os.Chmod(path, 0o600)
}

// destroyKeys removes a file of keys, and its bytes as far as the file system
// overwrites in place; none is no error.
func destroyKeys(path string) error {
	if path == "" {
		return nil
	}
	old, err := openOld(path)
	if err != nil {
		return err
	}
	if old != nil {
		if err := errors.Join(overwrite(old), old.Close()); err != nil {
			return err
		}
	}
	for _, name := range []string{path, path + ".new"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// overwrite fills a file with zeros.
func overwrite(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(make([]byte, info.Size()), 0); err != nil {
		return err
	}
	return f.Sync()
}
