package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"kurz/internal/fault"
)

func TestCodeOf(t *testing.T) {
	taken := fault.New(fault.AliasTaken, "taken")
	tests := []struct {
		name string
		err  error
		want fault.Code
	}{
		{"nil", nil, ""},
		{"a fault", taken, fault.AliasTaken},
		{"wrapped", fmt.Errorf("create: %w", taken), fault.AliasTaken},
		{"joined", errors.Join(io.EOF, taken), fault.AliasTaken},
		{"a fault within a fault: the outer one", fault.Wrap(fault.Unavailable, taken, "down"), fault.Unavailable},
		{"anything else", io.EOF, fault.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fault.CodeOf(tt.err); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if tt.err != nil && !fault.Is(tt.err, tt.want) || fault.Is(tt.err, "OTHER") {
				t.Error("Is differs")
			}
		})
	}
}

func TestTheCauseIsForTheLogAlone(t *testing.T) {
	secret := errors.New("disk sda1 of host db-7")
	for _, err := range []error{secret, fault.Wrap(fault.Unavailable, secret, "Try again")} {
		f := fault.Of(err)
		if strings.Contains(f.Message, "sda1") {
			t.Errorf("%q shows its cause", f.Message)
		}
		if !strings.Contains(f.Error(), "sda1") || !errors.Is(f, secret) {
			t.Errorf("%q has lost its cause", f)
		}
	}
	if f := fault.Invalid("title", "must have at most %d bytes", 3); f.Code != fault.ValidationFailed ||
		len(f.Details) != 1 || f.Details[0] != (fault.Detail{Field: "title", Reason: "must have at most 3 bytes"}) {
		t.Errorf("%+v", f)
	}
}
