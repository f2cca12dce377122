package lock

import (
	"testing"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
)

// TestClientLayout shows that the clients in other languages know where the lock of a guard is.
func TestClientLayout(t *testing.T) {
	var g guardWords
	clientlayout.Check(t, "internal/lock", map[string]uint64{"GUARD_LOCK": uint64(unsafe.Offsetof(g.lock))})
}
