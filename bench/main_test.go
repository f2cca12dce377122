package bench

import (
	"fmt"
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/proc"
)

func TestMain(m *testing.M) {
	proc.Init()
	// Under the race detector, a process sleeps for a second before it exits unless told not to.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	code := m.Run()
	for p := range proc.Children() {
		fmt.Fprintf(os.Stderr, "child left behind: %s, pid %d\n", p.Name(), p.PID())
		code = 1
	}
	os.Exit(code)
}
