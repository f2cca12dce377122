package cluster_test

import (
	"flag"
	"os"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

const hasProcesses = true

func TestMain(m *testing.M) {
	proc.Init()
	flag.Parse()
	Patience = max(Patience, time.Duration(*poolCalls)*10*time.Millisecond) // two workers make a call in 1 ms
	os.Exit(Main(m))
}
