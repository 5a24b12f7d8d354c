package backup

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// OfVersion gives a backup as another version would begin it.
func OfVersion(data []byte, version uint32) []byte {
	data = bytes.Clone(data)
	binary.LittleEndian.PutUint32(data[8:], version)
	binary.LittleEndian.PutUint32(data[12:], crc32.Checksum(data[:12], castagnoli))
	return data
}

// Blocks gives the blocks of a backup.
func Blocks(data []byte) (list [][]byte) {
	for data = data[headSize:]; len(data) > 0; {
		n := blockHead + int(binary.LittleEndian.Uint32(data[4:]))
		list, data = append(list, data[:n]), data[n:]
	}
	return list
}
