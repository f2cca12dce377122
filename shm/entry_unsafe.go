package shm

import (
	"encoding/binary"
	"math/bits"
	"structs"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// An entry of the directory describes an object.
//
//	0    state    stored last when the object is made
//	4    serial   the number of objects that this entry has been
//	8    kind
//	12   nameLen  0: no name
//	16   print    fingerprint of the type that the object holds
//	24   offset   from the start of the segment, a multiple of 128
//	32   size
//	40   next     of a free entry: 1 + the number of the next free one, 0 if none
//	48   holds    for each role, a bit for each line of the party table
//	432  name
//	552  pad      to a line of its own for what follows
//	576  counters of the waits for the object, written by all processes that wait; see wait.Counters
//
// All fields but holds and counters change only under the directory's lock. A bit of holds is set and cleared by
// the party of that line, or by its parent before the party runs. It counts only while the line is
// alive. All bits of a line are cleared before the line gets its next party. Role 0 is the use of
// the object's memory. The object's kind gives the other roles their meaning: they are the ends of
// a pipe.
type entry struct {
	_       structs.HostLayout
	state   atomic.Uint32
	serial  atomic.Uint32
	kind    atomic.Uint32
	nameLen atomic.Uint32
	print   atomic.Uint64
	offset  atomic.Uint64
	size    atomic.Uint64
	next    atomic.Uint32
	_       uint32
	holds   [roles][holdWords]atomic.Uint32
	name    [MaxObjectName / 4]atomic.Uint32 // atomic, as it may be read while it is written
	_       [24]byte
	counts  wait.Counters
}

const (
	entrySize = 640
	roles     = 3
	holdWords = (maxParties + 1) / 32

	// MaxObjectName is the largest length of an object's name, in bytes.
	MaxObjectName = 120
)

var _ [entrySize]byte = [unsafe.Sizeof(entry{})]byte{}

// The states of an entry. An entry that is MAKING while no party has the directory's lock was left
// by a maker that died. A REMOVED object can't be found by its name any more. It is freed when no
// living party holds its memory.
const (
	stateFree uint32 = iota
	stateMaking
	stateReady
	stateRemoved
)

// setName stores the name. The caller holds the directory's lock, and the entry is FREE.
func (e *entry) setName(name string) {
	var b [MaxObjectName]byte
	e.nameLen.Store(uint32(copy(b[:], name)))
	for i := range e.name {
		set(&e.name[i], binary.NativeEndian.Uint32(b[4*i:]))
	}
}

// set stores v in w unless w has that value already. A load is much cheaper than an atomic store.
func set(w *atomic.Uint32, v uint32) {
	if w.Load() != v {
		w.Store(v)
	}
}

func (e *entry) objectName() string {
	var b [MaxObjectName]byte
	n := min(e.nameLen.Load(), MaxObjectName)
	for i := range (n + 3) / 4 {
		binary.NativeEndian.PutUint32(b[4*i:], e.name[i].Load())
	}
	return string(b[:n])
}

// ready reports whether the entry has an object with that serial number.
func (e *entry) ready(serial uint32) bool {
	return e.state.Load() == stateReady && e.serial.Load() == serial
}

func (e *entry) hold(role, line int) { e.holds[role][line/32].Or(1 << (line % 32)) }
func (e *entry) drop(role, line int) {
	if w, bit := &e.holds[role][line/32], uint32(1)<<(line%32); w.Load()&bit != 0 {
		w.And(^bit)
	}
}

// held reports whether a living party holds role. It reads a bit again after it has found the party
// alive: the bit may have been that of a dead party, whose line a new one has cleaned and taken since.
func (e *entry) held(role int, alive func(line int) bool) bool {
	for i := range e.holds[role] {
		word := &e.holds[role][i]
		for w := word.Load(); w != 0; w &= w - 1 {
			bit := bits.TrailingZeros32(w)
			if alive(i*32+bit) && word.Load()&(1<<bit) != 0 {
				return true
			}
		}
	}
	return false
}
