package codec

import "fmt"

// A marked message is a value as the codec encodes it, after the type's mark: four bytes of its fingerprint. A
// string or a []byte has no mark.
const markSize = 4

// AppendMarked appends *v as a marked message to dst. It fails as Append does.
func (c *Codec[T]) AppendMarked(dst []byte, v *T) ([]byte, error) {
	return c.Append(c.appendMark(dst), v)
}

// DecodeMarked sets *v to the value of a marked message. It fails as Decode does, also if the mark is that of
// another type.
func (c *Codec[T]) DecodeMarked(msg []byte, v *T) error {
	if !c.Bare() {
		var want [markSize]byte
		if len(msg) < markSize || string(msg[:markSize]) != string(c.appendMark(want[:0])) {
			return fmt.Errorf("%w of type %T: another type was sent", ErrDecode, *v)
		}
		msg = msg[markSize:]
	}
	return c.Decode(msg, v)
}

func (c *Codec[T]) appendMark(dst []byte) []byte {
	if c.Bare() {
		return dst
	}
	p := c.Fingerprint()
	return append(dst, byte(p), byte(p>>8), byte(p>>16), byte(p>>24))
}
