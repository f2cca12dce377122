// Command pool computes squares in five processes.
package main

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/seed-2e7ecdea/mp"
)

var f = mp.Register("f", func(ctx context.Context, x int) (int, error) { return x * x, nil })

func main() {
	mp.Init()
	p := must(mp.NewPool(5, nil))
	defer p.Close()
	for y, err := range f.Map(context.Background(), p, slices.Values([]int{1, 2, 3})) {
		check(err)
		fmt.Println(y)
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
