package codec

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"time"
)

// An encoder appends encoded values to buf.
type encoder struct {
	buf   []byte
	depth int
}

func (e *encoder) length(n int) { e.buf = appendLength(e.buf, n) }

func (e *encoder) string(s string) { e.buf = append(appendLength(e.buf, len(s)), s...) }

func appendLength(b []byte, n int) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	return binary.AppendUvarint(b, uint64(n))
}

func (e *encoder) byte(b byte) { e.buf = append(e.buf, b) }

// value appends the value at p, whose type is n's.
func (e *encoder) value(n *node, p pointer) error {
	switch n.op {
	case opNothing:
	case opWord:
		e.buf = binary.NativeEndian.AppendUint64(e.buf, *at[uint64](p))
	case opBlock:
		e.buf = append(e.buf, memory(p, n.size)...)
	case opBool:
		e.byte(*at[byte](p))
	case opInt:
		e.buf = binary.NativeEndian.AppendUint64(e.buf, uint64(*at[int](p)))
	case opUint:
		e.buf = binary.NativeEndian.AppendUint64(e.buf, uint64(*at[uint](p)))
	case opString:
		e.string(*at[string](p))
	case opStrings:
		list := *at[[]string](p)
		if list == nil {
			e.byte(0)
			return nil
		}
		b := appendLength(e.buf, len(list)+1)
		for _, s := range list {
			b = append(appendLength(b, len(s)), s...)
		}
		e.buf = b
	case opBlocks, opBools:
		h := at[header](p)
		if h.data == nil {
			e.byte(0)
			return nil
		}
		e.length(h.len + 1)
		e.buf = append(e.buf, memory(h.data, uintptr(h.len)*n.elem.size)...)
	case opSlice:
		h := *at[header](p)
		if h.data == nil {
			e.byte(0)
			return nil
		}
		e.length(h.len + 1)
		return e.elements(n.elem, h.data, h.len)
	case opArray:
		return e.elements(n.elem, p, n.count)
	case opStruct:
		for i := range n.fields {
			f := &n.fields[i]
			if err := e.value(f.node, add(p, f.off)); err != nil {
				return err
			}
		}
	case opPointer:
		q := *at[pointer](p)
		if q == nil {
			e.byte(0)
			return nil
		}
		e.byte(1)
		return e.value(n.elem, q)
	case opMap:
		return e.mapping(n, p)
	case opMapString:
		m := *at[map[string]string](p)
		if !e.entries(m == nil, len(m)) {
			return nil
		}
		for k, v := range m {
			e.string(k)
			e.string(v)
		}
	case opMapInt:
		m := *at[map[string]int](p)
		if !e.entries(m == nil, len(m)) {
			return nil
		}
		for k, v := range m {
			e.string(k)
			e.buf = binary.NativeEndian.AppendUint64(e.buf, uint64(v))
		}
	case opMapAny:
		return e.mapOfAny(*at[map[string]any](p))
	case opAny:
		return e.dynamic(*at[any](p))
	case opInterface:
		return e.iface(n, p)
	case opTime:
		return e.time(p)
	case opMarshal:
		b, err := n.marshal(p)
		if err != nil {
			return err
		}
		e.length(len(b))
		e.buf = append(e.buf, b...)
	case opDeep:
		if err := e.deeper(); err != nil {
			return err
		}
		err := e.value(n.elem, p)
		e.depth--
		return err
	}
	return nil
}

// entries appends what precedes a map's entries. It returns false if there are none.
func (e *encoder) entries(isNil bool, n int) bool {
	if isNil {
		e.byte(0)
		return false
	}
	e.length(n + 1)
	return n > 0
}

// deeper is called for a value inside a value of the same type, and the caller decrements e.depth
// after that.
func (e *encoder) deeper() error {
	if e.depth++; e.depth > maxDepth {
		return fmt.Errorf("%w: %w: does it refer to itself?", ErrEncode, errDeep)
	}
	return nil
}

// elements appends count values of n's type that follow each other from p on.
func (e *encoder) elements(n *node, p pointer, count int) error {
	if n.op == opNothing {
		return nil
	}
	for i := range count {
		if err := e.value(n, add(p, uintptr(i)*n.size)); err != nil {
			return err
		}
	}
	return nil
}

// mapping appends a map of any type.
func (e *encoder) mapping(n *node, p pointer) error {
	m := reflect.NewAt(n.typ, p).Elem()
	if !e.entries(m.IsNil(), m.Len()) {
		return nil
	}
	k, v := reflect.New(n.typ.Key()), reflect.New(n.typ.Elem())
	for i := m.MapRange(); i.Next(); {
		k.Elem().SetIterKey(i)
		v.Elem().SetIterValue(i)
		if err := e.value(n.key, k.UnsafePointer()); err != nil {
			return err
		}
		if err := e.value(n.elem, v.UnsafePointer()); err != nil {
			return err
		}
	}
	return nil
}

// time appends a time. Its encoding has at most 16 bytes.
func (e *encoder) time(p pointer) error {
	at0 := len(e.buf)
	b, err := at[time.Time](p).AppendBinary(append(e.buf, 0))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEncode, err)
	}
	b[at0] = byte(len(b) - at0 - 1)
	e.buf = b
	return nil
}
