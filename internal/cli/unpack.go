package cli

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// unpacked gives what is in a file. One that gzip packed, which its first bytes
// tell, is unpacked as it is read.
func unpacked(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); string(magic) != "\x1f\x8b" { // a shorter file is not packed
		return in, nil
	}
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, badGzip(err)
	}
	return unpacker{z}, nil
}

type unpacker struct{ z *gzip.Reader }

func (u unpacker) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = badGzip(err)
	}
	return n, err
}

func badGzip(err error) error {
	return fmt.Errorf("the file is packed by gzip, and damaged or cut off: %w", err)
}
