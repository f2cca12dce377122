package bench

import (
	"encoding/binary"
	"fmt"
)

// stamp writes the number of a message at the start and at the end of b.
func stamp(b []byte, w number) {
	binary.NativeEndian.PutUint64(b, w)
	binary.NativeEndian.PutUint64(b[len(b)-8:], w)
}

// stamped returns the number that stamp wrote into b, and whether both ends of b have the same.
func stamped(b []byte) (w number, intact bool) {
	w = binary.NativeEndian.Uint64(b)
	return w, w == binary.NativeEndian.Uint64(b[len(b)-8:])
}

// fill writes the number of a message into all of b. The length of b is a multiple of 8.
func fill(b []byte, w number) {
	for len(b) >= 64 {
		binary.NativeEndian.PutUint64(b[0:], w)
		binary.NativeEndian.PutUint64(b[8:], w)
		binary.NativeEndian.PutUint64(b[16:], w)
		binary.NativeEndian.PutUint64(b[24:], w)
		binary.NativeEndian.PutUint64(b[32:], w)
		binary.NativeEndian.PutUint64(b[40:], w)
		binary.NativeEndian.PutUint64(b[48:], w)
		binary.NativeEndian.PutUint64(b[56:], w)
		b = b[64:]
	}
	for len(b) >= 8 {
		binary.NativeEndian.PutUint64(b, w)
		b = b[8:]
	}
}

// filled returns the number that fill wrote into b, and whether all of b has it. It reads
// all of b.
func filled(b []byte) (w number, intact bool) {
	w = binary.NativeEndian.Uint64(b)
	var odd uint64
	for len(b) >= 64 {
		odd |= binary.NativeEndian.Uint64(b[0:]) ^ w
		odd |= binary.NativeEndian.Uint64(b[8:]) ^ w
		odd |= binary.NativeEndian.Uint64(b[16:]) ^ w
		odd |= binary.NativeEndian.Uint64(b[24:]) ^ w
		odd |= binary.NativeEndian.Uint64(b[32:]) ^ w
		odd |= binary.NativeEndian.Uint64(b[40:]) ^ w
		odd |= binary.NativeEndian.Uint64(b[48:]) ^ w
		odd |= binary.NativeEndian.Uint64(b[56:]) ^ w
		b = b[64:]
	}
	for len(b) >= 8 {
		odd |= binary.NativeEndian.Uint64(b) ^ w
		b = b[8:]
	}
	return w, odd == 0
}

// damaged returns the error for a message of got bytes that should have want bytes. If the length is
// right, the contents of message w are damaged.
func damaged(got, want int, w number) error {
	if got != want {
		return fmt.Errorf("%w: %d bytes instead of %d", ErrVerify, got, want)
	}
	return fmt.Errorf("%w: contents of message %d of producer %d", ErrVerify, w&^marks/next, uint8(w))
}
