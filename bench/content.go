package bench

import (
	"encoding/binary"
	"fmt"
)

// stamp writes a message's number at the start of b and at its end.
func stamp(b []byte, w number) {
	binary.NativeEndian.PutUint64(b, w)
	binary.NativeEndian.PutUint64(b[len(b)-8:], w)
}

// stamped returns the number of a message that stamp wrote, and whether both ends
// have it.
func stamped(b []byte) (w number, whole bool) {
	w = binary.NativeEndian.Uint64(b)
	return w, w == binary.NativeEndian.Uint64(b[len(b)-8:])
}

// fill writes a message's number into all of b, a multiple of 8 bytes.
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

// filled returns the number of a message that fill wrote, and whether all of it
// has it. It reads all of b.
func filled(b []byte) (w number, whole bool) {
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

// errDamaged is what a message's length or contents tell.
func errDamaged(got, want int, w number) error {
	if got != want {
		return fmt.Errorf("%w: %d bytes instead of %d", ErrVerify, got, want)
	}
	return fmt.Errorf("%w: contents of message %d of producer %d", ErrVerify, w&^marks/next, uint8(w))
}
