// Command point is the example of shared ctypes objects from CPython's documentation, in
// Go: a child squares numbers in shared memory, and the parent prints them.
package main

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/seed-2e7ecdea/mp"
)

type point struct{ X, Y float64 }

type shared struct {
	Lock *mp.Lock
	N    *mp.Int64
	X    *mp.Float64
	S    *mp.Bytes
	A    *mp.Array[point]
}

var modify = mp.Register("modify", func(ctx context.Context, d shared) (mp.None, error) {
	return mp.None{}, d.Lock.With(ctx, func() error {
		d.N.Store(d.N.Load() * d.N.Load())
		d.X.Store(d.X.Load() * d.X.Load())
		for i, p := range d.A.All() {
			d.A.Set(i, point{p.X * p.X, p.Y * p.Y})
		}
		return d.S.Set(strings.ToUpper(d.S.String()))
	})
})

func main() {
	mp.Init()
	ctx := context.Background()
	d := shared{must(mp.NewLock()), must(mp.NewInt64(7)), must(mp.NewFloat64(1.0 / 3)),
		must(mp.NewBytes(11)), must(mp.NewArray[point](3))}
	must(0, d.S.Set("hello world"))
	copy(d.A.Slice(), []point{{1.875, -6.25}, {-5.75, 2.0}, {2.375, 9.5}})
	child := must(modify.Start(ctx, d, nil))
	must(0, child.Join(ctx))
	fmt.Println(d.N.Load())
	fmt.Println(d.X.Load())
	fmt.Println(d.S)
	for _, p := range d.A.All() {
		fmt.Printf("(%v, %v)\n", p.X, p.Y)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
