package shm

import (
	"errors"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/party"
)

// Errors of this package. A name that is taken is fs.ErrExist, one that is
// not there fs.ErrNotExist. All come wrapped: use errors.Is.
var (
	// ErrClosed means that the block, segment or object was closed. It is
	// os.ErrClosed.
	ErrClosed = os.ErrClosed
	// ErrName means that a name is not allowed.
	ErrName = errors.New("invalid name")
	// ErrSize means that a size or count is out of range.
	ErrSize = errors.New("invalid size")
	// ErrNoSpace means that the segment, or the system's memory (then the
	// error is also syscall.ENOSPC), has no room for what was asked.
	ErrNoSpace = errors.New("no space left")
	// ErrForeign means that a file is not a segment of mp, or one of a
	// machine with another byte order.
	ErrForeign = errors.New("not a segment")
	// ErrVersion means that a segment was made by another version of mp.
	ErrVersion = errors.New("segment has another layout")
	// ErrTruncated means that a segment's file is shorter than the segment.
	ErrTruncated = errors.New("segment is truncated")
	// ErrCorrupt means that a segment's bytes contradict each other.
	ErrCorrupt = errors.New("segment is corrupt")
	// ErrMismatch means that an object is of another kind or holds another
	// type than the one it was opened as.
	ErrMismatch = errors.New("object has another type")
	// ErrHandle means that text or bytes are not a handle.
	ErrHandle = errors.New("not a handle")
	// ErrUnreachable means that the segment of a handle can't be found: no
	// process that has it open can be looked into from here.
	ErrUnreachable = errors.New("segment can't be reached")
	// ErrParties means that as many processes as the segment has room for are
	// attached.
	ErrParties = party.ErrFull
	// ErrType means that a Go type can't lie in shared memory.
	ErrType = layout.ErrType
)
