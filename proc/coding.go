package proc

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/codec"
)

// A coding turns values of one type into bytes and back, and finds the objects in them. Its methods
// may be called by any number of goroutines at once. The zero value is ready for use: the type is
// looked at when the first value is encoded or decoded.
type coding[T any] struct {
	once sync.Once
	done atomic.Bool // look has returned
	code *codec.Codec[T]
	err  error // T can't travel
	walk bool  // a value may hold objects, or what can't be sent

	foreign bool // values travel in the form for other languages
}

// ready returns an error if T can't travel.
func (c *coding[T]) ready() error {
	if !c.done.Load() {
		c.once.Do(c.look)
	}
	return c.err
}

func (c *coding[T]) look() {
	defer c.done.Store(true)
	if c.foreign {
		return
	}
	code, err := codec.Of[T]()
	if err != nil {
		c.err = fmt.Errorf("%w: %w", ErrValue, err)
		return
	}
	c.code, c.walk = code, mustWalk(reflect.TypeFor[T]())
}

// print returns a fingerprint of T: 0 if T can't travel or is sent to other languages.
func (c *coding[T]) print() uint64 {
	if c.ready() != nil || c.foreign {
		return 0
	}
	return c.code.Fingerprint()
}

// encode appends the encoded *v to dst, and returns the handles in it.
func (c *coding[T]) encode(dst []byte, v *T) (data []byte, seen []sighting, err error) {
	if err := c.ready(); err != nil {
		return dst, nil, err
	}
	if c.foreign {
		moved := *v
		data, err = appendForeign(dst, &moved)
		return data, nil, err
	}
	if c.walk {
		moved := *v // so that only values with something to find are moved to the heap
		if seen, err = sightings(&moved); err != nil {
			return dst, nil, err
		}
	}
	data, err = c.code.Append(dst, v)
	return data, seen, err
}

// decode sets *v to the value in data.
func (c *coding[T]) decode(data []byte, v *T) error {
	if err := c.ready(); err != nil {
		return err
	}
	if c.foreign {
		var made T // so that only such values are moved to the heap
		err := setForeign(data, &made)
		*v = made
		return err
	}
	return c.code.Decode(data, v)
}

// objects returns the objects in *v, which was decoded.
func (c *coding[T]) objects(v *T) lease {
	if !c.walk {
		return nil
	}
	moved := *v
	seen, _ := sightings(&moved) // an error means that the rest can't be sent, and so was not decoded
	return leaseOf(seen)
}
