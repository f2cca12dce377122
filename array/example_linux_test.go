package array_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

type point struct{ X, Y float64 }

type shared struct {
	N    *value.Value[int32]
	X    *value.Value[float64]
	S    *array.Bytes
	A    *array.Array[point]
	Lock *psync.Lock
}

var modify = proc.Register("modify", func(ctx context.Context, d shared) (int, error) {
	if err := d.Lock.Acquire(ctx); err != nil {
		return 0, err
	}
	defer d.Lock.Release()
	d.N.Store(d.N.Load() * d.N.Load())
	d.X.Store(d.X.Load() * d.X.Load())
	points := d.A.Slice()
	for i := range points {
		points[i].X *= points[i].X
		points[i].Y *= points[i].Y
	}
	return 0, d.S.Set(strings.ToUpper(d.S.String()))
})

// A child changes two values, a byte string and an array of its parent under one lock.
func Example_pointV08() {
	// TestMain has called proc.Init.
	ctx := context.Background()
	seg := must(shm.Anonymous(1<<16, nil))
	defer seg.Close()
	lock := must(psync.NewLock(seg, "", nil))
	o := &array.Options{Lock: lock}
	d := shared{
		N:    must(value.New(seg, "", int32(7), &value.Options{Lock: lock})),
		X:    must(value.NewRaw(seg, "", 1.0/3)),
		S:    must(array.NewBytesFrom(seg, "", "hello world", o)),
		A:    must(array.NewFrom(seg, "", []point{{1.875, -6.25}, {-5.75, 2.0}, {2.375, 9.5}}, o)),
		Lock: lock,
	}
	child := must(modify.New(d, nil))
	check(child.Start(ctx))
	check(child.Join(ctx))
	fmt.Println(d.N.Load())
	fmt.Println(d.X.Load())
	fmt.Println(d.S)
	for i, p := range d.A.All() {
		if i > 0 {
			fmt.Print(" ")
		}
		fmt.Printf("(%v, %v)", p.X, p.Y)
	}
	// Output:
	// 49
	// 0.1111111111111111
	// HELLO WORLD
	// (3.515625, 39.0625) (33.0625, 4) (5.640625, 90.25)
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
