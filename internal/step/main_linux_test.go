package step_test

import (
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(testkit.Main(m))
}
