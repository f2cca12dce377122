// Package compare_test measures package codec beside other codecs.
package compare_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/seed-2e7ecdea/mp/internal/codec"
)

type job struct {
	ID   int
	Name string
	Tags []string
}

type point struct{ X, Y float64 }

// A subject encodes to bytes and back. Each message can be decoded alone, as one in a queue must be.
type subject[T any] struct {
	name   string
	encode func(dst []byte, v *T) ([]byte, error)
	decode func(src []byte, v *T) error
}

func subjects[T any](b *testing.B) []subject[T] {
	c, err := codec.Of[T]()
	if err != nil {
		b.Fatal(err)
	}
	return []subject[T]{
		{"mp", c.Append, c.Decode},
		{"cbor", func(dst []byte, v *T) ([]byte, error) {
			buf := bytes.NewBuffer(dst)
			err := cbor.MarshalToBuffer(v, buf)
			return buf.Bytes(), err
		}, func(src []byte, v *T) error { return cbor.Unmarshal(src, v) }},
		{"json", func(dst []byte, v *T) ([]byte, error) { return json.Marshal(v) },
			func(src []byte, v *T) error { return json.Unmarshal(src, v) }},
		{"gob", func(dst []byte, v *T) ([]byte, error) {
			buf := bytes.NewBuffer(dst)
			err := gob.NewEncoder(buf).Encode(v)
			return buf.Bytes(), err
		}, func(src []byte, v *T) error { return gob.NewDecoder(bytes.NewReader(src)).Decode(v) }},
	}
}

func compare[T any](b *testing.B, v T) {
	for _, s := range subjects[T](b) {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			buf, err := s.encode(nil, &v)
			if err != nil {
				b.Fatal(err)
			}
			var got T
			for b.Loop() {
				if buf, err = s.encode(buf[:0], &v); err != nil {
					b.Fatal(err)
				}
				got = *new(T)
				if err := s.decode(buf, &got); err != nil {
					b.Fatal(err)
				}
			}
			if !reflect.DeepEqual(v, got) {
				b.Errorf("%+.100v became %+.100v", v, got)
			}
			b.ReportMetric(float64(len(buf)), "bytes")
		})
	}
}

func BenchmarkJob(b *testing.B) {
	compare(b, job{42, "a name of 20 letters", []string{"red", "green", "blue"}})
}
func BenchmarkString(b *testing.B) { compare(b, strings.Repeat("x", 64)) }
func BenchmarkPoints(b *testing.B) { compare(b, make([]point, 1000)) }
func BenchmarkMap(b *testing.B) {
	compare(b, map[string]string{"one": "1", "two": "2", "three": "3", "four": "4"})
}
