package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kurz/internal/config"
	"kurz/internal/link"
	"kurz/internal/sqlite"
)

// What a server reserves of a sequence at once. A command begins with one.
const sequenceBlock = 1000

// codeSource is who makes codes.
type codeSource struct {
	Options
	server bool
}

// Codes gives the strategy that the settings name, for a command: beside a
// server of the same strategy, or without one.
func (d *Data) Codes(s *config.Settings, now func() time.Time, random io.Reader) (link.Codes, error) {
	return d.codes(s, codeSource{Options{Now: now, Rand: random}, false})
}

func (d *Data) codes(s *config.Settings, by codeSource) (link.Codes, error) {
	store := sqlite.NewCodes(d.main)
	var warn func(string, ...any)
	if by.Logger != nil {
		warn = by.Logger.Warn
	}
	first := func(most int) int {
		if by.server {
			return most
		}
		return 1
	}
	switch link.Strategy(s.CodeStrategy) {
	case link.Random:
		return link.RandomCodes{Rand: by.Rand}, nil
	case link.Hash:
		return link.HashCodes{Rand: by.Rand}, nil
	case link.Sequence:
		key, err := codeKey(s, by.Rand)
		if err != nil {
			return nil, err
		}
		return link.NewSequenceCodes(link.SequenceSettings{
			Numbers: store, Key: []byte(key), First: first(sequenceBlock), Most: sequenceBlock, Warn: warn,
		}), nil
	case link.Pooled:
		return link.NewPoolCodes(link.PoolSettings{
			Pool: store, Length: s.CodeLength, First: first(link.PoolTaken), Most: link.PoolTaken,
			Rand: by.Rand, Now: by.Now, Warn: warn,
		}), nil
	case link.Snowflake:
		node := int(s.Node)
		if !by.server {
			node = int(config.AutoNode) // the number is the server's
		}
		holder := make([]byte, 16)
		if _, err := io.ReadFull(by.Rand, holder); err != nil {
			return nil, err
		}
		return link.NewSnowflakeCodes(link.SnowflakeSettings{
			Nodes: store, Holder: hex.EncodeToString(holder), Fixed: node, Now: by.Now,
		}), nil
	}
	return nil, fmt.Errorf("KURZ_CODE_STRATEGY: %q is not known", s.CodeStrategy)
}

// codeKey gives the key of the sequence strategy: that of the settings, or that
// of the data folder, which is made if need be.
func codeKey(s *config.Settings, random io.Reader) (string, error) {
	if s.CodeKey != "" {
		return s.CodeKey, nil
	}
	path := filepath.Join(s.Data, codeKeyName)
	key, err := openKey(path, random)
	if err != nil {
		return "", fmt.Errorf("code key: %w", err)
	}
	if raw, err := hex.DecodeString(key); err != nil || len(raw) != secretSize {
		return "", fmt.Errorf("code key: %s is damaged: restore it from a backup; without one delete it, and new codes may meet old ones, which costs a second draw", path)
	}
	return key, nil
}

// InspectCodes tells in a few words how codes are made, and changes nothing.
func InspectCodes(s *config.Settings) (string, error) {
	text := fmt.Sprintf("%s, %d characters", s.CodeStrategy, s.CodeLength)
	switch {
	case link.Strategy(s.CodeStrategy) == link.Snowflake:
		return s.CodeStrategy, nil
	case link.Strategy(s.CodeStrategy) != link.Sequence:
		return text, nil
	case s.CodeKey != "":
		return text + ", the key is KURZ_CODE_KEY", nil
	}
	path := filepath.Join(s.Data, codeKeyName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return text + ", no key yet: it is made at the next start", nil
	}
	_, err := codeKey(s, strings.NewReader("")) // it is there
	return text + ", the key is in " + codeKeyName, err
}

// CodeKeyMark gives a text by which keys of codes can be told apart, and no
// more; "" for strategies without one. A key is made if there is none.
func CodeKeyMark(s *config.Settings, random io.Reader) (string, error) {
	if link.Strategy(s.CodeStrategy) != link.Sequence {
		return "", nil
	}
	key, err := codeKey(s, random)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte("which key of codes: " + key))
	return hex.EncodeToString(sum[:8]), nil
}
