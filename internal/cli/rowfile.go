package cli

import (
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/export"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/link"
)

// operations name the creations of a file's rows. A row is the same in two runs
// if its number, its text, the header and the owner are: so an import that is run
// again goes on, whether the file comes by another name, or has more rows at its
// end, or rows that were corrected in their place.
//
// The number stands before the text's hash, so that the store finds the
// operations of neighbours beside one another.
type operations struct{ file link.Operation }

// The places of an operation: the file's part, the number, the text's hash.
const (
	numberAt = 6
	textAt   = 11
)

func newOperations(owner account.ID, f job.Format, header []string) operations {
	sum := sha256.Sum256(fmt.Appendf(nil, "kurz import\n%d\n%s\n%q", owner, f, header))
	return operations{link.Operation(sum[:16])}
}

func (o operations) of(r *job.Row) link.Operation {
	op := o.file
	for i, n := textAt-1, r.Number; i >= numberAt; i, n = i-1, n>>8 {
		op[i] = byte(n)
	}
	sum := sha256.Sum256(r.Text)
	copy(op[textAt:], sum[:])
	return op
}

// failureFile takes the rows that failed: as CSV with the columns of the file, so
// that they can be corrected there and imported, and with number, code and error.
// The file is put in its place once it is whole, and only if a row failed.
type failureFile struct {
	path   string // "": the first rows are told on errors
	errors io.Writer
	table  *api.FailureTable

	told int64
	file *os.File
	out  *csv.Writer
}

func newFailureFile(path string, errors io.Writer, f job.Format, header []string) failureFile {
	return failureFile{path: path, errors: errors, table: api.NewFailureTable(f, header)}
}

func (f *failureFile) add(r *job.Row) error {
	if f.told++; f.path == "" || f.told <= shownFailures {
		fmt.Fprintln(f.errors, plain(fmt.Sprintf("row %d: %s", r.Number, reason(r.Err))))
	}
	if f.path == "" {
		return nil
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	return f.out.Write(append(f.table.Cells(r.Text), strconv.FormatInt(r.Number, 10), string(fault.CodeOf(r.Err)), export.Harmless(reason(r.Err))))
}

// shownFailures bounds the failures that are told of on standard error, too.
const shownFailures = 10

func (f *failureFile) open() (err error) {
	if f.file, err = os.OpenFile(f.path+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	f.out = csv.NewWriter(f.file)
	f.out.UseCRLF = true
	return f.out.Write(f.table.Header())
}

// written gives the path of the file, "" if there is none.
func (f *failureFile) written() string {
	if f.file == nil {
		return ""
	}
	return f.path
}

// close puts the file in its place.
func (f *failureFile) close() error {
	if f.path == "" && f.told > shownFailures {
		fmt.Fprintln(f.errors, "Name a file with --failures to have them as CSV, for correction.")
	}
	if f.file == nil {
		return nil
	}
	f.out.Flush()
	err := errors.Join(f.out.Error(), f.file.Sync())
	if err = errors.Join(err, f.file.Close()); err != nil {
		return err
	}
	if err := setAside(f.path, f.file.Name()); err != nil {
		return err
	}
	return os.Rename(f.file.Name(), f.path)
}

// setAside keeps a file of failures that is about to be replaced, unless it reads
// the same: it may have been corrected.
func setAside(path, replacement string) error {
	old, err := sumOf(path)
	if err != nil {
		return nil //nolint:nilerr // there is none, or nothing that could be read
	}
	if now, err := sumOf(replacement); err != nil || now == old {
		return err
	}
	return os.Rename(path, path+".old")
}

func sumOf(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return [sha256.Size]byte(h.Sum(nil)), err
}
