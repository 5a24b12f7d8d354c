package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Writer writes a backup. It is for one goroutine; after an error nothing else
// is of use.
type Writer struct {
	w       io.Writer
	hash    hash.Hash
	zip     *zstd.Encoder
	part    string // "" between parts
	sum     *Summer
	sums    []Sum
	content []byte
	block   []byte
}

// NewWriter begins a backup.
func NewWriter(w io.Writer, m Manifest) (*Writer, error) {
	// One goroutine, the caller's: a server beside it needs the other processors.
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	b := &Writer{w: w, hash: sha256.New(), zip: zip}
	head := append(make([]byte, 0, headSize), magic...)
	head = binary.LittleEndian.AppendUint32(head, Version)
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	if err := b.write(head); err != nil {
		return nil, err
	}
	return b, b.put(kindManifest, m)
}

// Begin begins a part.
func (b *Writer) Begin(p Part) error {
	if b.part != "" || p.Name == "" {
		return fmt.Errorf("part %q begins within part %q", p.Name, b.part)
	}
	b.part, b.sum = p.Name, NewSummer()
	return b.put(kindPart, p)
}

// Row adds a row to the part; it may be used again when Row returns.
func (b *Writer) Row(row []byte) error {
	if b.part == "" || len(row) > MaxRow {
		return fmt.Errorf("row of %d bytes in part %q", len(row), b.part)
	}
	b.sum.Add(row)
	b.content = binary.AppendUvarint(b.content, uint64(len(row)))
	b.content = append(b.content, row...)
	if len(b.content) < blockSize {
		return nil
	}
	return b.flush()
}

// End ends the part.
func (b *Writer) End() error {
	if b.part == "" {
		return errors.New("no part to end")
	}
	if err := b.flush(); err != nil {
		return err
	}
	sum := b.sum.Sum(b.part)
	b.sums, b.part = append(b.sums, sum), ""
	return b.put(kindPartEnd, sum)
}

// Close ends the backup, and gives the sums of its parts. It does not close
// what it was written to.
func (b *Writer) Close() ([]Sum, error) {
	if b.part != "" {
		return nil, fmt.Errorf("part %q is not ended", b.part)
	}
	if err := b.put(kindEnd, end{Parts: len(b.sums), SHA256: hex.EncodeToString(b.hash.Sum(nil))}); err != nil {
		return nil, err
	}
	return b.sums, b.zip.Close()
}

func (b *Writer) flush() error {
	if len(b.content) == 0 {
		return nil
	}
	err := b.putBlock(kindRows, b.content)
	b.content = b.content[:0]
	return err
}

func (b *Writer) put(kind byte, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.putBlock(kind, content)
}

func (b *Writer) putBlock(kind byte, content []byte) error {
	b.block = append(b.block[:0], make([]byte, blockHead)...)
	b.block = b.zip.EncodeAll(content, b.block)
	head, stored := b.block[:blockHead], b.block[blockHead:]
	head[0] = kind
	binary.LittleEndian.PutUint32(head[4:], uint32(len(stored)))
	binary.LittleEndian.PutUint32(head[8:], uint32(len(content)))
	binary.LittleEndian.PutUint32(head[12:], blockSum(head, stored))
	return b.write(b.block)
}

func (b *Writer) write(data []byte) error {
	b.hash.Write(data)
	_, err := b.w.Write(data)
	return err
}

func blockSum(head, stored []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:12], castagnoli), castagnoli, stored)
}
