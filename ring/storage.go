package ring

import (
	"errors"
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/tear"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A storage holds the messages of a queue or broadcast that are longer than a slot. It is an array of
// blocks. A message lies in a list of blocks, which begins in its slot. How a broadcast uses it is
// told at broadcastWords.
//
// A block belongs to a position of the queue: its mark names the slot and the lap. Only the process
// that has claimed the position for writing sets that mark, after the claim. A block is stale if its
// position is over: the slot has no message any more, or one of another lap. Whoever finds a stale
// block may free it, because a position never comes again. So it does not matter where a process is
// killed:
//
//	put: 1  claim the slot                  as in every queue
//	     2  CAS 0 -> mark, for each block   killed: the position is given up, and the blocks are stale
//	     3  copy, publish the slot          the blocks belong to the message
//	get: 1  claim the slot, copy            killed: another getter takes the message
//	     2  free the slot                   the blocks are stale from here on
//	     3  CAS mark -> 0, for each block   killed: a putter that needs space frees the rest
//
// Blocks are taken from the lowest free one on, so that little memory is used, and memory is reserved
// only when no block that has memory is free.
type storage struct {
	o      object.Object
	at     int // offset of the blocks in the object
	w      *storageWords
	blocks []block
	torn   bool // a message may be overwritten while it is read: see internal/tear
}

// storageWords are what is shared about a storage, beside its blocks.
//
//	0    units    number of blocks; written when the object is made
//	4    backed   blocks that have memory; grows
//	8    waiters  gate of the putters that wait for blocks, or for a slot for a message in blocks
//	64   low      where to look for a free block: a hint
type storageWords struct {
	_       structs.HostLayout
	units   atomic.Uint32
	backed  atomic.Uint32
	waiters wait.Gate
	_       [48]byte
	low     atomic.Uint32
	_       [60]byte
}

// A block holds a part of a message.
type block struct {
	_    structs.HostLayout
	mark atomic.Uint64 // 0: the block is free
	next atomic.Uint32 // index of the message's next block
	_    [4]byte
	data [blockData]byte
}

const (
	storageHead = 128
	blockSize   = 1 << 10
	blockData   = blockSize - 16
	growAtLeast = 64 // blocks that get memory at one time
)

// markOf returns the mark of the blocks of a position.
func markOf(pos position) uint64 { return uint64(pos.lap())<<31 | uint64(pos.slot())<<1 | 1 }

// markedPosition returns the position of a mark.
func markedPosition(mark uint64) position {
	return positionAt(uint32(mark>>31)&lapMask, uint32(mark>>1)&(maxSlots-1))
}

// blocksFor returns how many blocks a message of n bytes needs.
func blocksFor(n int) int { return (n + blockData - 1) / blockData }

// alignStorage returns the first offset from end on at which a storage may lie.
func alignStorage(end int) int { return (end + storageHead - 1) / storageHead * storageHead }

// open opens the storage at offset off of o.
func (s *storage) open(o object.Object, off int) error {
	mem := o.Bytes()
	if len(mem)-off < storageHead {
		return fmt.Errorf("ring: storage at %d of %d bytes: %w", off, len(mem), ErrCorrupt)
	}
	s.o, s.at, s.w = o, off+storageHead, view.At[storageWords](mem, off)
	units := s.w.units.Load()
	if uint64(units) > uint64(len(mem)-s.at)/blockSize {
		return fmt.Errorf("ring: storage of %d blocks in %d bytes: %w", units, len(mem)-s.at, ErrCorrupt)
	}
	s.blocks = view.Slice[block](mem, s.at, int(units))
	return nil
}

// capacity returns the length of the longest message that the storage can hold.
func (s *storage) capacity() int { return len(s.blocks) * blockData }

// inUse returns the blocks that have memory.
func (s *storage) inUse() []block { return s.blocks[:min(s.w.backed.Load(), s.units())] }

// units returns the number of blocks. Indexes in shared memory may be anything, so they are compared
// to it before they become an int.
func (s *storage) units() uint32 { return uint32(len(s.blocks)) }

// room makes sure that n blocks were free at some time during the call. It fails with ErrFull or
// shm.ErrNoSpace. stale tells whether a block with that mark may be freed.
func (s *storage) room(n int, stale func(mark uint64) bool) error {
	blocks := s.inUse()
	free := 0
	for i := min(s.w.low.Load(), uint32(len(blocks))); i < uint32(len(blocks)) && free < n; i++ {
		if blocks[i].mark.Load() == 0 {
			free++
		}
	}
	if free < n {
		free = s.collect(blocks, n, stale)
	}
	if free >= n {
		return nil
	}
	return s.grow(len(blocks), n-free)
}

// collect frees stale blocks, and returns the number of free blocks. It stops when there are n.
func (s *storage) collect(blocks []block, n int, stale func(mark uint64) bool) (free int) {
	for i := range blocks {
		b := &blocks[i]
		if m := b.mark.Load(); m != 0 && (!stale(m) || !b.mark.CompareAndSwap(m, 0)) {
			continue
		}
		if free == 0 {
			s.lower(uint32(i))
		}
		if free++; free == n {
			break
		}
	}
	return free
}

// grow reserves memory for n more blocks after the first backed ones.
func (s *storage) grow(backed, n int) error {
	if n > len(s.blocks)-backed {
		return ErrFull
	}
	more := min(max(n, backed/4, growAtLeast), len(s.blocks)-backed)
	err := s.o.Reserve(s.at+backed*blockSize, more*blockSize)
	if errors.Is(err, shm.ErrNoSpace) && more > n {
		more = n
		err = s.o.Reserve(s.at+backed*blockSize, n*blockSize)
	}
	if err != nil {
		return err
	}
	n = more
	if crash.Enabled {
		crash.At(crash.QueueStorageReserved) // reserved once more by the next one
	}
	for {
		now := s.w.backed.Load()
		if now >= uint32(backed+n) || s.w.backed.CompareAndSwap(now, uint32(backed+n)) {
			return nil
		}
	}
}

// take takes n blocks for a position and returns the first. If others took too many in the meantime,
// it frees those that it has taken and returns false.
func (s *storage) take(n int, mark uint64) (first uint32, ok bool) {
	blocks := s.inUse()
	low := s.w.low.Load()
	start := 0
	if low < uint32(len(blocks)) {
		start = int(low)
	}
	var last *block
	taken := 0
	for k := range blocks {
		i := start + k
		if i >= len(blocks) {
			i -= len(blocks)
		}
		b := &blocks[i]
		if b.mark.Load() != 0 || !b.mark.CompareAndSwap(0, mark) {
			continue
		}
		if last == nil {
			first = uint32(i)
		} else {
			last.next.Store(uint32(i))
		}
		if crash.Enabled {
			crash.At(crash.QueueStorageTaken) // stale, because the position is given up
		}
		last = b
		if taken++; taken == n {
			s.w.low.CompareAndSwap(low, uint32(i+1))
			return first, true
		}
	}
	s.give(first, taken, mark)
	return 0, false
}

// give frees the n blocks of a list from first on, as far as they have that mark: others may have
// freed them since they became stale.
func (s *storage) give(first uint32, n int, mark uint64) {
	lowest, end := first, uint32(len(s.inUse()))
	for i := first; n > 0 && i < end; n-- {
		b := &s.blocks[i]
		next := b.next.Load() // before another message may have the block
		if !b.mark.CompareAndSwap(mark, 0) {
			break
		}
		if crash.Enabled {
			crash.At(crash.QueueStorageGiven) // the others are stale; the death wakes the putters
		}
		lowest = min(lowest, i)
		i = next
	}
	s.lower(lowest)
}

// lower makes putters look for a free block from index i on.
func (s *storage) lower(i uint32) {
	for {
		low := s.w.low.Load()
		if i >= low || s.w.low.CompareAndSwap(low, i) {
			return
		}
	}
}

// write copies msg into the blocks of a list.
func (s *storage) write(first uint32, msg []byte) {
	end := uint32(len(s.inUse()))
	for i := first; len(msg) > 0 && i < end; {
		b := &s.blocks[i]
		n := min(len(msg), blockData)
		if s.torn {
			tear.StoreBytes(b.data[:n], msg[:n])
		} else {
			copy(b.data[:n], msg)
		}
		msg, i = msg[n:], b.next.Load()
	}
}

// read appends to dst the message of size bytes in the list of blocks from first on that have that
// mark. dst has the capacity for it.
func (s *storage) read(dst []byte, first uint32, size int, mark uint64) ([]byte, error) {
	end := uint32(len(s.inUse())) // what lies beyond has no memory
	for i := first; size > 0; {
		if i >= end || s.blocks[i].mark.Load() != mark {
			return dst, fmt.Errorf("%w: a message in storage", ErrCorrupt)
		}
		b := &s.blocks[i]
		n := min(size, blockData)
		if s.torn {
			dst = dst[:len(dst)+n]
			tear.LoadBytes(dst[len(dst)-n:], b.data[:n])
		} else {
			dst = append(dst, b.data[:n]...)
		}
		size, i = size-n, b.next.Load()
	}
	return dst, nil
}

// defaultStorage returns the size of the storage of an object in seg for which no size was given.
func defaultStorage(seg *shm.Segment) int {
	size, err := seg.Size()
	if err != nil {
		return 0 // New fails with the same error
	}
	return min(size/4, 1<<30)
}
