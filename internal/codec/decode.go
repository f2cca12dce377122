package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"reflect"
	"time"
)

// A decoder decodes values from src, whose first byte is the next one.
type decoder struct {
	src   []byte
	depth int
	// owed is how many bytes of src the values around the one at hand need at least for the
	// elements that follow it. What a count claims to follow must be there beside that, so that
	// counts nested in each other can't make the decoder allocate more than a multiple of src.
	owed  int
	chunk []byte // memory for the next short strings
}

// multiple is how many bytes of memory are allocated at most for each byte of src.
const multiple = 128

// Short strings share their memory: as few allocations as possible, and a string that is kept keeps
// no more than a chunk.
const (
	shortString = 32
	chunkSize   = 128
)

// next returns the next n bytes.
func (d *decoder) next(n int) ([]byte, error) {
	if n > len(d.src) {
		return nil, errShort
	}
	b := d.src[:n:n]
	d.src = d.src[n:]
	return b, nil
}

func (d *decoder) byte() (byte, error) {
	if len(d.src) == 0 {
		return 0, errShort
	}
	b := d.src[0]
	d.src = d.src[1:]
	return b, nil
}

func (d *decoder) uint64() (uint64, error) {
	b, err := d.next(8)
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b), nil
}

// varint returns the next varint.
func (d *decoder) varint() (int, error) {
	if len(d.src) > 0 {
		if b := d.src[0]; b < 0x80 {
			d.src = d.src[1:]
			return int(b), nil
		}
	}
	return d.longVarint()
}

func (d *decoder) longVarint() (int, error) {
	x, n := binary.Uvarint(d.src)
	if n == 0 {
		return 0, errShort
	}
	if n < 0 || x > math.MaxInt {
		return 0, errCount
	}
	d.src = d.src[n:]
	return int(x), nil
}

// count returns the number of elements that follow, each of at least so many bytes, and -1 for nil.
func (d *decoder) count(atLeast int) (int, error) {
	n, err := d.varint()
	if err != nil {
		return 0, err
	}
	n--
	if n <= 0 {
		return n, nil
	}
	if hi, need := bits.Mul64(uint64(n), uint64(atLeast)); hi != 0 || need > uint64(max(0, len(d.src)-d.owed)) {
		return 0, errCount
	}
	return n, nil
}

// sized returns bytes that follow their length.
func (d *decoder) sized() ([]byte, error) {
	n, err := d.varint()
	if err != nil {
		return nil, err
	}
	if n > len(d.src) {
		return nil, errCount
	}
	return d.next(n)
}

func (d *decoder) string() (string, error) {
	if len(d.src) == 0 {
		return "", errShort
	}
	n := int(d.src[0])
	if n > shortString {
		b, err := d.sized()
		return string(b), err
	}
	src := d.src[1:]
	if n > len(src) {
		return "", errCount
	}
	d.src = src[n:]
	if n == 0 {
		return "", nil
	}
	if n > len(d.chunk) {
		d.chunk = make([]byte, n+min(len(d.src), chunkSize-n))
	}
	s := d.chunk[:n]
	d.chunk = d.chunk[n:]
	copy(s, src)
	return text(s), nil
}

// value sets the value at p, whose type is n's, to the next one.
func (d *decoder) value(n *node, p pointer) error {
	switch n.op {
	case opNothing:
	case opWord:
		x, err := d.uint64()
		if err != nil {
			return err
		}
		*at[uint64](p) = x
	case opBlock:
		b, err := d.next(int(n.size))
		if err != nil {
			return err
		}
		copy(memory(p, n.size), b)
	case opBool:
		b, err := d.byte()
		if err != nil {
			return err
		}
		if b > 1 {
			return errBool
		}
		*at[byte](p) = b
	case opInt:
		x, err := d.uint64()
		if err != nil {
			return err
		}
		if *at[int](p) = int(x); int64(int(x)) != int64(x) {
			return errInt
		}
	case opUint:
		x, err := d.uint64()
		if err != nil {
			return err
		}
		if *at[uint](p) = uint(x); uint64(uint(x)) != x {
			return errInt
		}
	case opString:
		s, err := d.string()
		if err != nil {
			return err
		}
		*at[string](p) = s
	case opStrings:
		return d.strings(at[[]string](p))
	case opBlocks, opBools:
		return d.blocks(n, at[header](p))
	case opSlice:
		return d.slice(n, at[header](p))
	case opArray:
		return d.elements(n.elem, p, n.count)
	case opStruct:
		for i := range n.fields {
			f := &n.fields[i]
			if err := d.value(f.node, add(p, f.off)); err != nil {
				return err
			}
		}
	case opPointer:
		return d.pointer(n, at[pointer](p))
	case opMap:
		return d.mapping(n, p)
	case opMapString:
		return decodeMap(d, n.elem, at[map[string]string](p))
	case opMapInt:
		return decodeMap(d, n.elem, at[map[string]int](p))
	case opMapAny:
		return decodeMap(d, n.elem, at[map[string]any](p))
	case opAny:
		v, err := d.dynamic()
		if err != nil {
			return err
		}
		*at[any](p) = v
	case opInterface:
		return d.iface(n, p)
	case opTime:
		return d.time(at[time.Time](p))
	case opMarshal:
		b, err := d.sized()
		if err != nil {
			return err
		}
		return n.unmarshal(bytes.Clone(b), p)
	case opDeep:
		if d.depth++; d.depth > maxDepth {
			return errDeep
		}
		err := d.value(n.elem, p)
		d.depth--
		return err
	}
	return nil
}

func (d *decoder) time(t *time.Time) error {
	b, err := d.sized()
	if err != nil {
		return err
	}
	return t.UnmarshalBinary(b)
}

func (d *decoder) strings(list *[]string) error {
	n, err := d.count(1)
	if err != nil || n < 0 {
		*list = nil
		return err
	}
	*list = make([]string, n)
	for i := range *list {
		if (*list)[i], err = d.string(); err != nil {
			return err
		}
	}
	return nil
}

// blocks decodes a slice whose elements lie in src as they do in memory.
func (d *decoder) blocks(n *node, h *header) error {
	count, err := d.count(int(n.elem.size))
	if err != nil || count < 0 {
		*h = header{}
		return err
	}
	b, err := d.next(count * int(n.elem.size))
	if err != nil {
		return err
	}
	*h = header{block(b, uintptr(n.elem.align)), count, count}
	if n.op == opBools {
		for _, b := range memory(h.data, uintptr(count)) { // not src, which may change
			if b > 1 {
				*h = header{}
				return errBool
			}
		}
	}
	return nil
}

func (d *decoder) slice(n *node, h *header) error {
	count, err := d.count(n.elem.atLeast())
	if err != nil || count < 0 {
		*h = header{}
		return err
	}
	if max := d.affordable(n.elem.size); count > max {
		return d.growing(n, h, count, max)
	}
	data := reflect.MakeSlice(n.typ, count, count).UnsafePointer()
	*h = header{data, count, count}
	return d.elements(n.elem, data, count)
}

// affordable returns how many elements of that size may be allocated before they are decoded.
func (d *decoder) affordable(size uintptr) int {
	if size == 0 {
		return math.MaxInt
	}
	return 1 + int(uint64(len(d.src))*multiple/uint64(size))
}

// growing decodes a slice of count elements, whose type needs far more memory than bytes because it
// encodes itself. It begins with memory for n elements, and takes more as the elements arrive.
func (d *decoder) growing(t *node, h *header, count, n int) error {
	list := reflect.NewAt(t.typ, pointer(h)).Elem()
	list.SetZero()
	for done := 0; done < count; n = min(2*n, count) {
		list.Grow(n - done)
		list.SetLen(n)
		if err := d.elements(t.elem, add(h.data, uintptr(done)*t.elem.size), n-done); err != nil {
			return err
		}
		done = n
	}
	return nil
}

// elements decodes count values of n's type to p and the memory that follows it.
func (d *decoder) elements(n *node, p pointer, count int) error {
	if n.op == opNothing {
		return nil
	}
	least := n.atLeast()
	if least > 0 && count > (len(d.src)-d.owed)/least {
		return errShort
	}
	d.owed += count * least
	for i := range count {
		d.owed -= least
		if err := d.value(n, add(p, uintptr(i)*n.size)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) pointer(n *node, p *pointer) error {
	b, err := d.byte()
	if err != nil || b == 0 {
		*p = nil
		return err
	}
	if b != 1 {
		return errPointer
	}
	if n.elem.atLeast() > len(d.src)-d.owed {
		return errShort
	}
	q := reflect.New(n.typ.Elem()).UnsafePointer()
	*p = q
	return d.value(n.elem, q)
}

// mapping decodes a map of any type.
func (d *decoder) mapping(n *node, p pointer) error {
	m := reflect.NewAt(n.typ, p).Elem()
	least := sum(n.key.atLeast(), n.elem.atLeast())
	count, err := d.count(least)
	if err != nil || count < 0 {
		m.SetZero()
		return err
	}
	if n.key.op == opNothing && count > 1 {
		return errDuplicate
	}
	m.Set(reflect.MakeMapWithSize(n.typ, min(count, d.affordable(n.key.size+n.elem.size))))
	k, v := reflect.New(n.typ.Key()), reflect.New(n.typ.Elem())
	d.owed += count * least
	for range count {
		d.owed -= least
		if err := d.value(n.key, k.UnsafePointer()); err != nil {
			return err
		}
		if n.hash && !k.Elem().Comparable() {
			return errHash
		}
		if err := d.value(n.elem, v.UnsafePointer()); err != nil {
			return err
		}
		m.SetMapIndex(k.Elem(), v.Elem())
	}
	if m.Len() != count {
		return errDuplicate
	}
	return nil
}

// decodeMap decodes a map with string keys.
func decodeMap[V any](d *decoder, elem *node, p *map[string]V) error {
	least := 1 + elem.least
	count, err := d.count(least)
	if err != nil || count < 0 {
		*p = nil
		return err
	}
	m := make(map[string]V, count)
	*p = m
	var v V
	d.owed += count * least
	for range count {
		d.owed -= least
		k, err := d.string()
		if err != nil {
			return err
		}
		if err := d.value(elem, of(&v)); err != nil {
			return err
		}
		m[k] = v
	}
	if len(m) != count {
		return errDuplicate
	}
	return nil
}

// iface decodes the value of an interface with methods.
func (d *decoder) iface(n *node, p pointer) error {
	v, err := d.dynamic()
	if err != nil {
		return err
	}
	i := reflect.NewAt(n.typ, p).Elem()
	if v == nil {
		i.SetZero()
		return nil
	}
	x := reflect.ValueOf(v)
	if !x.Type().Implements(n.typ) {
		return errSatisfy
	}
	i.Set(x)
	return nil
}
