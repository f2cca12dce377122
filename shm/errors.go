package shm

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/party"
)

// The errors of this package. All of them come wrapped: use errors.Is. The error is fs.ErrExist if
// a name is taken, and fs.ErrNotExist if nothing has the name.
var (
	// ErrClosed means that this process has closed the block, segment or object. It is
	// os.ErrClosed.
	ErrClosed = os.ErrClosed
	// ErrName means that a name is not allowed.
	ErrName = errors.New("invalid name")
	// ErrSize means that a size, a count or an offset is out of range.
	ErrSize = errors.New("invalid size")
	// ErrPolicy means that a WaitPolicy is none of the constants.
	ErrPolicy = errors.New("unknown wait policy")
	// ErrNoSpace means that there is no space in the segment, no entry in its directory, no memory
	// in the system, or no address space in this process. If the system has no memory, the error is
	// also syscall.ENOSPC.
	ErrNoSpace = errors.New("no space left")
	// ErrForeign means that a file is not a segment of mp, or was made on a machine with another
	// byte order.
	ErrForeign = errors.New("not a segment")
	// ErrVersion means that a segment or an object was made by a version of mp that lays it out in
	// another way.
	ErrVersion = errors.New("made by another version of mp")
	// ErrTruncated means that a segment's file is shorter than the segment.
	ErrTruncated = errors.New("segment is truncated")
	// ErrCorrupt means that the bytes of a segment or an object contradict each other.
	ErrCorrupt = errors.New("segment is corrupt")
	// ErrMismatch means that an object has another kind, holds another type, or lies in another
	// segment than the call requires.
	ErrMismatch = errors.New("object does not match")
	// ErrHandle means that a text is not a handle, or that a handle names nothing.
	ErrHandle = errors.New("not a handle")
	// ErrUnreachable means that Reach can't find the segment of a handle.
	ErrUnreachable = errors.New("segment can't be reached")
	// ErrParties means that a segment has as many parties as it may have.
	ErrParties = party.ErrFull
	// ErrType means that a Go type can't be shared between processes.
	ErrType = layout.ErrType
)

// remake is the remedy for a named segment that can't be used.
const remake = "remove it with shm.Unlink and make it anew"

// A reason says why an operation failed. It wraps a sentinel whose own text would mislead, and has
// a text of its own instead.
type reason struct {
	text string
	err  error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.err }

// because returns a reason that wraps err.
func because(err error, format string, args ...any) error {
	return &reason{fmt.Sprintf(format, args...), err}
}

var (
	errItClosed      = because(ErrClosed, "this process has closed it")
	errSegmentClosed = because(ErrClosed, "this process has closed the segment")
)

// orClosed returns err, or closed if err is ErrClosed itself.
func orClosed(err, closed error) error {
	if err == ErrClosed {
		return closed
	}
	return err
}

// named returns the kind and the name of an object, as in: lock "accounts".
func named(kind Kind, name string) string {
	if name == "" {
		return kind.String()
	}
	return fmt.Sprintf("%v %.300q", kind, name)
}

// fail returns the error of the method op of s.
func (s *Segment) fail(op string, err error) error {
	return fmt.Errorf("shm: %s of %s: %w", op, s.title(), orClosed(err, errItClosed))
}

// title returns what errors call s, as in: segment "data".
func (s *Segment) title() string {
	switch {
	case s == nil:
		return "the program's own segment"
	case s.name == "":
		return "anonymous segment"
	}
	return named(KindSegment, s.name)
}

// fail returns the error of the method op of b.
func (b *Block) fail(op string, err error) error {
	return fmt.Errorf("shm: %s of %s: %w", op, b.title(), orClosed(err, errItClosed))
}

// title returns what errors call b, as in: block "data".
func (b *Block) title() string {
	if b.name == "" {
		return "anonymous block"
	}
	return fmt.Sprintf("block %.300q", b.name)
}
