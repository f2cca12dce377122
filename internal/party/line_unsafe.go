package party

import (
	"structs"
	"sync/atomic"
	"unsafe"
)

// LineSize is the size of a line of the table in bytes.
const LineSize = 128

// A Line is one party's line of the table. A process may change it only while it holds the line's
// lock: the party itself, the parent that claims the line for a child that it is about to start,
// or the process that announces the party's death.
//
//	0   word   ID<<1 | alive
//	4   pid    the process in its own PID namespace, 0 while not known
//	8   ns     the process's PID namespace
//	16  quiet  1 + the oldest generation of closings that the party has not
//	           finished, 0 if there is none: see package shm
//	20  pad    to 128 bytes: lines have different writers
type Line struct {
	_     structs.HostLayout
	word  atomic.Uint32
	pid   atomic.Uint32
	ns    atomic.Uint64
	quiet atomic.Uint32
	_     [LineSize - 20]byte
}

const aliveBit = 1

var _ [LineSize]byte = [unsafe.Sizeof(Line{})]byte{}

// State returns what the line says: the ID of its last party, 0 if there was none, the party's
// process and PID namespace, and whether the party is marked alive.
func (l *Line) State() (id ID, pid uint32, ns uint64, alive bool) {
	w := l.word.Load()
	return wordID(w), l.pid.Load(), l.ns.Load(), w&aliveBit != 0
}

func aliveWord(id ID) uint32 { return uint32(id)<<1 | aliveBit }
func deadWord(id ID) uint32  { return uint32(id) << 1 }
func wordID(w uint32) ID     { return ID(w >> 1) }
