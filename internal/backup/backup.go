// Package backup is the format of a backup: one file, written and read from
// its front to its end, of named parts with rows.
//
// It guarantees that what is read is what was written: every block has a
// checksum, every part the number and the SHA-256 of its rows, the whole file
// the SHA-256 of all its bytes. A file that is damaged, cut off, or goes on
// behind its end is refused with the place, one of another version with its
// version. Rows are bytes here; whoever writes them knows what they mean.
//
// A file is a head of headSize bytes and blocks:
//
//	0  kind: 'm' manifest, 'p' begin of a part, 'r' rows, 'e' end of a part, 'z' end
//	4  length as stored
//	8  length of the content
//	12 CRC-32C of the 12 bytes before and the content as stored
//	16 the content, compressed with zstd (RFC 8878) on its own
//
// Numbers are little-endian. The content is JSON, but for rows: each is its
// length as a varint and its bytes. Start reading at Writer, then Reader.
package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"time"
)

// Version is that of the format.
const Version = 1

// MaxRow bounds a row, in bytes.
const MaxRow = 64 << 20

const (
	magic     = "kurzbkup"
	headSize  = 16 // magic, version, CRC-32C of both
	blockHead = 16
	// blockSize is from what size on rows are written, in bytes.
	blockSize  = 1 << 20
	maxContent = MaxRow + blockSize + binary.MaxVarintLen64
	// maxStored is what zstd makes of maxContent bytes at worst.
	maxStored = maxContent + maxContent>>7 + 1<<10
)

const (
	kindManifest = 'm'
	kindPart     = 'p'
	kindRows     = 'r'
	kindPartEnd  = 'e'
	kindEnd      = 'z'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Manifest says what a backup is.
type Manifest struct {
	CreatedAt time.Time `json:"created_at"`
	Program   string    `json:"program"` // that wrote it
}

// Part is a table, or something else that has rows.
type Part struct {
	Name    string   `json:"name"`
	Schema  int      `json:"schema,omitempty"` // version of the schema that the table is of
	Columns []string `json:"columns,omitempty"`
	// Count is how much the rows stand for, where each stands for several things.
	Count int64 `json:"count,omitempty"`
}

// Sum says what the rows of a part are, in their order.
type Sum struct {
	Part   string `json:"part"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// end is the content of the last block.
type end struct {
	Parts  int    `json:"parts"`
	SHA256 string `json:"sha256"` // of all bytes before this block
}

// Summer makes the Sum of rows.
type Summer struct {
	rows int64
	hash hash.Hash
}

// NewSummer makes one that has seen no row.
func NewSummer() *Summer { return &Summer{hash: sha256.New()} }

// Add adds a row.
func (s *Summer) Add(row []byte) {
	var length [binary.MaxVarintLen64]byte
	s.hash.Write(length[:binary.PutUvarint(length[:], uint64(len(row)))])
	s.hash.Write(row)
	s.rows++
}

// Sum gives the Sum, under a part's name.
func (s *Summer) Sum(part string) Sum {
	return Sum{Part: part, Rows: s.rows, SHA256: hex.EncodeToString(s.hash.Sum(nil))}
}

// VersionError refuses a backup in another version of the format.
type VersionError struct{ Found uint32 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the backup has version %d of the format, this program knows %d: use the kurz that wrote it, or a newer one", e.Found, Version)
}

// DamageError says what is wrong with a backup, and where.
type DamageError struct {
	Offset int64  // of the block, in bytes
	Part   string // "" outside of one
	What   string
}

func (e *DamageError) Error() string {
	where := fmt.Sprintf("at byte %d", e.Offset)
	if e.Part != "" {
		where += ", in " + e.Part
	}
	return fmt.Sprintf("the backup is damaged %s: %s", where, e.What)
}
