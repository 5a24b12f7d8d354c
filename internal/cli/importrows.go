package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kurz/internal/account"
	"kurz/internal/api"
	"kurz/internal/backend"
	"kurz/internal/config"
	"kurz/internal/export"
	"kurz/internal/fault"
	"kurz/internal/job"
	"kurz/internal/link"
)

// importRows makes links of the rows of a file.
//
// Each row is made with an operation of its own, so that an import that was
// ended in its middle, in whatever way, can be run again: what is made is not
// made twice. See operations.
type importRows struct {
	user, failures string
	named          bool // failures were named, not put beside the file
}

// rowsReport says what an import of rows did.
type rowsReport struct {
	Job      string `json:"job,omitempty"` // at a server
	Rows     int64  `json:"rows"`
	Made     int64  `json:"made"`
	Found    int64  `json:"found"` // by content_id or find_existing
	There    int64  `json:"there_already"`
	Failed   int64  `json:"failed"`
	Failures string `json:"failures_file,omitempty"`
}

// rowsAtOnce is how many rows are read while as many are made.
const rowsAtOnce = 20_000

func (i *importRows) run(w *World, c *cobra.Command, path string) error {
	s, err := settings(w, c)
	if err != nil {
		return err
	}
	if s.Server != "" {
		return i.send(w, c, s, path)
	}
	defer interruptible(c)()
	in, size, err := openBackup(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := i.prepare(c, path); err != nil {
		return err
	}
	bar := newBar(w, "importing")
	rows, format, err := openRows(&counted{r: in, total: size, tell: bar.reach})
	if err != nil {
		return fmt.Errorf("%s: %s\nIf another shortener gave the file, name it with --from", path, whatFailed(err))
	}
	data, err := backend.OpenBulk(c.Context(), &s.Settings)
	if err != nil {
		return err
	}
	m, err := i.maker(c.Context(), w, s, data, rows, format)
	if err == nil {
		err = m.read(c.Context(), rows)
		bar.end()
		err = errors.Join(err, m.failures.close())
	}
	if err := closing(data, err); err != nil {
		return m.stopped(path, err)
	}
	if m.report.Failed == 0 {
		i.clear(w)
	}
	return m.print(w, c)
}

// prepare finds out where failures go, and that they can, before a row is made.
func (i *importRows) prepare(c *cobra.Command, path string) error {
	if i.named = i.failures != ""; !i.named && path != standard {
		i.failures = path + ".failures.csv"
	}
	if err := i.sparesInput(path); err != nil {
		return usageError{err, c.CommandPath()}
	}
	if err := i.takesFailures(); err != nil {
		return fmt.Errorf("the rows that fail can't be written to %s: %w\nName another file for them with --failures; no row was made", i.failures, err)
	}
	return nil
}

// takesFailures tries to write where failures go.
func (i *importRows) takesFailures() error {
	if i.failures == "" {
		return nil
	}
	if info, err := os.Stat(i.failures); err == nil && info.IsDir() {
		return errors.New("it is a folder")
	}
	f, err := os.CreateTemp(filepath.Dir(i.failures), filepath.Base(i.failures)+".*")
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err // the path is not what was asked for
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// sparesInput refuses to write the failures over the file.
func (i *importRows) sparesInput(path string) error {
	file, err := os.Stat(path)
	if err != nil || path == standard {
		return nil //nolint:nilerr // there is nothing to be spared
	}
	if failures, err := os.Stat(i.failures); err == nil && os.SameFile(file, failures) {
		return fmt.Errorf("--failures %s is the file to be imported: name another", i.failures)
	}
	return nil
}

// clear removes the failures of an earlier run, now that no row failed: those
// beside the file, where they would have been replaced, and nothing that does not
// begin as kurz writes them.
func (i *importRows) clear(w *World) {
	if i.named || !listsFailures(i.failures) {
		return
	}
	text := "is of an earlier run, and was removed"
	if err := os.Remove(i.failures); err != nil {
		text = "is of an earlier run, and can't be removed: " + err.Error()
	}
	fmt.Fprintf(w.Stderr, "%s %s\n", i.failures, text)
}

func listsFailures(path string) bool {
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	header, _ := bufio.NewReader(io.LimitReader(f, 64<<10)).ReadString('\n') // a shorter one is none
	return strings.HasSuffix(header, ",row,code,error\r\n")
}

// openRows finds out how a file is written: an array, objects a line each, or a
// table, packed or not.
func openRows(r io.Reader) (job.Rows, job.Format, error) {
	r, err := unpacked(r)
	if err != nil {
		return nil, "", err
	}
	text, first, err := export.OpenText(r)
	if err != nil {
		return nil, "", err
	}
	format := job.CSV
	switch first {
	case '[':
		format = job.JSON
	case '{':
		format = job.NDJSON
	}
	rows, err := api.NewRows(text, format)
	return rows, format, err
}

// rowMaker is one import of rows.
type rowMaker struct {
	registry   *link.Registry
	actor      account.Actor
	operations operations
	failures   failureFile
	report     rowsReport
}

func (i *importRows) maker(ctx context.Context, w *World, s *config.Loaded, data *backend.Data, rows job.Rows, format job.Format) (*rowMaker, error) {
	core, err := newCore(w, s, data)
	if err != nil {
		return nil, err
	}
	m := &rowMaker{registry: core.Registry, actor: account.Operator()}
	if i.user != "" {
		u, err := account.NewDirectory(data.Accounts, w.Now, w.Rand).UserByEmail(ctx, i.user)
		if err != nil {
			return nil, err
		}
		m.actor = account.Actor{User: u.ID, Email: u.Email, Role: u.Role, Tier: u.Tier}
	}
	var header []string
	if table, ok := rows.(interface{ Header() []string }); ok {
		header = table.Header()
	}
	m.operations = newOperations(m.actor.User, format, header)
	m.failures = newFailureFile(i.failures, w.Stderr, format, header)
	return m, nil
}

// read makes links of all rows, reading some while those before are made.
func (m *rowMaker) read(ctx context.Context, rows job.Rows) error {
	type some struct {
		rows []job.Row
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan some)
	go func() {
		defer close(read)
		for err := error(nil); err == nil; {
			list := make([]job.Row, 0, rowsAtOnce)
			for len(list) < rowsAtOnce && err == nil {
				var row job.Row
				if row, err = rows.Next(); err == nil {
					list = append(list, row)
				}
			}
			select {
			case read <- some{list, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for s := range read {
		if err := m.make(ctx, s.rows); err != nil {
			return err
		}
		if s.err != nil && !errors.Is(s.err, io.EOF) {
			return s.err
		}
	}
	return ctx.Err()
}

// make makes links of some rows.
func (m *rowMaker) make(ctx context.Context, rows []job.Row) error {
	list := make([]link.Creation, 0, len(rows))
	for i := range rows {
		if r := &rows[i]; r.Err == nil {
			r.Creation.Operation = m.operations.of(r)
			list = append(list, r.Creation)
		}
	}
	made, err := m.registry.CreateMany(ctx, m.actor, list)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		if r.Err == nil {
			one := made[0]
			made = made[1:]
			m.count(one)
			if r.Err = one.Err; r.Err == nil {
				continue
			}
		}
		m.report.Failed++
		if err := m.failures.add(r); err != nil {
			return err
		}
	}
	m.report.Rows += int64(len(rows))
	return nil
}

func (m *rowMaker) count(one link.Made) {
	if one.Err != nil {
		return
	}
	switch one.Outcome {
	case link.Inserted:
		m.report.Made++
	case link.Found:
		m.report.Found++
	case link.Repeated:
		m.report.There++
	}
}

// stopped tells of an error that ended the import how far it was.
func (m *rowMaker) stopped(path string, err error) error {
	if m == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s: stopped after row %d: %s\nThe rows up to there are made; run the same again to go on", path, m.report.Rows, whatFailed(err))
}

// whatFailed is reason for errors that are no faults, too.
func whatFailed(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return interrupted
	case fault.CodeOf(err) == fault.Internal:
		return strings.TrimSpace(err.Error())
	}
	return reason(err)
}

// print tells what was made on standard output.
func (m *rowMaker) print(w *World, c *cobra.Command) error {
	r := &m.report
	r.Failures = m.failures.written()
	if wantsJSON(c) {
		if err := printJSON(w.Stdout, r); err != nil {
			return err
		}
	} else {
		text := fmt.Sprintf("%d rows: %d links made", r.Rows, r.Made)
		if r.Found > 0 {
			text += fmt.Sprintf(", %d found", r.Found)
		}
		if r.There > 0 {
			text += fmt.Sprintf(", %d made before", r.There)
		}
		text += fmt.Sprintf(", %d failed", r.Failed)
		if r.Failures != "" {
			text += ": see " + r.Failures
		}
		if _, err := fmt.Fprintln(w.Stdout, text); err != nil {
			return err
		}
	}
	if r.Failed > 0 {
		return errSaid
	}
	return nil
}
