package codec

import (
	"fmt"
	"reflect"
	"sync"
)

// A Codec encodes and decodes values of type T. Its methods may be called from several goroutines
// at once.
type Codec[T any] struct {
	root  *node
	print uint64
	own   bool
	bare  bool // T is a string or a []byte: the value is its bytes alone
}

// codecs has the codecs that Of has returned, by type.
var codecs sync.Map

// Of returns the codec for T. It returns an error that wraps layout.ErrType and names the path of
// the first part of T that can't travel, such as "T.Field[].Name". It compiles each type once.
func Of[T any]() (*Codec[T], error) {
	t := reflect.TypeFor[T]()
	if c, ok := codecs.Load(t); ok {
		return c.(*Codec[T]), nil
	}
	p, err := compile(t)
	if err != nil {
		return nil, err
	}
	bare := p.root.op == opString || p.root.op == opBlocks && t.Elem().Kind() == reflect.Uint8
	c, _ := codecs.LoadOrStore(t, &Codec[T]{p.root, p.print, p.own, bare})
	return c.(*Codec[T]), nil
}

// Fingerprint returns a hash of T's structure: the kinds and lengths of its parts and the names of
// its fields. It is never 0. Codecs with the same fingerprint understand each other.
func (c *Codec[T]) Fingerprint() uint64 { return c.print }

// Append appends the encoded *v to dst and returns the extended slice. If it fails, it returns dst.
// It fails with ErrEncode if a value of an interface is of a type that is not registered, or if *v
// is more than 10,000 levels deep, as a value that refers to itself is. It fails with the error of
// a method that encodes a part of *v. No other goroutine may write to *v during Append.
func (c *Codec[T]) Append(dst []byte, v *T) ([]byte, error) {
	if c.bare {
		return append(dst, bareBytes(c.root, hidden(v))...), nil
	}
	e := encoder{buf: dst}
	var err error
	if c.own {
		err = e.value(c.root, hidden(v))
	} else {
		// A method may keep the address of its receiver.
		moved := *v
		err = e.value(c.root, of(&moved))
	}
	if err != nil {
		return dst, err
	}
	return e.buf, nil
}

// bareBytes returns the bytes of a string or a []byte. They must not be modified.
func bareBytes(n *node, p pointer) []byte {
	if n.op == opString {
		return stringBytes(*at[string](p))
	}
	return *at[[]byte](p)
}

// Decode sets *v to the value that src encodes. All memory that *v then refers to is new, and src
// is not kept. It fails with ErrDecode if src is not exactly one encoded value of T, and with the
// error of a method that decodes a part of it. If it fails, *v is undefined.
func (c *Codec[T]) Decode(src []byte, v *T) error {
	if c.bare {
		decodeBare(c.root, src, hidden(v))
		return nil
	}
	d := decoder{src: src}
	var err error
	if c.own {
		err = d.value(c.root, hidden(v))
	} else {
		var made T // a method may keep the address of its receiver
		err = d.value(c.root, of(&made))
		*v = made
	}
	if err == nil && len(d.src) > 0 {
		err = errTrailing
	}
	if err != nil {
		return fmt.Errorf("%w of type %v: %w", ErrDecode, reflect.TypeFor[T](), err)
	}
	return nil
}

func decodeBare(n *node, src []byte, p pointer) {
	if n.op == opString {
		*at[string](p) = string(src)
	} else {
		*at[[]byte](p) = append([]byte{}, src...)
	}
}

// Bare reports whether T is a string or a []byte, so that an encoded value is its bytes alone.
func (c *Codec[T]) Bare() bool { return c.bare }

// Own reports whether no code of the program runs in Append and Decode.
func (c *Codec[T]) Own() bool { return c.own }
