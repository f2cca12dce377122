package robust

import (
	"testing"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
)

// TestClientLayout shows that the clients in other languages know the layout of a lock.
func TestClientLayout(t *testing.T) {
	var w Words
	clientlayout.Check(t, "internal/robust", map[string]uint64{
		"LOCK_GRANTED":    granted,
		"LOCK_HEIR_SHIFT": heirShift,
		"LOCK_GATE":       uint64(unsafe.Offsetof(w.gate)),
	})
	if unsafe.Offsetof(w.word) != 0 || owned(1) != 2 {
		t.Error("a lock does not begin with its word, or the owner is elsewhere in it")
	}
}
