package array

import (
	"bytes"
	"fmt"

	"github.com/seed-2e7ecdea/mp/shm"
)

// Bytes is a byte string of a fixed capacity that processes share, as C has
// char s[n]: its text ends before the first NUL, or where it is full; what
// follows is there, too.
//
// What Array says of locks and of closed arrays is so for Bytes, too. A Bytes
// must not be copied. The zero Bytes is closed.
type Bytes struct {
	handle[bytesCore, *bytesCore]
}

type bytesCore struct {
	core[byte]
}

func (*bytesCore) Type() (shm.Kind, uint64, error) {
	_, print, err := (*core[byte]).Type(nil)
	return shm.KindBytes, print, err
}

// NewBytes makes a byte string of n NULs in seg, with an optional name. It
// fails as New does.
func NewBytes(seg *shm.Segment, name string, n int, o *Options) (*Bytes, error) {
	return newBytes(seg, name, nil, n, o)
}

// NewBytesFrom makes a byte string that is text, of its length. It fails as New
// does.
func NewBytesFrom(seg *shm.Segment, name, text string, o *Options) (*Bytes, error) {
	return newBytes(seg, name, []byte(text), len(text), o)
}

// OpenBytes opens the byte string of that name. It fails as Open does.
func OpenBytes(seg *shm.Segment, name string) (*Bytes, error) {
	b := new(Bytes)
	if err := b.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return b, nil
}

func newBytes(seg *shm.Segment, name string, from []byte, n int, o *Options) (*Bytes, error) {
	b := new(Bytes)
	init, total, err := prepare(seg, n, from, o.guard())
	if err != nil {
		return nil, fmt.Errorf("array: new byte string %q: %w", name, err)
	}
	if err := b.ref.New(seg, name, total, init); err != nil {
		return nil, err
	}
	return b, nil
}

// Cap returns the number of bytes, NULs and all.
func (b *Bytes) Cap() int { return len(b.open("Cap").elements) }

// Len returns the length of the text.
func (b *Bytes) Len() int {
	c := b.use("Len")
	n := len(text(c.elements))
	c.check("Len")
	return n
}

// String returns a copy of the text.
func (b *Bytes) String() string {
	c := b.use("String")
	s := string(text(c.elements))
	c.check("String")
	return s
}

func text(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// Raw returns all bytes, themselves, not a copy. What is said of Array.Slice
// is so for them.
func (b *Bytes) Raw() []byte { return b.open("Raw").elements }

// Set makes the byte string s, and what follows NULs. It fails with ErrTooLong
// if s has more bytes than there are, and with ErrClosed. Then nothing has changed,
// unless the segment was closed during the call.
func (b *Bytes) Set(s string) error {
	c := b.ref.Load()
	if c == nil {
		return ErrClosed
	}
	return c.Done(c.set(s))
}

func (c *bytesCore) set(s string) error {
	if len(s) > len(c.elements) {
		return fmt.Errorf("%w: %d bytes into %d", ErrTooLong, len(s), len(c.elements))
	}
	clear(c.elements[copy(c.elements, s):])
	return nil
}
