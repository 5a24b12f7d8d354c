// Package cli holds the commands of the program kurz.
//
// What a command prints on standard output is its result, plain text or, with
// --json, JSON; everything else goes to standard error. It ends with 0, with 1
// where it could not do what was asked, and with 2 where it was asked wrongly.
// Start reading at Main, then serve.go, links.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kurz/client"
	"kurz/internal/config"
	"kurz/internal/fault"
)

// World is what a command sees of the world.
type World struct {
	Args           []string // without the program's name
	Environ        []string
	Stdout, Stderr io.Writer
	Now            func() time.Time
	Rand           io.Reader
}

// The exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// usageError is an error of how a command was called.
type usageError struct {
	err     error
	command string
}

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// errSaid ends a command with 1 when all is said already.
var errSaid = errors.New("failed")

// Main runs the command that the arguments name and gives its exit code.
func Main(ctx context.Context, w World) int {
	root := newRoot(&w)
	root.SetArgs(w.Args)
	root.SetOut(w.Stdout)
	root.SetErr(w.Stderr)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errSaid) {
		return exitFail
	}
	report(w.Stderr, err)
	if usage, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(w.Stderr, "Run '%s --help' to see how it is used.\n", usage.command)
		return exitUsage
	}
	if ran == root {
		// Only cobra itself fails here: there is no such command.
		fmt.Fprintln(w.Stderr, "Run 'kurz --help' to see the commands.")
		return exitUsage
	}
	return exitFail
}

// interrupted is why a command ended that interruptible has ended.
const interrupted = "interrupted"

// interruptible has the first SIGINT or SIGTERM end a command in order: what it
// made stays or goes as a whole, and it says how far it was. The second ends it at
// once.
func interruptible(c *cobra.Command) (end func()) {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	c.SetContext(ctx)
	return stop
}

// report prints an error for people: a fault by its message, details included.
func report(w io.Writer, err error) {
	text := err.Error()
	if f, ok := errors.AsType[*fault.Error](err); ok {
		text = f.Message
		if f.Code == fault.Internal || f.Code == fault.Unavailable {
			text = err.Error()
		}
		if len(f.Details) > 1 {
			for _, d := range f.Details {
				text += fmt.Sprintf("\n  %s %s", d.Field, d.Reason)
			}
		}
	}
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == string(fault.Unauthorized) {
		text += "\nSet KURZ_API_KEY to a key of that server: 'kurz key create' makes one there"
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		text += "\nNothing listens there: start the server, or name another with --server"
	}
	if errors.Is(err, context.Canceled) {
		text = strings.ReplaceAll(text, context.Canceled.Error(), interrupted)
	}
	fmt.Fprintf(w, "kurz: %s\n", strings.TrimSpace(text))
}

func newRoot(w *World) *cobra.Command {
	root := &cobra.Command{
		Use:           "kurz",
		Short:         "A URL shortener for people who own their links",
		Long:          "kurz shortens links, redirects, and counts, from one folder on one machine.\n\nStart with 'kurz serve'.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageError{err, c.CommandPath()} })
	root.PersistentFlags().String(configFlag, "", "file with settings (default: the one that KURZ_CONFIG names)")
	root.AddCommand(
		serveCommand(w), shortenCommand(w), linksCommand(w), qrCommand(w), statsCommand(w), liveCommand(w),
		userCommand(w), keyCommand(w), migrateCommand(w), configCommand(w),
		doctorCommand(w), backupCommand(w), restoreCommand(w), exportCommand(w), importCommand(w), journalCommand(w), clicksCommand(w), healthCommand(w), versionCommand(w),
	)
	for _, c := range root.Commands() {
		checkArgs(c)
	}
	return root
}

// checkArgs makes wrong arguments of a command and those below it usage errors.
func checkArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{err, c.CommandPath()}
			}
			return nil
		}
	}
	for _, below := range c.Commands() {
		checkArgs(below)
	}
}

// group makes a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(commands...)
	return c
}

const (
	configFlag = "config"
	jsonFlag   = "json"
)

// settingFlags gives a command flags for these settings, by their names after
// KURZ_; for all of them where none is named.
func settingFlags(c *cobra.Command, names ...string) {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted["KURZ_"+name] = true
	}
	for _, f := range config.Fields() {
		if f.Flag == "" || len(names) > 0 && !wanted[f.Name] {
			continue
		}
		usage := f.Doc
		if f.Default != "" {
			usage += " (default " + f.Default + ")"
		}
		c.Flags().String(f.Flag, "", usage)
		if f.Bool {
			c.Flags().Lookup(f.Flag).NoOptDefVal = "true"
		}
	}
}

// settings reads the settings that are in force for a command.
func settings(w *World, c *cobra.Command) (*config.Loaded, error) {
	src := config.Sources{Environ: w.Environ, Flags: map[string]string{}}
	if f := c.Flag(configFlag); f != nil {
		src.File = f.Value.String()
	}
	for _, field := range config.Fields() {
		if f := c.Flags().Lookup(field.Flag); field.Flag != "" && f != nil && f.Changed {
			src.Flags[field.Name] = f.Value.String()
		}
	}
	return config.Load(src)
}
