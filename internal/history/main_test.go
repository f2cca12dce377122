//go:build linux

package history_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

// patience is the longest that a wait of the tests, or a check of a history, may take.
const patience = 30 * time.Second

var duration = flag.Duration("history.for", 600*time.Millisecond, "how long to record histories of each kind of object")

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(testkit.Main(m))
}

// within returns a context that ends when a test has waited too long.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("the test has waited too long"))
	t.Cleanup(cancel)
	return ctx
}

// must returns v, and fails the test if err is not nil.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantNil(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func closing[T interface{ Close() error }](t testing.TB, c T) T {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
