// Command structs shares an array of structs, and the lock that guards it.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

type point struct{ X, Y float64 }

var modify = mp.Register("modify", func(ctx context.Context, a *mp.Array[point]) (mp.None, error) {
	return mp.None{}, a.Lock().With(ctx, func() error {
		for i, p := range a.All() {
			a.Set(i, point{p.X * p.X, p.Y * p.Y})
		}
		return nil
	})
})

func main() {
	mp.Init()
	ctx := context.Background()
	a := must(mp.NewArray[point](3))
	a.CopyFrom([]point{{1.875, -6.25}, {-5.75, 2.0}, {2.375, 9.5}})
	check(must(modify.Start(ctx, a, nil)).Join(ctx))
	for _, p := range a.All() {
		fmt.Println(p.X, p.Y)
	}
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
