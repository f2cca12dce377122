package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
)

// The value of an interface is a tag of one byte and what the tag says:
//
//	tagNil              nothing
//	tagFalse, tagTrue   nothing: a bool
//	tagInt ... tagMap   a value of that type
//	firstBasic + i      a value of the type basic[i]
//	tagError            the error's text, the count of known errors that it wraps, and their texts
//	tagNamed            the length and name of a registered type, 4 bytes of its fingerprint, the value
const (
	tagNil byte = iota
	tagFalse
	tagTrue
	tagInt
	tagInt64
	tagFloat64
	tagString
	tagBytes
	tagSlice // []any
	tagMap   // map[string]any
	firstBasic

	tagError byte = 254
	tagNamed byte = 255
)

// dynamic appends v with its type.
func (e *encoder) dynamic(v any) error {
	switch v := v.(type) {
	case nil:
		e.byte(tagNil)
	case bool:
		if v {
			e.byte(tagTrue)
		} else {
			e.byte(tagFalse)
		}
	case int:
		e.byte(tagInt)
		e.buf = binary.NativeEndian.AppendUint64(e.buf, uint64(v))
	case int64:
		e.byte(tagInt64)
		e.buf = binary.NativeEndian.AppendUint64(e.buf, uint64(v))
	case float64:
		e.byte(tagFloat64)
		e.buf = binary.NativeEndian.AppendUint64(e.buf, math.Float64bits(v))
	case string:
		e.byte(tagString)
		e.string(v)
	case []byte:
		e.byte(tagBytes)
		if e.entries(v == nil, len(v)) {
			e.buf = append(e.buf, v...)
		}
	case []any:
		return e.sliceOfAny(v)
	case map[string]any:
		e.byte(tagMap)
		return e.mapOfAny(v)
	default:
		return e.registered(v)
	}
	return nil
}

func (e *encoder) sliceOfAny(list []any) error {
	e.byte(tagSlice)
	if err := e.deeper(); err != nil {
		return err
	}
	if e.entries(list == nil, len(list)) {
		for _, v := range list {
			if err := e.dynamic(v); err != nil {
				return err
			}
		}
	}
	e.depth--
	return nil
}

func (e *encoder) mapOfAny(m map[string]any) error {
	if err := e.deeper(); err != nil {
		return err
	}
	if e.entries(m == nil, len(m)) {
		for k, v := range m {
			e.string(k)
			if err := e.dynamic(v); err != nil {
				return err
			}
		}
	}
	e.depth--
	return nil
}

// anyNode is the node of any.
var anyNode = &node{op: opAny, typ: reflect.TypeFor[any](), size: reflect.TypeFor[any]().Size(), least: 1}

// iface appends the value of an interface with methods.
func (e *encoder) iface(n *node, p pointer) error {
	v := reflect.NewAt(n.typ, p).Elem().Interface()
	if v != nil && registeredType(reflect.TypeOf(v)) == nil && !reflect.TypeFor[*failure]().Implements(n.typ) {
		return unregistered(v) // not as an error's text, which would not implement the interface
	}
	return e.dynamic(v)
}

func unregistered(v any) error {
	return fmt.Errorf("%w: an interface holds a value of type %T, which is not registered", ErrEncode, v)
}

// registered appends a value of a type that has no case in dynamic.
func (e *encoder) registered(v any) error {
	t := reflect.TypeOf(v)
	r := registeredType(t)
	if r == nil {
		if err, ok := v.(error); ok {
			return e.error(err)
		}
		return unregistered(v)
	}
	e.byte(r.tag)
	if r.tag == tagNamed {
		e.string(r.name)
		e.buf = binary.NativeEndian.AppendUint32(e.buf, r.check)
	}
	if err := e.deeper(); err != nil {
		return err
	}
	x := reflect.New(t)
	x.Elem().Set(reflect.ValueOf(v))
	err := e.value(r.plan.root, x.UnsafePointer())
	e.depth--
	return err
}

// dynamic returns the next value with a type.
func (d *decoder) dynamic() (any, error) {
	tag, err := d.byte()
	if err != nil {
		return nil, err
	}
	switch tag {
	case tagNil:
		return nil, nil
	case tagFalse, tagTrue:
		return tag == tagTrue, nil
	case tagInt:
		x, err := d.uint64()
		if int64(int(x)) != int64(x) {
			err = errInt
		}
		return int(x), err
	case tagInt64:
		x, err := d.uint64()
		return int64(x), err
	case tagFloat64:
		x, err := d.uint64()
		return math.Float64frombits(x), err
	case tagString:
		return d.string()
	case tagBytes:
		n, err := d.count(1)
		if err != nil || n < 0 {
			return []byte(nil), err
		}
		b, err := d.next(n)
		return append([]byte{}, b...), err
	}
	if d.depth++; d.depth > maxDepth {
		return nil, errDeep
	}
	v, err := d.nested(tag)
	d.depth--
	return v, err
}

// nested is dynamic for the tags of types that may hold interface values.
func (d *decoder) nested(tag byte) (any, error) {
	switch tag {
	case tagSlice:
		return d.sliceOfAny()
	case tagMap:
		var m map[string]any
		err := decodeMap(d, anyNode, &m)
		return m, err
	case tagError:
		return d.error()
	}
	var r *registered
	switch {
	case tag == tagNamed:
		name, err := d.sized()
		if err != nil {
			return nil, err
		}
		check, err := d.next(4)
		if err != nil {
			return nil, err
		}
		r = registeredName(name)
		if r == nil || r.check != binary.NativeEndian.Uint32(check) {
			return nil, fmt.Errorf("%w: %q", errTag, name)
		}
	case tag >= firstBasic && int(tag-firstBasic) < len(basics):
		r = basics[tag-firstBasic]
	default:
		return nil, errTag
	}
	if r.plan.root.least > len(d.src)-d.owed {
		return nil, errShort
	}
	x := reflect.New(r.typ)
	if err := d.value(r.plan.root, x.UnsafePointer()); err != nil {
		return nil, err
	}
	return x.Elem().Interface(), nil
}

func (d *decoder) sliceOfAny() (any, error) {
	n, err := d.count(1)
	if err != nil || n < 0 {
		return []any(nil), err
	}
	list := make([]any, n)
	d.owed += n
	for i := range list {
		d.owed--
		if list[i], err = d.dynamic(); err != nil {
			return nil, err
		}
	}
	return list, nil
}
