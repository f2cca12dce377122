// Command value shares a number and an array.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

type shared struct {
	N *mp.Float64
	A *mp.Array[int32]
}

var set = mp.Register("set", func(ctx context.Context, s shared) (mp.None, error) {
	s.N.Store(3.1415927)
	for i, x := range s.A.All() {
		s.A.Set(i, -x)
	}
	return mp.None{}, nil
})

func main() {
	mp.Init()
	ctx := context.Background()
	s := shared{must(mp.NewFloat64(0)), must(mp.NewArray[int32](10))}
	for i := range s.A.Len() {
		s.A.Set(i, int32(i))
	}
	check(must(set.Start(ctx, s, nil)).Join(ctx))
	fmt.Println(s.N.Load())
	fmt.Println(s.A.Slice())
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
