package manager

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A request is
//
//	op, 1 byte | number, 8 bytes | object, 8 bytes | arguments
//
// and its answer
//
//	number, 8 bytes | status, 1 byte | result
//
// Numbers are little-endian. Number 0 is a request without an answer. Sized bytes are their length
// in 4 bytes, then the bytes.
const (
	requestHead = 1 + 8 + 8
	answerHead  = 8 + 1
)

// The operations. Those on objects of one kind are in order, and begin with a first one.
const (
	opHello     = iota // the first request of a session: nothing -> nothing
	opNew              // kind 8, fingerprint 8 -> id 8
	opMake             // name of a type sized, argument sized -> id 8: an instance
	opPass             // -> token 8: keeps the object until another process has attached to it
	opAttach           // token 8, kind 8, fingerprint 8 -> nothing
	opRelease          // no answer: undoes an attach or a new
	opUnpin            // no answer: the object is the number of an answer whose references were attached to
	opCancel           // no answer: the object is the number of the request that is cancelled
	opStats            // -> objects 8, sessions 8
	opCall             // name sized, argument sized -> result: a registered function on the object
	opReference        // -> id 8, texts of the handles of door and alive, sized
	opPublish          // name sized -> nothing: gives the object a name
	opUnpublish        // name sized -> nothing
	opOpen             // name sized -> id 8, token 8, kind 8, fingerprint 8

	opDict // first of those on dicts: see dict_server.go
	opList = opDict + 32
)

// The statuses of an answer.
const (
	statusDone   = iota
	statusPinned // done, and the result has references that are kept until opUnpin
	statusError  // an encoded error of the server
	statusFailed // an encoded error of a registered function
)

// The kinds of objects.
const (
	kindDict = 1 + iota
	kindList
	kindSet
	kindNamespace
	kindInstance
)

// maxSized is the length of the longest sized bytes.
const maxSized = math.MaxUint32

// appendSized appends b as sized bytes.
func appendSized(dst, b []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}

func appendUint64(dst []byte, n uint64) []byte { return binary.LittleEndian.AppendUint64(dst, n) }

// appendValue appends the encoded *v as sized bytes.
func appendValue[T any](dst []byte, c *codec.Codec[T], v *T) ([]byte, error) {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst, err := c.Append(dst, v)
	if err != nil {
		return dst[:at], err
	}
	n := uint64(len(dst) - at - 4)
	if n > maxSized {
		return dst[:at], fmt.Errorf("a value of %d bytes: %w: the limit is %d", n, shm.ErrSize, uint32(maxSized))
	}
	binary.LittleEndian.PutUint32(dst[at:], uint32(n))
	return dst, nil
}

// A reader reads the parts of a message. After the first part that is not there, err is set and all
// other parts are empty.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.rest)) {
		r.err, r.rest = ErrProtocol, nil // so that a loop over the rest ends
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// sized returns sized bytes. They are part of the message.
func (r *reader) sized() []byte {
	b := r.take(4)
	if b == nil {
		return nil
	}
	return r.take(uint64(binary.LittleEndian.Uint32(b)))
}

// end returns ErrProtocol if a part was missing or is left.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = ErrProtocol
	}
	return r.err
}

// wireError is an error on its way: the codec sends its text and the known errors that it wraps.
type wireError struct{ Err error }

var errorCodec = mustCodec[wireError]()

func mustCodec[T any]() *codec.Codec[T] {
	c, err := codec.Of[T]()
	if err != nil {
		panic(err)
	}
	return c
}

func appendError(dst []byte, err error) []byte {
	w := wireError{err}
	out, cerr := errorCodec.Append(dst, &w)
	if cerr != nil { // the error has a method that fails
		w.Err = cerr
		out, _ = errorCodec.Append(dst, &w)
	}
	return out
}

func decodeError(b []byte) error {
	var w wireError
	if err := errorCodec.Decode(b, &w); err != nil {
		return err
	}
	if w.Err == nil {
		return ErrProtocol
	}
	return w.Err
}
