package main

import (
	"errors"
	"os"
	"strconv"
	"sync"
	"time"
)

// accessLog writes lines as nginx's format "combined" has them, buffered by
// 64 KB and written at least once a second, as nginx's are.
type accessLog struct {
	file *os.File
	stop chan struct{}

	mu    sync.Mutex
	lines []byte
	now   time.Time // to the second
	stamp string
}

const logBuffer = 64 << 10

func openLog(name string) (*accessLog, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	l := &accessLog{file: f, stop: make(chan struct{}), lines: make([]byte, 0, logBuffer+4096)}
	go l.keepFlushed()
	return l, nil
}

func (l *accessLog) keepFlushed() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.mu.Lock()
			_ = l.flush() // as for nginx, a log that can't be written stops no answer
			l.mu.Unlock()
		}
	}
}

// flush is called with mu held.
func (l *accessLog) flush() error {
	_, err := l.file.Write(l.lines)
	l.lines = l.lines[:0]
	return err
}

func (l *accessLog) close() error {
	close(l.stop)
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.flush(), l.file.Close())
}

// text is a string or bytes.
type text interface{ ~string | ~[]byte }

// note notes an answer.
func note[T text](l *accessLog, client string, method, path T, status int, referrer, agent T) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.now) >= time.Second {
		l.now = now.Truncate(time.Second)
		l.stamp = now.Format(" - - [02/Jan/2006:15:04:05 -0700] \"")
	}
	b := append(l.lines, client...)
	b = append(b, l.stamp...)
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, path...)
	b = append(b, " HTTP/1.1\" "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, " 0 \""...)
	b = append(b, dash(referrer)...)
	b = append(b, "\" \""...)
	b = append(b, dash(agent)...)
	l.lines = append(b, "\"\n"...)
	if len(l.lines) >= logBuffer {
		_ = l.flush()
	}
}

func dash[T text](value T) T {
	if len(value) == 0 {
		return T("-")
	}
	return value
}
