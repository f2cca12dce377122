// Command counter starts four processes, which increment one number.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

var count = mp.Register("count", func(ctx context.Context, n *mp.Int64) (mp.None, error) {
	for range 1000 {
		n.Add(1)
	}
	return mp.None{}, nil
})

func main() {
	mp.Init()
	n := must(mp.NewInt64(0))
	g := mp.NewGroup(context.Background())
	for range 4 {
		g.Go(count.With(n))
	}
	check(g.Wait())
	fmt.Println(n.Load())
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
