package cluster_test

import (
	"os"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

const hasProcesses = true

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(Main(m))
}
