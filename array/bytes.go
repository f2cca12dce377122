package array

import (
	"bytes"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// Bytes is a byte string of a fixed capacity that processes share, laid out as char s[n] in C. Its
// text is the bytes before the first NUL, or all bytes if there is no NUL. The bytes after the NUL
// can be reached by Raw.
//
// Its methods do not synchronize and do not block, as those of Array. Methods that return no error
// panic with an error that wraps ErrClosed if the byte string is closed. A Bytes must not be
// copied. The zero Bytes is closed; Unmarshal opens it.
type Bytes struct {
	handle[bytesCore, *bytesCore]
}

// bytesCore is this process's part of a byte string.
type bytesCore struct {
	core[byte]
}

func (*bytesCore) Type() (shm.Kind, uint64, error) {
	_, print, err := (*core[byte]).Type(nil)
	return shm.KindBytes, print, err
}

// NewBytes makes a byte string of n bytes, all NUL, in seg, and opens it. It fails as New does.
func NewBytes(seg *shm.Segment, name string, n int, o *Options) (*Bytes, error) {
	return newBytes(seg, name, nil, n, o)
}

// NewBytesFrom is NewBytes for a byte string whose bytes, and so its capacity, are those of text.
func NewBytesFrom(seg *shm.Segment, name, text string, o *Options) (*Bytes, error) {
	return newBytes(seg, name, []byte(text), len(text), o)
}

// OpenBytes opens the byte string with that name in seg. It fails as Open does.
func OpenBytes(seg *shm.Segment, name string) (*Bytes, error) {
	b := new(Bytes)
	if err := b.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return b, nil
}

func newBytes(seg *shm.Segment, name string, from []byte, n int, o *Options) (*Bytes, error) {
	b := new(Bytes)
	if err := makeIn(&b.ref, seg, name, n, from, o); err != nil {
		return nil, err
	}
	return b, nil
}

// Cap returns the number of bytes, NULs included.
func (b *Bytes) Cap() int {
	const op = "array: Cap of byte string"
	return len(b.ref.Must(op).slice(op))
}

// Len returns the length of the text in bytes.
func (b *Bytes) Len() int {
	const op = "array: Len of byte string"
	c := b.ref.Must(op)
	n := len(text(c.elements))
	c.Check(op)
	return n
}

// String returns a copy of the text.
func (b *Bytes) String() string {
	const op = "array: String of byte string"
	c := b.ref.Must(op)
	s := string(text(c.elements))
	c.Check(op)
	return s
}

func text(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// Raw returns all bytes themselves, not a copy. They are valid as long as an Array's Slice is.
func (b *Bytes) Raw() []byte {
	const op = "array: Raw of byte string"
	return b.ref.Must(op).slice(op)
}

// Set sets the first bytes to those of s and all others to NUL. It returns ErrTooLarge if s has
// more than Cap bytes, and ErrClosed if b is closed. The byte string is unchanged if Set returns an
// error, with one exception: if the segment is closed while Set runs, the bytes may have been set.
func (b *Bytes) Set(s string) error {
	c := b.ref.Load()
	if c == nil {
		return object.Closed("array: Set", shm.KindBytes)
	}
	return c.Fail("array: Set", c.Done(c.set(s)))
}

func (c *bytesCore) set(s string) error {
	if len(s) > len(c.elements) {
		return fmt.Errorf("%w: it has %d bytes, the byte string holds %d", ErrTooLarge, len(s), len(c.elements))
	}
	clear(c.elements[copy(c.elements, s):])
	return nil
}

// Lock returns the byte string's lock, or nil if it has none. See Array.Lock.
func (b *Bytes) Lock() *psync.Lock {
	const op = "array: Lock of byte string"
	return b.ref.Must(op).lock(op)
}

// Offset returns the offset of the first byte in the segment, and so in the segment's file, for
// programs in other languages.
func (b *Bytes) Offset() int {
	const op = "array: Offset of byte string"
	return b.ref.Must(op).offset(op)
}
