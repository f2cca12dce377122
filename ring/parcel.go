package ring

import (
	"fmt"
	"structs"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A parcel is the message of a slot of a broadcast if its values are encoded. It has the encoded
// value, or says where in the storage that lies. A subscriber may read it while a publisher of the
// next lap writes it: see internal/tear.
type parcel struct {
	_ structs.HostLayout
	address
	inline [parcelSize]byte
}

// An address says where the message of a parcel lies.
type address struct {
	_     structs.HostLayout
	first uint32 // index of its first block, if it is longer than parcelSize
	size  uint32 // its length in bytes
}

// parcelSize is the length of the longest message that lies in its slot. A slot has 128 bytes.
const parcelSize = 112

// broadcastStride returns the distance from one slot of a broadcast to the next in bytes.
func (f *form[T]) broadcastStride() int {
	if f.coding != nil {
		return strideOf[parcel]()
	}
	return strideOf[T]()
}

// storage returns the size of the storage for a broadcast in seg, whole blocks.
func (o *BroadcastOptions) storage(seg *shm.Segment) (int, error) {
	size := 0
	if o != nil {
		size = o.Storage
	}
	if size == 0 {
		size = defaultStorage(seg)
	}
	if size < 0 || size > maxObject {
		return 0, fmt.Errorf("%w: a storage of %d bytes", shm.ErrSize, size)
	}
	return size / blockSize * blockSize, nil
}
