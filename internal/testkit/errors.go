package testkit

import (
	"errors"
	"strings"
	"testing"
)

// WantFailure prints a line of a table of errors: the operation, and the error that it returned. It
// fails the test if the error does not name the operation and the object, or does not wrap the
// sentinel is.
func WantFailure(t *testing.T, op, object string, err, is error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s does not fail", op)
		return
	}
	text := err.Error()
	t.Logf("%-18s %s", op, text)
	if !errors.Is(err, is) {
		t.Errorf("%s: %q does not wrap %q", op, text, is)
	}
	if !strings.Contains(text, op) || !strings.Contains(text, object) {
		t.Errorf("%s: %q does not name the operation and %s", op, text, object)
	}
}
