package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"kurz/internal/app"
	"kurz/internal/backend"
	"kurz/internal/config"
	"kurz/internal/edge"
	"kurz/internal/pace"
	"kurz/internal/telemetry"
)

func serveCommand(w *World) *cobra.Command {
	c := &cobra.Command{
		Use: "serve", Short: "Run the server", Args: cobra.NoArgs,
		Long: `Run the server until SIGTERM, SIGINT or SIGHUP; a second signal ends it at once.

On an empty folder it makes what it needs and prints a link, to be used once,
to set up the first admin. Every flag is also a setting: --base-url is
KURZ_BASE_URL in the environment or the settings file.`,
		Example: "  kurz serve\n  kurz serve --listen 127.0.0.1:9000 --data /var/lib/kurz --base-url https://go.example",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := settings(w, c)
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(c.Context())
			defer stop()
			return serve(ctx, w, s)
		},
	}
	settingFlags(c)
	return c
}

// untilSignal gives a context that the first signal to stop ends. The second one
// ends the program at once, as if nobody had listened.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ended := make(chan struct{})
	next := func() os.Signal {
		select {
		case s := <-signals:
			return s
		case <-ended:
			return nil
		}
	}
	go func() {
		if next() == nil {
			return
		}
		cancel()
		if s := next(); s != nil {
			signal.Reset(s)
			self, err := os.FindProcess(os.Getpid())
			if err != nil || self.Signal(s) != nil {
				os.Exit(1) // where a process can't send itself a signal
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(ended)
		cancel()
	}
}

// serve runs the server until ctx ends.
func serve(ctx context.Context, w *World, s *config.Loaded) (err error) {
	defer paceCollector(variable(w, "GOGC"))()
	go giveBack(ctx)
	logger := telemetry.NewLogger(w.Stderr, s.LogFormat, s.LogLevel)
	metrics := telemetry.NewMetrics(telemetry.BuildOf(debug.ReadBuildInfo()))
	breathe := pace.New(metrics.Redirects).Breathe
	b, err := backend.Open(ctx, &s.Settings, backend.Options{Now: w.Now, Rand: w.Rand, Logger: logger, Breathe: breathe})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	listeners, err := edge.Listen(s.Listen)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range listeners {
			// Closed already, unless something failed before it was served on.
			_ = l.Close()
		}
	}()
	drawnPort(s, listeners[0])
	ended, err := serveProfiles(ctx, s.PprofListen, logger)
	if err != nil {
		return err
	}
	defer ended()
	around := app.Surroundings{Now: w.Now, Rand: w.Rand, Logger: logger, NotifySocket: variable(w, "NOTIFY_SOCKET"), Breathe: breathe}
	a, err := app.New(&s.Settings, b.Parts, around, metrics, b.Certificates)
	if err != nil {
		return err
	}
	note := backend.NewServing(listeners, s.TLS(), s.BaseURL, s.Domains, w.Now())
	note.CodeStrategy, note.CodeLength = s.CodeStrategy, s.CodeLength
	if note.CodeKey, err = backend.CodeKeyMark(&s.Settings); err != nil {
		return err
	}
	remove, err := backend.WriteServing(s.Data, note)
	if err != nil {
		return fmt.Errorf("data folder %s: %w", s.Data, err)
	}
	defer remove()
	if err := announce(ctx, w, s, a, logger, note); err != nil {
		return err
	}
	err = a.Run(ctx, listeners...)
	if err == nil {
		logger.Info("stopped")
	}
	return err
}

// serveProfiles answers those who profile the server, where it is told to, until
// ctx ends or ended is called. That it can't go on is logged: links do.
func serveProfiles(ctx context.Context, addr string, logger *slog.Logger) (ended func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	l, err := telemetry.ListenProfiles(ctx, addr)
	if err != nil {
		return nil, err
	}
	logger.Warn("profiles can be taken", "address", l.Addr().String())
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() {
		if err := telemetry.ServeProfiles(ctx, l); err != nil {
			logger.Error("profiles can't be taken any more", "error", err)
		}
	})
	return func() { cancel(); work.Wait() }, nil
}

// drawnPort puts the port that the system chose for :0 into the default base
// URL.
func drawnPort(s *config.Loaded, l net.Listener) {
	tcp, ok := l.Addr().(*net.TCPAddr)
	if _, port, err := net.SplitHostPort(s.Listen); ok && err == nil && port == "0" && s.Default("KURZ_BASE_URL") {
		base := *s.BaseURL
		base.Host = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
		s.BaseURL = &base
	}
}

// announce says where the server is reached and, while there is no admin, how
// to make the first.
func announce(ctx context.Context, w *World, s *config.Loaded, a *app.App, logger *slog.Logger, note backend.Serving) error {
	setup, err := a.SetupLink(ctx)
	if err != nil {
		return err
	}
	if s.LogFormat == "json" {
		logger.Info("listening", "addresses", note.Listen, "base_url", note.BaseURL, "data", s.Data)
		if setup != "" {
			logger.Info("no admin yet: set up the first admin", "setup_link", setup)
		}
		return nil
	}
	var at []string
	for _, l := range note.Listen {
		at = append(at, strings.TrimPrefix(l, "tcp:"))
	}
	fmt.Fprintf(w.Stderr, "kurz is at %s (listening on %s, data in %s)\n", note.BaseURL, strings.Join(at, ", "), s.Data)
	if setup != "" {
		fmt.Fprintf(w.Stderr, "There is no admin yet. Set up the first one, once, at\n  %s\n", setup)
	}
	return nil
}

// variable gives an environment variable's value.
func variable(w *World, name string) string {
	for _, pair := range w.Environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

func migrateCommand(w *World) *cobra.Command {
	c := addJSON(&cobra.Command{
		Use: "migrate", Short: "Bring the data folder up to date with this program", Args: cobra.NoArgs,
		Long: "Bring the schemas in the data folder up to date with this program, making them if there are none.\n'kurz serve' does so by itself. A folder of a newer kurz is refused.",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := settings(w, c)
			if err != nil {
				return err
			}
			if err := backend.Migrate(c.Context(), &s.Settings); err != nil {
				return err
			}
			data, err := backend.OpenData(c.Context(), &s.Settings)
			if err != nil {
				return err
			}
			return closing(data, printSchemas(c, w, data))
		},
	})
	settingFlags(c, "DATA")
	return c
}

func printSchemas(c *cobra.Command, w *World, data *backend.Data) error {
	schemas, err := data.Schemas(c.Context())
	if err != nil {
		return err
	}
	if wantsJSON(c) {
		list := make([]map[string]any, 0, len(schemas))
		for _, s := range schemas {
			list = append(list, map[string]any{"file": s.File, "schema": s.Have})
		}
		return printJSON(w.Stdout, list)
	}
	for _, s := range schemas {
		if _, err := fmt.Fprintf(w.Stdout, "%s: schema %d\n", s.File, s.Have); err != nil {
			return err
		}
	}
	return nil
}
