//go:build !(linux || darwin || freebsd)

package journal

import (
	"errors"
	"os"
)

const canMap = false

func mapFile(*os.File, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapFile([]byte) error { return errors.ErrUnsupported }

func syncMapped(*os.File, []byte, int64, int64) error { return errors.ErrUnsupported }
