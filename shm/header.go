package shm

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/bits"
	"structs"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/robust"
)

// A segment's memory:
//
//	0           header     see below; never changes once the segment has its name
//	128         parties    party.Words: the epoch moves when a party joins or dies
//	256         dirLock    the directory's lock; written by makers and removers of objects
//	384         words      of directory and allocator; written under dirLock
//	512         lines      1+parties lines of 128 bytes; each written by its party
//	            directory  entries of 640 bytes; written under dirLock
//	index       slots      of the names, uint32, four for each entry, from a multiple of 64 KiB on
//	base        objects    from a multiple of 64 KiB on
//	total
//
// The offset of each part follows from the counts in the header. Memory is reserved from the
// beginning for all parts up to the directory, later for the parts of the directory and the index
// that have ever been used, and for the objects.
//
// The header:
//
//	0   magic      8 bytes
//	8   version    uint32, layoutVersion
//	12  order      uint32, byteOrder as the maker's machine stores it
//	16  total      uint64, bytes of the file
//	24  parties    uint32
//	28  objects    uint32, entries of the directory
//	32  id         16 random bytes
//	48  sum        uint64, FNV-1a of the 48 bytes above

// words is the part of a segment from 128 to 512.
type words struct {
	_       structs.HostLayout
	party   party.Words
	dirLock robust.Words
	_       [lineSize - 16]byte
	dir     directoryWords
}

const (
	lineSize      = 128
	headerSize    = 56
	wordsOffset   = lineSize
	partiesOffset = 4 * lineSize

	layoutVersion = 3
	byteOrder     = 0x01020304
)

var magic = [8]byte{'m', 'p', ' ', 's', 'h', 'm', 0xF0, '\n'}

// A shape has the offsets and sizes of the parts of a segment.
type shape struct {
	parties   int // number of lines, one more than of parties
	entries   int // number of entries in the directory
	directory int // offset of the directory
	index     int // offset of the index
	slots     int // number of slots in the index, a power of two
	base      int // offset of the objects
	total     int // bytes of the segment
}

// shapeOf returns the shape of a segment with these limits and space bytes for objects.
func shapeOf(parties, objects, space int) shape {
	s := shape{parties: parties + 1, entries: objects}
	s.directory = partiesOffset + s.parties*party.LineSize
	s.index = roundUp(s.directory+s.entries*entrySize, pageUnit)
	s.slots = max(minSlots, 4<<bits.Len(uint(s.entries-1)))
	s.base = roundUp(s.index+4*s.slots, pageUnit)
	s.total = s.base + space
	return s
}

func newHeader(s shape, id ID) []byte {
	b := make([]byte, headerSize)
	copy(b, magic[:])
	binary.NativeEndian.PutUint32(b[8:], layoutVersion)
	binary.NativeEndian.PutUint32(b[12:], byteOrder)
	binary.NativeEndian.PutUint64(b[16:], uint64(s.total))
	binary.NativeEndian.PutUint32(b[24:], uint32(s.parties-1))
	binary.NativeEndian.PutUint32(b[28:], uint32(s.entries))
	copy(b[32:], id[:])
	binary.NativeEndian.PutUint64(b[48:], sumOf(b[:48]))
	return b
}

func sumOf(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// parseHeader checks b, the first bytes of a file of the given size, and returns the segment's
// shape and ID. b is shorter than a header if the file is.
func parseHeader(b []byte, size int64) (shape, ID, error) {
	var none shape
	var id ID
	if len(b) < len(magic) || [8]byte(b) != magic {
		return none, id, fmt.Errorf("%w: it does not begin as one; OpenBlock opens plain bytes", ErrForeign)
	}
	if len(b) < headerSize {
		return none, id, fmt.Errorf("%w: it has %d bytes, its header %d: %s", ErrTruncated, len(b), headerSize, remake)
	}
	if binary.NativeEndian.Uint32(b[12:]) != byteOrder {
		return none, id, fmt.Errorf("%w of this byte order: %s", ErrForeign, remake)
	}
	if v := binary.NativeEndian.Uint32(b[8:]); v != 0 && v != layoutVersion {
		return none, id, fmt.Errorf("%w: its layout is %d, this program knows %d: "+
			"open it with the program that made it, or %s", ErrVersion, v, layoutVersion, remake)
	}
	total := binary.NativeEndian.Uint64(b[16:])
	parties := binary.NativeEndian.Uint32(b[24:])
	objects := binary.NativeEndian.Uint32(b[28:])
	copy(id[:], b[32:])
	if binary.NativeEndian.Uint64(b[48:]) != sumOf(b[:48]) ||
		binary.NativeEndian.Uint32(b[8:]) == 0 ||
		parties < 1 || parties > maxParties || objects < 1 || objects > maxObjects ||
		total > maxSize {
		return none, id, errHeader
	}
	s := shapeOf(int(parties), int(objects), 0)
	if total <= uint64(s.base) {
		return none, id, errHeader
	}
	s.total = int(total)
	if size < int64(s.total) {
		return none, id, fmt.Errorf("%w: its file has %d of its %d bytes: %s", ErrTruncated, size, s.total, remake)
	}
	return s, id, nil
}

var errHeader = fmt.Errorf("%w: its header contradicts itself: %s", ErrCorrupt, remake)
