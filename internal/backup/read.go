package backup

import (
	"bytes"
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

// Reader reads a backup, in constant memory. It is for one goroutine; after an
// error nothing else is of use.
type Reader struct {
	r        io.Reader
	hash     hash.Hash
	unzip    *zstd.Decoder
	manifest Manifest
	part     string // "" between parts
	names    map[string]bool
	offset   int64 // of the block that was read last
	next     int64 // of the one behind it
	stored   bytes.Buffer
	content  []byte
}

// NewReader begins to read a backup; what is none, or is one of another
// version, is refused. Close it in the end.
func NewReader(r io.Reader) (*Reader, error) {
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxContent))
	if err != nil {
		return nil, err
	}
	b := &Reader{r: r, hash: sha256.New(), unzip: unzip, names: map[string]bool{}}
	if err := b.begin(); err != nil {
		unzip.Close()
		return nil, err
	}
	return b, nil
}

func (b *Reader) begin() error {
	head := make([]byte, headSize)
	n, err := io.ReadFull(b.r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	switch {
	case n < len(magic) || string(head[:len(magic)]) != magic:
		return errors.New("this is no backup of kurz")
	case n < headSize:
		return &DamageError{What: "it is cut off"}
	case binary.LittleEndian.Uint32(head[12:]) != crc32.Checksum(head[:12], castagnoli):
		return &DamageError{What: "its head has another checksum"}
	}
	if v := binary.LittleEndian.Uint32(head[8:]); v != Version {
		return &VersionError{v}
	}
	b.hash.Write(head)
	b.next = headSize
	kind, err := b.block()
	if err == nil && kind != kindManifest {
		err = b.damage("it does not say what it is")
	}
	if err != nil {
		return err
	}
	return b.decode(&b.manifest)
}

// Manifest says what the backup is.
func (b *Reader) Manifest() Manifest { return b.manifest }

// Next gives the next part, whose rows are then to be read, and io.EOF behind
// the last one: then the whole file was intact.
func (b *Reader) Next() (Part, error) {
	if b.part != "" {
		return Part{}, fmt.Errorf("the rows of %s are not read", b.part)
	}
	before := hex.EncodeToString(b.hash.Sum(nil))
	kind, err := b.block()
	if err != nil {
		return Part{}, err
	}
	if kind == kindEnd {
		return Part{}, b.ended(before)
	}
	var p Part
	if kind != kindPart {
		return p, b.damage("a part should begin here")
	}
	if err := b.decode(&p); err != nil {
		return p, err
	}
	if p.Name == "" || b.names[p.Name] {
		return p, b.damage(fmt.Sprintf("part %q has no name of its own", p.Name))
	}
	b.names[p.Name], b.part = true, p.Name
	return p, nil
}

// ended checks what the last block says, and that nothing is behind it.
func (b *Reader) ended(before string) error {
	var e end
	if err := b.decode(&e); err != nil {
		return err
	}
	if e.Parts != len(b.names) || e.SHA256 != before {
		return b.damage("it is not what was written as a whole")
	}
	n, err := io.ReadFull(b.r, make([]byte, 1))
	switch {
	case n > 0:
		b.offset = b.next
		return b.damage("it goes on behind its end")
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return err
}

// Rows calls each with every row of the part, valid until each returns, and
// gives the part's sum, which is right.
func (b *Reader) Rows(each func(row []byte) error) (Sum, error) {
	if b.part == "" {
		return Sum{}, errors.New("no part to read rows of")
	}
	rows := NewSummer()
	for {
		kind, err := b.block()
		if err != nil {
			return Sum{}, err
		}
		switch kind {
		case kindRows:
			if err := b.split(rows, each); err != nil {
				return Sum{}, err
			}
		case kindPartEnd:
			var want Sum
			if err := b.decode(&want); err != nil {
				return Sum{}, err
			}
			if got := rows.Sum(b.part); got != want {
				return Sum{}, b.damage(fmt.Sprintf("%d rows were written, other ones than the %d that are there", want.Rows, got.Rows))
			}
			b.part = ""
			return want, nil
		default:
			return Sum{}, b.damage("rows should be here")
		}
	}
}

// split calls each with the rows of a block.
func (b *Reader) split(rows *Summer, each func(row []byte) error) error {
	for rest := b.content; len(rest) > 0; {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return b.damage("a row is cut off")
		}
		row := rest[n : n+int(length)]
		rows.Add(row)
		if err := each(row); err != nil {
			return err
		}
		rest = rest[n+int(length):]
	}
	return nil
}

// block reads the next block into content.
func (b *Reader) block() (kind byte, err error) {
	b.offset = b.next
	var head [blockHead]byte
	if _, err := io.ReadFull(b.r, head[:]); err != nil {
		return 0, b.cut(err)
	}
	stored, length := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[8:])
	if stored > maxStored || length > maxContent {
		return 0, b.damage("a block has an impossible length")
	}
	// It grows with what is there, not with what a damaged length says.
	b.stored.Reset()
	if n, err := io.CopyN(&b.stored, b.r, int64(stored)); n < int64(stored) {
		return 0, b.cut(err)
	}
	if blockSum(head[:], b.stored.Bytes()) != binary.LittleEndian.Uint32(head[12:]) {
		return 0, b.damage("a block has another checksum")
	}
	b.hash.Write(head[:])
	b.hash.Write(b.stored.Bytes())
	b.next += blockHead + int64(stored)
	b.content, err = b.unzip.DecodeAll(b.stored.Bytes(), b.content[:0])
	if err != nil || len(b.content) != int(length) {
		return 0, b.damage("a block can't be unpacked")
	}
	return head[0], nil
}

func (b *Reader) decode(v any) error {
	if err := json.Unmarshal(b.content, v); err != nil {
		return b.damage("a block can't be understood")
	}
	return nil
}

func (b *Reader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return b.damage("it is cut off")
	}
	return err
}

func (b *Reader) damage(what string) error {
	return &DamageError{Offset: b.offset, Part: b.part, What: what}
}

// Close lets go of memory. It does not close what is read.
func (b *Reader) Close() { b.unzip.Close() }
