package value_test

import (
	"sync/atomic"
	"testing"

	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

func newIn[T any](b *testing.B) *value.Value[T] {
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { seg.Close() })
	var x T
	v, err := value.New(seg, "", x, nil)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

var sink uint64

func BenchmarkAtomicLoad(b *testing.B) {
	var x atomic.Uint64
	for b.Loop() {
		sink += x.Load()
	}
}
func BenchmarkLoad8(b *testing.B) {
	v := newIn[uint64](b)
	for b.Loop() {
		sink += v.Load()
	}
}
func BenchmarkStore8(b *testing.B) {
	v := newIn[uint64](b)
	for b.Loop() {
		v.Store(7)
	}
}
func BenchmarkAtomicStore(b *testing.B) {
	var x atomic.Uint64
	for b.Loop() {
		x.Store(1)
	}
}
func BenchmarkLoad64(b *testing.B) {
	v := newIn[[8]uint64](b)
	for b.Loop() {
		x := v.Load()
		sink += x[7]
	}
}
func BenchmarkStore64(b *testing.B) {
	v := newIn[[8]uint64](b)
	for b.Loop() {
		v.Store([8]uint64{1})
	}
}
func BenchmarkUpdate8(b *testing.B) {
	v := newIn[uint64](b)
	for b.Loop() {
		v.Update(b.Context(), func(x *uint64) { *x++ })
	}
}

func BenchmarkInt64Load(b *testing.B) {
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { seg.Close() })
	v, _ := value.NewUint64(seg, "", 1, nil)
	for b.Loop() {
		sink += v.Load()
	}
}
