package proc

import (
	"bytes"
	"encoding/gob"
	"reflect"
)

// box lets gob send what it refuses on its own: nil pointers and interfaces.
type box[T any] struct{ V T }

// encode turns v into bytes. Nothing is sent of a type without size.
func encode[T any](v T) ([]byte, error) {
	if reflect.TypeFor[T]().Size() == 0 {
		return nil, nil
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(&box[T]{v}); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func decode[T any](data []byte) (T, error) {
	var b box[T]
	if reflect.TypeFor[T]().Size() == 0 {
		return b.V, nil
	}
	err := gob.NewDecoder(bytes.NewReader(data)).Decode(&b)
	return b.V, err
}
