package backend

import (
	"context"
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
// server of the same strategy, or without one. Where codes were counted with a
// key that is not known here, it is an error: another would make codes that meet
// the others.
func (d *Data) Codes(ctx context.Context, s *config.Settings, now func() time.Time, random io.Reader) (link.Codes, error) {
	return d.codes(ctx, s, codeSource{Options{Now: now, Rand: random}, false})
}

func (d *Data) codes(ctx context.Context, s *config.Settings, by codeSource) (link.Codes, error) {
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
		key, err := codeKey(s)
		if errors.Is(err, fs.ErrNotExist) {
			key, err = newCodeKey(ctx, s, store, by)
		}
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
// of the data folder; fs.ErrNotExist where there is none.
func codeKey(s *config.Settings) (string, error) {
	if s.CodeKey != "" {
		return s.CodeKey, nil
	}
	return codeKeyOf(s.Data)
}

// codeKeyOf gives the key that a data folder keeps.
func codeKeyOf(dir string) (string, error) {
	path := filepath.Join(dir, codeKeyName)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("code key: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if raw, err := hex.DecodeString(key); err != nil || len(raw) != secretSize {
		return "", fmt.Errorf("code key: %s is damaged: restore it from a backup; without one delete it, and new codes may meet old ones, which costs a second draw", path)
	}
	return key, nil
}

// newCodeKey makes the key of a data folder. Of several processes that do, all
// get that of one.
func newCodeKey(ctx context.Context, s *config.Settings, store *sqlite.Codes, by codeSource) (string, error) {
	if !by.server {
		counted, err := store.Counted(ctx)
		if err != nil {
			return "", err
		}
		if counted {
			key, err := codeKey(s) // another process may have made it, and counted since
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("codes were counted here with a key that is not in %s: give this command the server's KURZ_CODE_KEY, or restore %[1]s from a backup", codeKeyName)
			}
			return key, err
		}
	}
	if err := makeKey(filepath.Join(s.Data, codeKeyName), by.Rand); err != nil {
		return "", fmt.Errorf("code key: %w", err)
	}
	return codeKey(s)
}

// InspectCodes tells in a few words how codes are made, beside a server unless at
// is zero, and changes nothing. A key in the data folder that is damaged is an
// error, whether it is in use or not.
func InspectCodes(s *config.Settings, at Serving) (string, error) {
	text := fmt.Sprintf("%s, %d characters", s.CodeStrategy, s.CodeLength)
	if link.Strategy(s.CodeStrategy) == link.Snowflake {
		text = s.CodeStrategy
	}
	_, err := codeKeyOf(s.Data)
	none := errors.Is(err, fs.ErrNotExist)
	mark, unmarked := CodeKeyMark(s)
	switch {
	case err != nil && !none:
		return "", err
	case link.Strategy(s.CodeStrategy) != link.Sequence:
		return text, nil
	case at.CodeKey != "" && (unmarked != nil || mark != at.CodeKey):
		return text + ", the key is the server's KURZ_CODE_KEY, which commands that make links need, too", nil
	case s.CodeKey != "":
		return text + ", the key is KURZ_CODE_KEY", nil
	case none:
		return text + ", no key yet: it is made at the next start", nil
	}
	return text + ", the key is in " + codeKeyName, nil
}

// CodeKeyMark gives a text by which keys of codes can be told apart, and no
// more; "" for strategies without one. Where there is no key, it is fs.ErrNotExist.
func CodeKeyMark(s *config.Settings) (string, error) {
	if link.Strategy(s.CodeStrategy) != link.Sequence {
		return "", nil
	}
	key, err := codeKey(s)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte("which key of codes: " + key))
	return hex.EncodeToString(sum[:8]), nil
}
