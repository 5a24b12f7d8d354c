//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// cpu gives the CPU time that a process and its children have used, so far.
func cpu(pid int) (time.Duration, error) {
	total, err := ticks(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range children(pid) {
		t, err := ticks(child)
		if err != nil {
			return 0, err
		}
		total += t
	}
	return time.Duration(total) * (time.Second / 100), nil // USER_HZ is 100
}

func ticks(pid int) (int64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return user + system, err
}

// cpuTicks are the machine's CPU times, in ticks, since it started.
type cpuTicks struct{ all, stolen float64 }

// machineTicks reads the first line of /proc/stat; see proc_stat(5).
func machineTicks() (cpuTicks, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTicks{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return cpuTicks{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var t cpuTicks
	for i, field := range fields[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return cpuTicks{}, err
		}
		t.all += n
		if i == 7 {
			t.stolen = n
		}
	}
	return t, nil
}

func (t cpuTicks) since(then cpuTicks) cpuTicks {
	return cpuTicks{all: t.all - then.all, stolen: t.stolen - then.stolen}
}

// stolenShare is the part of the time in which a core had work and the host of
// this virtual machine ran somebody else.
func (t cpuTicks) stolenShare() float64 {
	if t.all == 0 {
		return 0
	}
	return t.stolen / t.all
}

// stat gives the fields of /proc/PID/stat from the third, the state, on.
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The second field is a name in brackets and may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields, nil
}

func children(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields, err := stat(child); err == nil && fields[1] == strconv.Itoa(pid) {
			found = append(found, child)
		}
	}
	return found
}

// resident gives the memory of a process that is in RAM: all of it, the part that
// is not backed by files, and the most that it ever was.
func resident(pid int) (all, anonymous, most float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			all = kb * 1024 / 1e6
		case "RssAnon:":
			anonymous = kb * 1024 / 1e6
		case "VmHWM:":
			most = kb * 1024 / 1e6
		}
	}
	return all, anonymous, most, nil
}
