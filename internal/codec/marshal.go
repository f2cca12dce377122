package codec

import (
	"encoding"
	"fmt"
	"reflect"
)

// These are encoding/gob's interfaces, without that package.
type (
	gobEncoder interface{ GobEncode() ([]byte, error) }
	gobDecoder interface{ GobDecode([]byte) error }
)

// A marshaling says by which methods a type encodes itself.
type marshaling uint8

const (
	marshalNone   marshaling = iota
	marshalBinary            // MarshalBinary and UnmarshalBinary
	marshalGob               // GobEncode and GobDecode
	marshalText              // MarshalText and UnmarshalText
)

var marshalings = [...]struct{ encode, decode reflect.Type }{
	marshalBinary: {reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler]()},
	marshalGob:    {reflect.TypeFor[gobEncoder](), reflect.TypeFor[gobDecoder]()},
	marshalText:   {reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()},
}

// marshalingOf returns the methods of *t, which has those of t too. Pointers and interfaces have
// none here: they may be nil, and what they refer to has them.
func marshalingOf(t reflect.Type) marshaling {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return marshalNone
	}
	p := reflect.PointerTo(t)
	for m := marshalBinary; m <= marshalText; m++ {
		if p.Implements(marshalings[m].encode) && p.Implements(marshalings[m].decode) {
			return m
		}
	}
	return marshalNone
}

// MarshalsItself reports whether a value of type t is encoded as a whole, by its methods or since it
// is a time.Time.
func MarshalsItself(t reflect.Type) bool { return t == timeType || marshalingOf(t) != marshalNone }

// marshal returns the bytes of the value at p, whose type is n's.
func (n *node) marshal(p pointer) (b []byte, err error) {
	v := reflect.NewAt(n.typ, p).Interface()
	switch n.marsh {
	case marshalBinary:
		b, err = v.(encoding.BinaryMarshaler).MarshalBinary()
	case marshalGob:
		b, err = v.(gobEncoder).GobEncode()
	case marshalText:
		b, err = v.(encoding.TextMarshaler).MarshalText()
	}
	if err != nil {
		err = fmt.Errorf("%w: its part of type %v: %w", ErrEncode, n.typ, err)
	}
	return b, err
}

// unmarshal sets the value at p, whose type is n's, to the one that b encodes.
func (n *node) unmarshal(b []byte, p pointer) (err error) {
	v := reflect.NewAt(n.typ, p)
	v.Elem().SetZero()
	switch n.marsh {
	case marshalBinary:
		err = v.Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(b)
	case marshalGob:
		err = v.Interface().(gobDecoder).GobDecode(b)
	case marshalText:
		err = v.Interface().(encoding.TextUnmarshaler).UnmarshalText(b)
	}
	if err != nil {
		err = fmt.Errorf("its part of type %v: %w", n.typ, err)
	}
	return err
}
