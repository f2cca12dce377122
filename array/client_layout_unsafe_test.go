package array

import (
	"testing"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
)

// TestClientLayout shows that the clients in other languages know the layout of an array.
func TestClientLayout(t *testing.T) {
	var h header
	clientlayout.Check(t, "array", map[string]uint64{
		"ARRAY_FORMAT":        format,
		"ARRAY_SIZE_OFFSET":   uint64(unsafe.Offsetof(h.size)),
		"ARRAY_LENGTH_OFFSET": uint64(unsafe.Offsetof(h.length)),
		"ARRAY_DATA":          dataOffset,
	})
	if unsafe.Offsetof(h.format) != 0 {
		t.Error("an array does not begin with its format")
	}
}
