package rfc9112

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Patience is how long an answer may take.
const Patience = 10 * time.Second

// Play sends a case on a connection that is fit for it, and tells how what came
// back is not what the RFC wants.
func (c Case) Play(conn net.Conn) error {
	raw, want := c.Raw, c.Answers
	if !c.Ends {
		raw, want = raw+Next, slices.Concat(want, []string{"302 next"})
	}
	answers, err := Exchange(conn, raw, c.Stops)
	if err != nil {
		return err
	}
	var got []string
	for i, a := range answers {
		text := strconv.Itoa(a.Status)
		if id := a.Header.Get("X-Request-Id"); i < len(want) && strings.Contains(want[i], " ") {
			text += " " + id
		} else if id == "" {
			return fmt.Errorf("answer %d has no X-Request-Id", i+1)
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("answered %q, want %q", got, want)
	}
	return nil
}

// Answer is the head of an answer.
type Answer struct {
	Status int
	Header http.Header
}

// Exchange sends bytes, and with stops the end of all bytes, and reads answers
// until the server ends the connection, which it has to; a server that hangs up
// in the middle of an answer, or says something else behind it, is an error.
func Exchange(conn net.Conn, raw string, stops bool) ([]Answer, error) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	// Who has seen enough need not read the rest.
	_, _ = io.WriteString(conn, raw)
	if half, ok := conn.(interface{ CloseWrite() error }); ok && stops {
		_ = half.CloseWrite()
	}
	var answers []Answer
	for r := bufio.NewReader(conn); ; {
		if _, err := r.Peek(1); errors.Is(err, io.EOF) {
			return answers, nil
		}
		a, err := read(r)
		if err != nil {
			return nil, fmt.Errorf("after %d answers: %w", len(answers), err)
		}
		answers = append(answers, a)
	}
}

// read reads an answer, whole.
func read(r *bufio.Reader) (Answer, error) {
	a, err := http.ReadResponse(r, nil)
	if err != nil {
		return Answer{}, err
	}
	defer a.Body.Close()
	_, err = io.Copy(io.Discard, a.Body)
	return Answer{a.StatusCode, a.Header}, err
}
