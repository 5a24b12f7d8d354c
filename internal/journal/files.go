package journal

import (
	"errors"
	"os"
	"path/filepath"
)

// errLocked says that another process holds a lock.
var errLocked = errors.New("locked by another process")

// writeDurably replaces a small file of a folder: after a crash it holds the
// old or the new bytes.
func writeDurably(dir, name string, data []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(dir)
}
