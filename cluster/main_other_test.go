//go:build !linux

package cluster_test

import (
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/leak"
	"github.com/seed-2e7ecdea/mp/proc"
)

const hasProcesses = false

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(leak.Check(m))
}
