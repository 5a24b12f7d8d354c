package job

import (
	"io"

	"kurz/internal/link"
)

// Format is how the rows of a bulk job are written.
type Format string

// The formats.
const (
	CSV    Format = "csv"    // with a header row
	JSON   Format = "json"   // an array of objects
	NDJSON Format = "ndjson" // an object a line
)

// MaxRow is the size of the longest row, in bytes.
const MaxRow = 64 << 10

// Row is what someone asks for in one row of a file.
type Row struct {
	Number   int64  // from 1, the header not counted
	Text     []byte // in UTF-8, without the end of its line
	Creation link.Creation
	Err      error // a fault of this row alone; there is no Creation then
}

// Rows gives the rows of a file one at a time.
type Rows interface {
	// Next gives the next row, and io.EOF at the end. Any other error is a fault
	// of the file, which can't be read on.
	Next() (Row, error)
}

// Cutter cuts a file into chunks of at most MaxChunk bytes that are files of the
// same format themselves.
type Cutter interface {
	// Next gives the next chunk and how many rows it has, and io.EOF at the end.
	// Any other error is as with Rows.
	Next() (chunk []byte, rows int64, err error)
}

// Reader reads the rows of files.
type Reader interface {
	// Rows reads a file. What is wrong with it as a whole is a fault.
	Rows(r io.Reader, f Format) (Rows, error)
	// Cutter cuts what Rows reads, and refuses what it does.
	Cutter(r io.Reader, f Format) (Cutter, error)
}
