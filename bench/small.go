//go:build linux

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"kurz/test/program"
	"kurz/test/wire"
)

// released measures the program as it is released.
func released(_ context.Context, l *lab) error {
	info, err := os.Stat(l.binary)
	if err != nil {
		return err
	}
	f, err := elf.Open(l.binary)
	if err != nil {
		return err
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	build, err := buildinfo.ReadFile(l.binary)
	if err != nil {
		return err
	}
	kind := "static"
	if len(libraries) > 0 {
		kind = fmt.Sprintf("needs %v", libraries)
	}
	for _, s := range build.Settings {
		if s.Key == "CGO_ENABLED" && s.Value != "0" {
			kind += ", cgo"
		} else if s.Key == "CGO_ENABLED" {
			kind += ", no cgo"
		}
	}
	l.values["binary"] = fmt.Sprintf("%.1f MB, %s", float64(info.Size())/1e6, kind)
	l.say("   %s", l.values["binary"])
	return nil
}

// idle measures a server on an empty folder that has nothing to do.
func idle(ctx context.Context, l *lab) error {
	s, err := l.start(ctx, filepath.Join(l.dir, "idle"), false)
	if err != nil {
		return err
	}
	defer l.stop()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	all, anonymous, _, err := resident(s.Pid())
	l.values["memory-idle"] = fmt.Sprintf("%.0f MB, %.0f MB of it not backed by files", all, anonymous)
	l.say("   %s", l.values["memory-idle"])
	return err
}

// startUp measures how soon a server on all links redirects.
func startUp(ctx context.Context, l *lab) error {
	data, err := l.all(ctx)
	if err != nil {
		return err
	}
	l.values["start"], err = l.startOn(ctx, data, l.links)
	return err
}

// startOn measures from the start of the process to the first byte of its
// first redirect, after an orderly end, with the files in the page cache.
func (l *lab) startOn(ctx context.Context, data string, links int) (string, error) {
	defer l.stop()
	var took sample
	for range max(l.rounds, 5) {
		l.stop()
		first, err := l.startAndAsk(ctx, data)
		if err != nil {
			return "", err
		}
		took = append(took, ms(first))
	}
	text := fmt.Sprintf("%s with %s links", took.format("%.0f", " ms"), thousands(float64(links)))
	l.say("   %s", text)
	return text, nil
}

// startAndAsk makes a server on a folder the lab's, and says how long it took
// from the start of the process to its first redirect.
func (l *lab) startAndAsk(ctx context.Context, data string) (time.Duration, error) {
	addr, err := program.FreeAddr()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	first := make(chan error, 1)
	var answered time.Time
	go func() {
		var err error
		answered, err = firstRedirect(ctx, addr, codeOf(0), began.Add(2*time.Minute))
		first <- err
	}()
	if l.server, err = l.launch(ctx, program.Options{Data: data, Addr: addr}, false); err != nil {
		return 0, err
	}
	err = <-first
	return answered.Sub(began), err
}

// firstRedirect tries until a redirect is answered, and says when.
func firstRedirect(ctx context.Context, addr, code string, until time.Time) (time.Time, error) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	request := wire.AppendGet(nil, addr, "/"+code)
	for {
		conn, err := wire.Dial(ctx, addr)
		if err == nil {
			var r wire.Response
			r, err = conn.Do(request)
			conn.Close()
			if err == nil && r.Status == 302 {
				return time.Now(), nil
			}
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return time.Time{}, errors.Join(err, ctx.Err(), errors.New("no redirect"))
		}
		<-ticker.C
	}
}

// kills runs the proof of e2e and takes its summary.
func kills(ctx context.Context, l *lab) error {
	said, err := l.proof(ctx, "./e2e", "^TestKill$", `kill: (.*)`, "KURZ_KILLS="+strconv.Itoa(l.kills))
	l.values["kills"] = strings.Join(said, "; ")
	return err
}

// powerCuts runs the proofs that cut the power of a disk, and takes their
// summaries.
func powerCuts(ctx context.Context, l *lab) error {
	setting := "KURZ_CUTS=" + strconv.Itoa(l.cuts)
	said, err := l.proof(ctx, "./e2e", "^TestPowerCut$", `power cut (.*); the disk: `, setting)
	l.values["powercut"] = strings.Join(said, "<br>")
	if err != nil {
		return err
	}
	said, err = l.proof(ctx, "./internal/journal", "^TestPowerCut$", `power cut: (.*); `, setting)
	l.values["powercut-journal"] = strings.Join(said, "<br>")
	return err
}

// damage runs the proof of damaged journals and takes its summaries.
func damage(ctx context.Context, l *lab) error {
	said, err := l.proof(ctx, "./internal/journal", "^TestPumped", `damage: (.*)`, "KURZ_DAMAGE=all")
	l.values["damage"] = strings.Join(said, "<br>")
	return err
}

// fullDisk runs the proof of a full disk and takes its summary.
func fullDisk(ctx context.Context, l *lab) error {
	said, err := l.proof(ctx, "./e2e", "^TestFullDiskOfClicks$", `full disk: (.*)`)
	l.values["full-disk"] = strings.Join(said, "; ")
	return err
}

// proof runs tests and gives what they say of themselves.
func (l *lab) proof(ctx context.Context, folder, tests, summary string, settings ...string) ([]string, error) {
	command := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-timeout", "2h", "-run", tests, folder)
	command.Env = append(append(os.Environ(), "REQUIRE_BACKENDS=1"), settings...)
	out, err := command.CombinedOutput()
	var said []string
	for _, m := range regexp.MustCompile(summary).FindAllSubmatch(out, -1) {
		said = append(said, string(m[1]))
		l.say("   %s", m[1])
	}
	if len(said) == 0 {
		err = errors.Join(err, fmt.Errorf("the proof printed no summary: %s", bytes.TrimSpace(out)))
	}
	return said, err
}
