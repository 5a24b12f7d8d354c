package edge_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"kurz/internal/edge"
)

// certificate writes a self-signed certificate for the name and its key.
func certificate(t *testing.T, certFile, keyFile, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{certFile, "CERTIFICATE", der}, {keyFile, "PRIVATE KEY", keyDER}} {
		if f.path == "" {
			continue
		}
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// files gives the paths of a fresh certificate and key.
func files(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, certFile, keyFile, name)
	return certFile, keyFile
}

// insecure trusts anyone: the tests look at the certificate themselves.
func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

func TestTLS(t *testing.T) {
	s := settings(t)
	certFile, keyFile := files(t, "kurz.example")
	s.TLS = &edge.TLS{CertFile: certFile, KeyFile: keyFile}
	addr := serve(t, s)
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: insecure(), ForceAttemptHTTP2: http2}
		for _, c := range []struct {
			method, path string
			status       int
		}{{"GET", "/found", 302}, {"HEAD", "/found", 302}, {"GET", "/nothing", 404}, {"GET", "/api", 200}, {"GET", "/broken", 500}} {
			r, err := http.NewRequestWithContext(t.Context(), c.method, "https://"+addr+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != c.status || (resp.ProtoMajor == 2) != http2 {
				t.Errorf("%s %s: %s %d", c.method, c.path, resp.Proto, resp.StatusCode)
			}
			if c.status >= 400 {
				errorOf(t, resp, string(body))
			}
			if got := resp.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
				t.Errorf("HSTS %q", got)
			}
		}
		transport.CloseIdleConnections()
	}

	// Bytes that are no request are answered over TLS too.
	c, err := tls.Dial("tcp", addr, insecure())
	if err != nil {
		t.Fatal(err)
	}
	all, bodies := answers(t, send(t, c, "garbage\r\n\r\n"), 1)
	if e := errorOf(t, all[0], bodies[0]); e.Code != "BAD_REQUEST" {
		t.Errorf("got %+v", e)
	}
	// And so are requests without TLS.
	all, bodies = answers(t, send(t, dial(t, addr), "GET /found HTTP/1.1\r\nHost: a\r\n\r\n"), 1)
	if e := errorOf(t, all[0], bodies[0]); e.Code != "BAD_REQUEST" || !strings.Contains(e.Message, "https://") {
		t.Errorf("got %+v", e)
	}
	// Anything else is hung up on.
	if got := send(t, dial(t, addr), "\x00\x01\x02\x03\x04\x05\x06"); strings.Contains(got, "HTTP") {
		t.Errorf("got %q", got)
	}
}

// commonName asks a server for its certificate's name.
func commonName(t *testing.T, addr string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, insecure())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificateIsReplaced(t *testing.T) {
	certFile, keyFile := files(t, "one.example")
	s, l := settings(t), &lines{}
	s.TLS = &edge.TLS{CertFile: certFile, KeyFile: keyFile}
	s.Logger = logger(l)
	var clock atomic.Int64
	s.Now = func() time.Time { return noon.Add(time.Duration(clock.Add(1)) * time.Minute) }
	addr := serve(t, s)
	if got := commonName(t, addr); got != "one.example" {
		t.Fatalf("certificate of %s", got)
	}
	certificate(t, certFile, "", "two.example") // its key comes later
	for range 3 {
		if got := commonName(t, addr); got != "one.example" {
			t.Errorf("half a change was taken: %s", got)
		}
	}
	if n := strings.Count(l.String(), "not usable"); n != 1 {
		t.Errorf("warned %d times", n)
	}
	certificate(t, certFile, keyFile, "three.example")
	if got := commonName(t, addr); got != "three.example" {
		t.Errorf("certificate of %s", got)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if got := commonName(t, addr); got != "three.example" {
		t.Errorf("certificate of %s", got)
	}
}

func TestTLSThatCannotBegin(t *testing.T) {
	certFile, _ := files(t, "one.example")
	_, otherKey := files(t, "two.example")
	for name, s := range map[string]*edge.TLS{
		"no files":          {CertFile: "/no/such/file", KeyFile: "/no/such/file"},
		"key of another":    {CertFile: certFile, KeyFile: otherKey},
		"files and ACME":    {CertFile: certFile, KeyFile: otherKey, ACME: &edge.ACME{Domains: []string{"a.example"}, CacheDir: "x"}},
		"ACME, no domain":   {ACME: &edge.ACME{CacheDir: "x"}},
		"ACME, no folder":   {ACME: &edge.ACME{Domains: []string{"a.example"}}},
		"nothing said":      {},
		"certificate alone": {CertFile: certFile},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			with := settings(t)
			with.TLS = s
			if err := edge.New(with).Serve(t.Context(), l); err == nil {
				t.Error("serves")
			}
		})
	}
}

// TestACME gets a certificate from a real authority (Pebble) that checks
// control of the domain on the very port that serves.
func TestACME(t *testing.T) {
	for name, value := range map[string]string{
		"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0",
	} {
		t.Setenv(name, value)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	directory, root := authority(t, addr.Port)

	s, cache := settings(t), t.TempDir()
	s.TLS = &edge.TLS{ACME: &edge.ACME{
		Domains: []string{"kurz.example"}, CacheDir: cache, Email: "a@kurz.example",
		DirectoryURL: directory.URL + wfe.DirectoryPath, HTTPClient: directory.Client(),
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- edge.New(s).Serve(ctx, l) }()

	c, err := tls.Dial("tcp", addr.String(), &tls.Config{ServerName: "kurz.example", RootCAs: root})
	if err != nil {
		t.Fatal(err)
	}
	raw := send(t, c, "GET /found HTTP/1.1\r\nHost: kurz.example\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(raw, "HTTP/1.1 302 ") {
		t.Errorf("got %q", raw)
	}
	if c, err := tls.Dial("tcp", addr.String(), &tls.Config{ServerName: "other.example", RootCAs: root}); err == nil {
		c.Close()
		t.Error("a certificate for a domain that is not configured")
	}
	if kept, err := os.ReadDir(cache); err != nil || len(kept) < 2 {
		t.Errorf("%d files kept, %v", len(kept), err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// awaitDNS waits until a server answers.
func awaitDNS(t *testing.T, server string) {
	t.Helper()
	ask := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		_, err := ask.LookupNetIP(ctx, "ip4", "kurz.example.")
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// freeAddr is an address that nobody uses, neither over UDP nor over TCP. A
// name server takes both.
func freeAddr(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addr := l.Addr().String()
		if c, err := net.ListenPacket("udp", addr); err == nil {
			c.Close()
			return addr
		}
	}
}

// authority starts Pebble. Every name is this machine to it, where tlsPort is
// HTTPS's.
func authority(t *testing.T, tlsPort int) (directory *httptest.Server, root *x509.CertPool) {
	t.Helper()
	said := &lines{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the authority said:\n%s", said)
		}
	})
	logger := log.New(said, "", log.Lmicroseconds)
	resolver := freeAddr(t)
	dns, err := challtestsrv.New(challtestsrv.Config{Log: logger, DNSAddrs: []string{resolver}})
	if err != nil {
		t.Fatal(err)
	}
	dns.SetDefaultDNSIPv6("")
	go dns.Run()
	t.Cleanup(dns.Shutdown)
	awaitDNS(t, resolver)

	store := db.NewMemoryStore()
	issuer := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	checker := va.New(logger, 0, tlsPort, false, resolver, store)
	front := wfe.New(logger, store, checker, issuer, []string{"kurz.example"}, false, false, 0, 0)
	directory = httptest.NewTLSServer(front.Handler())
	t.Cleanup(directory.Close)
	root = x509.NewCertPool()
	if !root.AppendCertsFromPEM(bytes.TrimSpace(issuer.GetRootCert(0).PEM())) {
		t.Fatal("no root certificate")
	}
	return directory, root
}
