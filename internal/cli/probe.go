package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kurz/internal/backend"
)

// probeTime bounds a question to a server.
const probeTime = 5 * time.Second

func healthCommand(w *World) *cobra.Command {
	c := addJSON(&cobra.Command{
		Use: "health", Short: "Ask the running server whether it is ready", Args: cobra.NoArgs,
		Long: "Ask the server that runs on the data folder (or the one at --server) whether it is ready,\nand print its answer: a line for each thing it depends on. Fails unless all are well.",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := settings(w, c)
			if err != nil {
				return err
			}
			var status int
			var text string
			if s.Server != "" {
				status, text, err = ask(c.Context(), http.DefaultTransport, s.Server+"/health/ready")
			} else {
				var at backend.Serving
				if at, err = backend.ReadServing(s.Data); errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("no server runs on %s: start 'kurz serve', or name the folder with --data", s.Data)
				}
				if err == nil {
					status, text, err = askServing(c.Context(), at)
				}
			}
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				err = printJSON(w.Stdout, healthOf(status, text))
			} else {
				_, err = io.WriteString(w.Stdout, text)
			}
			if err != nil {
				return err
			}
			if status != http.StatusOK {
				return fmt.Errorf("the server is not ready: it answered %d", status)
			}
			return nil
		},
	})
	settingFlags(c, "DATA", "SERVER")
	return c
}

// health is a server's answer as JSON.
type health struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"`
}

func healthOf(status int, text string) health {
	h := health{status == http.StatusOK, map[string]string{}}
	for line := range strings.Lines(text) {
		if name, said, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			h.Checks[name] = said
		}
	}
	return h
}

// askServing asks the server of a data folder for its readiness, at the address
// it listens on rather than the one that people use.
func askServing(ctx context.Context, s backend.Serving) (int, string, error) {
	if len(s.Listen) == 0 {
		return 0, "", errors.New("the server does not say where it listens")
	}
	base := s.Base()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			network, address := dialable(s.Listen[0])
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		// Whoever listens there was read from our own folder; whether its
		// certificate is good for others is not the question here.
		TLSClientConfig: &tls.Config{ServerName: base.Hostname(), InsecureSkipVerify: true},
	}
	scheme := "http"
	if s.TLS {
		scheme = "https"
	}
	return ask(ctx, transport, scheme+"://"+base.Host+"/health/ready")
}

// dialable gives where to reach a listener: one for all addresses is reached on
// the loopback address.
func dialable(listen string) (network, address string) {
	network, address, _ = strings.Cut(listen, ":")
	host, port, err := net.SplitHostPort(address)
	if network != "tcp" || err != nil {
		return network, address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return network, net.JoinHostPort(host, port)
}

// ask gets a page of plain text.
func ask(ctx context.Context, transport http.RoundTripper, address string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if _, err := url.Parse(address); err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, string(text), err
}
