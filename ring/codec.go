package ring

import (
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/internal/known"
)

// A Codec turns values of type T into bytes and back. Its methods may be called from several
// goroutines at once. No lock is held and no slot is claimed during a call.
type Codec[T any] interface {
	// Append appends the encoded *v to dst and returns the extended slice. If it fails, nothing is
	// put or sent.
	Append(dst []byte, v *T) ([]byte, error)
	// Decode sets *v to the value that src encodes. It must not keep src. Another process may have
	// written src: for any bytes, Decode must return an error or a value.
	Decode(src []byte, v *T) error
}

// DefaultCodec returns the codec that is used for values of type T if no other is given.
//
// It encodes all fields of structs, exported or not, strings, slices, maps, pointers, time.Time,
// interface values that hold basic types, slices and maps of them, or types given to RegisterType,
// and types that have MarshalBinary and UnmarshalBinary, GobEncode and GobDecode, or MarshalText
// and UnmarshalText. An error arrives as its text, and wraps the sentinels of package mp and those
// given to proc.RegisterError that it wrapped. A string or a []byte is sent as it is. Short strings
// of one decoded value may share memory, so to keep one of them may keep up to 128 bytes.
//
// DefaultCodec fails with shm.ErrType if T has a part that means nothing in another process, such
// as a channel, a function or a sync.Mutex. The error names that part. Append fails with ErrEncode
// if an interface holds a type that is not registered or if the value refers to itself. Decode
// fails with ErrDecode if src is not exactly one encoded value. It allocates at most 128 times the
// length of src, besides what methods of the types allocate.
//
// The encoding is for processes on one machine with the same version of mp, not for files.
func DefaultCodec[T any]() (Codec[T], error) {
	c, err := codec.Of[T]()
	if err != nil {
		return nil, fmt.Errorf("ring: %w", err)
	}
	return c, nil
}

// RegisterType lets interface values of type T travel by the default codec. Call it in an init
// function or in the initialization of a variable, in the same way in all programs that exchange
// such values. It panics if the default codec can't encode T, if T is an interface, or if another
// type of the same name is registered.
func RegisterType[T any]() {
	if err := codec.Register[T](); err != nil {
		panic(fmt.Sprintf("ring: RegisterType: %v", err))
	}
}

// Errors of the default codec.
var (
	// ErrEncode means that the value can't be encoded: an interface in it holds a type that is not
	// registered, or it refers to itself.
	ErrEncode = codec.ErrEncode
	// ErrDecode means that bytes are not an encoded value of the type.
	ErrDecode = codec.ErrDecode
)

func init() { known.Register(ErrEncode, ErrDecode) }
