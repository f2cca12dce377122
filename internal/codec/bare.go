package codec

// Bytes returns the bytes of *v if T is a string or a []byte. They must not be modified.
func (c *Codec[T]) Bytes(v *T) []byte { return bareBytes(c.root, hidden(v)) }

// Room returns the memory of *v, empty, if T is a []byte. Otherwise it returns nil.
func (c *Codec[T]) Room(v *T) []byte {
	if c.root.op == opString {
		return nil
	}
	return (*at[[]byte](hidden(v)))[:0]
}

// Take sets *v, a string or a []byte, to b without copying it. Nothing may write to b from then on.
func (c *Codec[T]) Take(b []byte, v *T) {
	p := hidden(v)
	if c.root.op == opString {
		*at[string](p) = text(b)
	} else {
		*at[[]byte](p) = b
	}
}

// Copy sets *v, a string or a []byte, to a copy of b.
func (c *Codec[T]) Copy(b []byte, v *T) { decodeBare(c.root, b, hidden(v)) }
