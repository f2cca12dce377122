package shm

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// An ID identifies a segment: 16 random bytes, chosen when the segment is made and compared
// whenever it is opened by a handle.
type ID [16]byte

// String returns the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// A Kind is a kind of object. The Handle of a whole segment has KindSegment.
type Kind uint32

// The kinds of objects.
const (
	KindSegment Kind = iota
	KindLock
	KindPipe
	KindQueue
	KindRLock
	KindSemaphore
	KindBoundedSemaphore
	KindCondition
	KindEvent
	KindBarrier
	KindRWLock
	KindWaitGroup
	KindOnce
	KindValue
	KindArray
	KindBytes
	KindBroadcast
)

var kindNames = [...]string{
	KindSegment:          "segment",
	KindLock:             "lock",
	KindPipe:             "pipe",
	KindQueue:            "queue",
	KindRLock:            "reentrant lock",
	KindSemaphore:        "semaphore",
	KindBoundedSemaphore: "bounded semaphore",
	KindCondition:        "condition",
	KindEvent:            "event",
	KindBarrier:          "barrier",
	KindRWLock:           "readers-writer lock",
	KindWaitGroup:        "wait group",
	KindOnce:             "once",
	KindValue:            "value",
	KindArray:            "array",
	KindBytes:            "byte string",
	KindBroadcast:        "broadcast",
}

// String returns the kind's name.
func (k Kind) String() string {
	if uint64(k) < uint64(len(kindNames)) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint32(k))
}

// A Handle is the name of an object of a segment, or of a segment. It holds no pointer, so it can
// be sent anywhere: in a task's argument, in a struct, through a queue, or as text. It keeps
// nothing alive. The process that receives it opens the object with the package that made it.
//
// The zero Handle names nothing.
type Handle struct {
	Segment ID     // the segment
	Kind    Kind   // the kind of the object, or KindSegment
	Role    uint32 // the end of a pipe
	Entry   uint32 // the number of the object's entry in the directory
	Serial  uint32 // the entry's serial number, by which a removed object is not found again
	PID     uint32 // a process that had the segment mapped when the handle was made: a hint
	FD      uint32 // that process's descriptor of the segment: a hint, checked against Segment
}

const (
	handlePrefix = "mp1-"
	handleBytes  = 16 + 6*4
)

// String returns the text form of h, which UnmarshalText reads.
func (h Handle) String() string {
	var b [handleBytes]byte
	copy(b[:], h.Segment[:])
	for i, v := range []uint32{uint32(h.Kind), h.Role, h.Entry, h.Serial, h.PID, h.FD} {
		binary.LittleEndian.PutUint32(b[16+4*i:], v)
	}
	return handlePrefix + hex.EncodeToString(b[:])
}

// MarshalText implements encoding.TextMarshaler.
func (h Handle) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It fails with ErrHandle if text is not the
// result of String.
func (h *Handle) UnmarshalText(text []byte) error {
	var b [handleBytes]byte
	if len(text) != len(handlePrefix)+2*handleBytes || string(text[:len(handlePrefix)]) != handlePrefix {
		return notHandle(text)
	}
	if _, err := hex.Decode(b[:], text[len(handlePrefix):]); err != nil {
		return notHandle(text)
	}
	copy(h.Segment[:], b[:])
	v := func(i int) uint32 { return binary.LittleEndian.Uint32(b[16+4*i:]) }
	h.Kind, h.Role, h.Entry, h.Serial, h.PID, h.FD = Kind(v(0)), v(1), v(2), v(3), v(4), v(5)
	return nil
}

func notHandle(text []byte) error {
	return fmt.Errorf("read handle %.80q: %w: want %s and %d hexadecimal digits", text, ErrHandle, handlePrefix, 2*handleBytes)
}
