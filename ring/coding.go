package ring

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"sync"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/internal/layout"
)

// A form is how values of type T lie in a queue.
type form[T any] struct {
	print  uint64     // fingerprint of the queue
	coding *coding[T] // nil: as in memory
}

// encodedPrint tells the fingerprint of an encoded type from that of a layout.
const encodedPrint = 0x656e636f64656421

// formOf returns the form of T. It fails with shm.ErrType.
func formOf[T any]() (form[T], error) {
	if c, print := registeredCodec[T](); c != nil {
		return form[T]{print, &coding[T]{custom: c}}, nil
	}
	if l, err := layout.Of[T](); err == nil {
		return form[T]{l.Fingerprint, nil}, nil
	}
	c, err := codec.Of[T]()
	if err != nil {
		return form[T]{}, err
	}
	return form[T]{c.Fingerprint() ^ encodedPrint, &coding[T]{code: c}}, nil
}

// codecs has the codecs that were given to RegisterCodec, by the type of their values.
var codecs sync.Map

// RegisterCodec makes queues of T encode their values by c. Without it they use the default codec,
// or copy the values if T has a fixed layout. Call it in an init function or in the initialization
// of a variable, in the same way in all programs that use such queues: the queue can't be opened by
// a program in which T has another name, or c another type. It does not affect Send and Receive,
// nor values of other types that contain a T. It panics if T has a codec already.
func RegisterCodec[T any](c Codec[T]) {
	if _, again := codecs.LoadOrStore(reflect.TypeFor[T](), c); again {
		panic(fmt.Sprintf("ring: RegisterCodec: %v has a codec already", reflect.TypeFor[T]()))
	}
}

// registeredCodec returns the codec that was registered for T, if any, and its fingerprint.
func registeredCodec[T any]() (Codec[T], uint64) {
	t := reflect.TypeFor[T]()
	c, ok := codecs.Load(t)
	if !ok {
		return nil, 0
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%v of %s.%v", reflect.TypeOf(c), t.PkgPath(), t)
	return c.(Codec[T]), h.Sum64()
}

// coding is how values of type T are encoded.
type coding[T any] struct {
	code   *codec.Codec[T] // nil: custom is used
	custom Codec[T]
}

// bare reports whether a value is its bytes alone.
func (c *coding[T]) bare() bool { return c.code != nil && c.code.Bare() }

// plain reports whether no code of the program runs in encode and decode.
func (c *coding[T]) plain() bool { return c.code != nil && c.code.Own() }

// encode encodes *v, using the memory of *buf.
func (c *coding[T]) encode(buf *[]byte, v *T) (msg []byte, err error) {
	*buf = (*buf)[:0]
	return c.encodeNext(buf, v)
}

// encodeNext encodes *v, using the memory of *buf behind its contents, which it keeps.
func (c *coding[T]) encodeNext(buf *[]byte, v *T) (msg []byte, err error) {
	behind := (*buf)[len(*buf):]
	switch {
	case c.code == nil:
		msg, err = encodeBy(c.custom, behind, *v)
	case c.code.Bare():
		return c.code.Bytes(v), nil
	default:
		msg, err = c.code.Append(behind, v)
	}
	if cap(msg) > cap(behind) {
		*buf = msg // the contents of the old buffer stay where they are
	} else {
		*buf = (*buf)[:len(*buf)+len(msg)]
	}
	return msg, err
}

// encodeBy encodes v by a codec of the program. It is a function of its own so that v escapes here.
func encodeBy[T any](c Codec[T], dst []byte, v T) ([]byte, error) { return c.Append(dst, &v) }

// decode decodes a message that was taken.
func (c *coding[T]) decode(t *taken, v *T) error {
	switch {
	case t.err != nil:
		return t.err
	case c.code == nil:
		return decodeBy(c.custom, t.msg, v)
	case c.code.Bare():
		c.code.Take(t.msg, v)
		return nil
	}
	return c.code.Decode(t.msg, v)
}

// decodeBy decodes msg by a codec of the program.
func decodeBy[T any](c Codec[T], msg []byte, v *T) error {
	made := new(T)
	if err := c.Decode(msg, made); err != nil {
		return fmt.Errorf("%w of type %T: %w", ErrDecode, *made, err)
	}
	*v = *made
	return nil
}
