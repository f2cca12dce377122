package shm

import (
	"testing"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
)

// TestClientLayout shows that the clients in other languages know the layout of a segment.
func TestClientLayout(t *testing.T) {
	var e entry
	var w words
	clientlayout.Check(t, "shm", map[string]uint64{
		"LAYOUT_VERSION":    layoutVersion,
		"BYTE_ORDER":        byteOrder,
		"HEADER_SIZE":       headerSize,
		"DIRECTORY_MARK":    wordsOffset + uint64(unsafe.Offsetof(w.dir)) + uint64(unsafe.Offsetof(w.dir.mark)),
		"PARTIES_OFFSET":    partiesOffset,
		"MAX_OBJECTS":       maxObjects,
		"ENTRY_SIZE":        entrySize,
		"ENTRY_STATE":       uint64(unsafe.Offsetof(e.state)),
		"ENTRY_SERIAL":      uint64(unsafe.Offsetof(e.serial)),
		"ENTRY_KIND":        uint64(unsafe.Offsetof(e.kind)),
		"ENTRY_NAME_LENGTH": uint64(unsafe.Offsetof(e.nameLen)),
		"ENTRY_PRINT":       uint64(unsafe.Offsetof(e.print)),
		"ENTRY_OFFSET":      uint64(unsafe.Offsetof(e.offset)),
		"ENTRY_BYTES":       uint64(unsafe.Offsetof(e.size)),
		"ENTRY_HOLDS":       uint64(unsafe.Offsetof(e.holds)),
		"ENTRY_NAME":        uint64(unsafe.Offsetof(e.name)),
		"HOLD_WORDS":        holdWords,
		"STATE_READY":       uint64(stateReady),
		"MAX_NAME":          MaxObjectName,
		"KIND_PIPE":         uint64(KindPipe),
		"KIND_VALUE":        uint64(KindValue),
		"KIND_ARRAY":        uint64(KindArray),
		"KIND_BYTES":        uint64(KindBytes),
		"HANDLE_BYTES":      handleBytes,
	})
	if w.party.Epoch.Load() != 0 || unsafe.Offsetof(w.party) != 0 || wordsOffset != 128 {
		t.Error("the words of the party table do not begin at 128, as the section internal/party says")
	}
}
