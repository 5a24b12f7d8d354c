package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kurz/client"
	"kurz/internal/config"
)

// send has a server make links of the rows of a file, and waits until it has.
func (i *importRows) send(w *World, c *cobra.Command, s *config.Loaded, path string) error {
	if i.user != "" {
		return usageError{errors.New("--user can't be used with a server: the links belong to the user of KURZ_API_KEY"), c.CommandPath()}
	}
	server, err := client.New(s.Server, client.WithKey(s.APIKey), client.WithUserAgent("kurz-cli"),
		client.WithHTTPClient(&http.Client{Timeout: time.Minute}))
	if err != nil {
		return err
	}
	in, size, err := openBackup(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := i.prepare(c, path); err != nil {
		return err
	}
	name, err := nameOf(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	bar := newBar(w, "sending")
	file, format := fileToSend(in, func(done int64) { bar.reach(done, size) })
	j, err := server.BulkOnce(c.Context(), format, file, name)
	bar.end()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	bar = newBar(w, "making links")
	id := j.ID
	j, err = server.WaitBulk(c.Context(), id, func(j *client.BulkJob) { bar.reach(j.Done+j.Failed, j.Rows) })
	bar.end()
	if err != nil {
		return fmt.Errorf("bulk job %s goes on at the server, but can't be watched: %w", id, err)
	}
	return i.sent(c.Context(), w, c, server, j)
}

// sent tells what became of a job that has ended.
func (i *importRows) sent(ctx context.Context, w *World, c *cobra.Command, server *client.Client, j *client.BulkJob) error {
	r := rowsReport{Job: j.ID, Rows: j.Rows, Made: j.Done, Failed: j.Failed}
	if j.Failed > 0 && i.failures != "" {
		err := wholeFile(i.failures, func(f io.Writer) error { return server.BulkFailures(ctx, j.ID, f) })
		if err != nil {
			return fmt.Errorf("bulk job %s: the rows that failed: %w", j.ID, err)
		}
		r.Failures = i.failures
	}
	var err error
	if wantsJSON(c) {
		err = printJSON(w.Stdout, r)
	} else {
		text := fmt.Sprintf("%d rows: %d links made, %d failed", r.Rows, r.Made, r.Failed)
		switch {
		case r.Failures != "":
			text += ": see " + r.Failures
		case r.Failed > 0:
			text += fmt.Sprintf(": name a file with --failures to have them, or see /api/v1/bulk/%s/failures.csv", j.ID)
		}
		_, err = fmt.Fprintln(w.Stdout, text)
	}
	switch {
	case err != nil:
		return err
	case j.Status == "failed":
		return fmt.Errorf("bulk job %s could not go on: %s", j.ID, plain(j.Error))
	case j.Status != "done":
		return fmt.Errorf("bulk job %s was %s", j.ID, plain(j.Status))
	case r.Failed > 0:
		return errSaid
	}
	i.clear(w)
	return nil
}

// nameOf names a file by what is in it, so that a server that has it makes no
// link of it twice. Standard input is read once, and gets a name of its own.
func nameOf(in io.Reader) (string, error) {
	file, ok := in.(io.ReadSeeker)
	if !ok {
		return rand.Text(), nil
	}
	if _, err := file.Seek(0, io.SeekCurrent); err != nil {
		return rand.Text(), nil //nolint:nilerr // a pipe
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	_, err := file.Seek(0, io.SeekStart)
	return fmt.Sprintf("kurz-import-%x", hash.Sum(nil)), err
}

// wholeFile puts a file in its place once it is whole.
func wholeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error that counts is the first one
	}
	return err
}

// fileToSend finds out how a file is written, from its beginning, and gives what
// is to be sent: something that can be sent again if the file can be read again.
func fileToSend(in io.Reader, tell func(done int64)) (io.Reader, client.BulkFormat) {
	buffered := bufio.NewReader(in)
	begin, _ := buffered.Peek(4096) // a shorter file is no error
	if z, err := gzip.NewReader(bytes.NewReader(begin)); err == nil {
		begin, _ = io.ReadAll(io.LimitReader(z, 4096)) // it is cut off
	}
	begin = bytes.TrimLeft(begin, "\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
	format := client.BulkCSV
	switch {
	case bytes.HasPrefix(begin, []byte("[")):
		format = client.BulkJSON
	case bytes.HasPrefix(begin, []byte("{")):
		format = client.BulkNDJSON
	}
	told := &toldFile{r: buffered, tell: tell}
	if seeker, ok := in.(io.ReadSeeker); ok {
		if _, err := seeker.Seek(0, io.SeekStart); err == nil {
			told.r = seeker
			return &seekingFile{told, seeker}, format
		}
	}
	return told, format
}

// toldFile tells how much of it was read.
type toldFile struct {
	r    io.Reader
	done int64
	tell func(done int64)
}

func (f *toldFile) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.done += int64(n)
	f.tell(f.done)
	return n, err
}

// seekingFile is one that can be read again.
type seekingFile struct {
	*toldFile
	s io.Seeker
}

func (f *seekingFile) Seek(offset int64, whence int) (int64, error) {
	at, err := f.s.Seek(offset, whence)
	f.done = at
	return at, err
}
