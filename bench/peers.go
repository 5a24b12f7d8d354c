//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// peers runs all contestants in turns under the loads of the contest's table.
func peers(ctx context.Context, l *lab) error {
	if err := l.install(ctx, "wrk", "wrk"); err != nil {
		return err
	}
	s, err := l.hot(ctx)
	if err != nil {
		return err
	}
	contestants, err := l.enter(ctx, l.links, nil, isNginx, isStandard, isNetHTTP, isFastHTTP, isExpress)
	if err != nil {
		return err
	}
	defer contestants.end()
	if err := l.warm(ctx, contestants); err != nil {
		return err
	}
	l.note("The table of loads: µs of server CPU per request, from the kernel's accounts of the server's processes; medians of %d rounds of %v in turns, in another order each, with the least and the most in brackets; below them the median of the ratios to nginx in the same round. All have the links in memory and write one line of access log, buffered (kurz: a click to its journal).", l.sideRounds(), l.sideLength())
	return l.table(ctx, append(contestants, kurzOn(s, l.links, func() {})),
		load{links: l.links}, load{links: l.links, zipf: true}, load{links: l.links, anew: true})
}

// warmUp is what a compiler at run time, such as Node's, takes to be done.
const warmUp = 4 * time.Second

// warm gives contestants a round that nobody measures.
func (l *lab) warm(ctx context.Context, contestants crowd) error {
	for _, c := range contestants {
		if _, err := l.shoot(ctx, c.url, c.pid, load{links: c.links}.script(0), warmUp, true); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// table plays loads for the contest's table.
func (l *lab) table(ctx context.Context, contestants crowd, loads ...load) error {
	for _, d := range loads {
		scores, err := l.play(ctx, contestants, d, l.sideRounds(), l.sideLength())
		if err != nil {
			return err
		}
		l.contest.enter(d, contestants, scores)
	}
	return nil
}

// tlsLinks are enough: what TLS costs does not depend on how many there are.
const tlsLinks = 1000

// overTLS runs those that speak TLS by themselves, with one certificate.
func overTLS(ctx context.Context, l *lab) error {
	if err := l.install(ctx, "wrk", "wrk"); err != nil {
		return err
	}
	l.stop()
	cert, err := newCertificate(l.dir)
	if err != nil {
		return err
	}
	contestants, err := l.enter(ctx, tlsLinks, cert, isNginx, isNetHTTP)
	if err != nil {
		return err
	}
	defer func() { contestants.end() }()
	kurz, err := l.startKurz(ctx, "few", tlsLinks, tlsLinks, cert)
	if err != nil {
		return err
	}
	contestants = append(contestants, kurz)
	l.note("TLS: an ECDSA certificate on P-256, the same for all; all but the first of wrk's new connections resume a session, as a browser's do.")
	return l.table(ctx, contestants, load{links: tlsLinks, tls: true}, load{links: tlsLinks, tls: true, anew: true})
}

// newCertificate makes a certificate for this run.
func newCertificate(dir string) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	p := &pair{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	return p, errors.Join(
		os.WriteFile(p.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

// fewLinks is what many are compared with.
const fewLinks = 1000

// many compares few links with as many as -many says.
func many(ctx context.Context, l *lab) error {
	if err := l.install(ctx, "wrk", "wrk"); err != nil {
		return err
	}
	l.stop()
	data, err := l.folder(ctx, "many", l.many)
	if err != nil {
		return err
	}
	if l.values["start"], err = l.startOn(ctx, data, l.many); err != nil {
		return err
	}
	few, err := l.startKurz(ctx, "few", fewLinks, fewLinks, nil)
	if err != nil {
		return err
	}
	defer few.end()
	hot := min(l.hotLinks, l.many)
	lot, err := l.startKurz(ctx, "many", l.many, hot, nil)
	if err != nil {
		return err
	}
	defer lot.end()
	occupied, err := memory(ctx, lot.kurz, hot)
	if err != nil {
		return err
	}
	fewNginx, err := l.enter(ctx, fewLinks, nil, isNginx)
	if err != nil {
		return err
	}
	defer fewNginx.end()
	lotNginx, err := l.enter(ctx, l.many, nil, isNginx)
	if err != nil {
		return err
	}
	defer lotNginx.end()
	contestants := append(append(crowd{few, lot}, fewNginx...), lotNginx...)
	scores, err := l.play(ctx, contestants, load{asked: hot}, l.sideRounds(), l.sideLength())
	if err != nil {
		return err
	}
	ours, theirs := scores[1], scores[0]
	l.values["links-10m"] = fmt.Sprintf("**%s ×**: %s with %s links, %s with %s", ours.cost.over(theirs.cost).format("%.2f", ""),
		ours.cost.format("%.1f", " µs"), thousands(float64(l.many)), theirs.cost.format("%.1f", " µs"), thousands(fewLinks))
	l.note("%s links: %s of them were followed before and are asked for; the server is resident with %s. For %s of the redirects a link was read from the store. With %s links: for %s.",
		thousands(float64(l.many)), thousands(float64(hot)), occupied, ours.loads.format("%.1f", " %"), thousands(fewLinks), theirs.loads.format("%.1f", " %"))
	for _, links := range []int{fewLinks, l.many} {
		l.contest.enter(load{asked: hot}.over(links), contestants, scores)
	}
	if len(lotNginx) == 0 {
		l.contest.put(load{asked: hot}.over(l.many), isNginx, "did not start")
	}
	return nil
}
