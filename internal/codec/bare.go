package codec

// Bytes returns the bytes of *v if T is a string or a []byte. They must not be modified.
func (c *Codec[T]) Bytes(v *T) []byte { return bareBytes(c.root, hidden(v)) }

// Take sets *v, a string or a []byte, to b without copying it. Nothing may write to b from then on.
func (c *Codec[T]) Take(b []byte, v *T) {
	p := hidden(v)
	if c.root.op == opString {
		*at[string](p) = text(b)
	} else {
		*at[[]byte](p) = b
	}
}
