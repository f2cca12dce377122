package value

import (
	"testing"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
)

// TestClientLayout shows that the clients in other languages know the layout of a value.
func TestClientLayout(t *testing.T) {
	var h header
	clientlayout.Check(t, "value", map[string]uint64{
		"VALUE_FORMAT":        format,
		"VALUE_COPIES_OFFSET": uint64(unsafe.Offsetof(h.copies)),
		"VALUE_SIZE_OFFSET":   uint64(unsafe.Offsetof(h.size)),
		"VALUE_STRIDE_OFFSET": uint64(unsafe.Offsetof(h.stride)),
		"VALUE_GATE":          uint64(unsafe.Offsetof(h.gate)),
		"VALUE_WRITER":        writerOffset,
		"VALUE_WORD":          wordOffset,
		"VALUE_COPIES_BASE":   copiesOffset,
		"VALUE_COPIES":        copies,
	})
	if unsafe.Offsetof(h.format) != 0 {
		t.Error("a value does not begin with its format")
	}
}
