package testkit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A Failure is an operation that fails.
type Failure struct {
	op, object string
	is         error
	do         func() error
}

// Fails returns the Failure of do. Its error names the operation op and the object as given, such
// as "value: Update" and value "best", and wraps the sentinel is.
func Fails(op, object string, is error, do func() error) Failure { return Failure{op, object, is, do} }

// Panics returns the operation that returns the error with which f panics.
func Panics(f func()) func() error {
	return func() error {
		switch v := PanicOf(f).(type) {
		case nil:
			return nil
		case error:
			return v
		default:
			return fmt.Errorf("panic with %T, want an error: %v", v, v)
		}
	}
}

// CheckFailures runs the operations and prints a table of their errors. It checks that each error
// names its operation and object, and wraps its sentinel.
func CheckFailures(t *testing.T, failures ...Failure) {
	t.Helper()
	var table strings.Builder
	for _, f := range failures {
		err := f.do()
		fmt.Fprintf(&table, "\n%-32s| %v\n%-32s|   is %q", f.op, err, "", f.is)
		switch {
		case err == nil:
			t.Errorf("%s of %s did not fail", f.op, f.object)
		case !errors.Is(err, f.is):
			t.Errorf("%s of %s: error %q does not wrap %q", f.op, f.object, err, f.is)
		case !strings.Contains(err.Error(), f.op) || !strings.Contains(err.Error(), f.object):
			t.Errorf("error %q does not name the operation %q and the object %q", err, f.op, f.object)
		}
	}
	t.Log(table.String())
}
