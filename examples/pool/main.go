// Command pool squares three numbers in five processes.
package main

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/seed-2e7ecdea/mp"
)

var square = mp.Register("square", func(ctx context.Context, x int) (int, error) { return x * x, nil })

func main() {
	mp.Init()
	pool, err := mp.NewPool(5, nil)
	check(err)
	defer pool.Close()
	for y, err := range square.Map(context.Background(), pool, slices.Values([]int{1, 2, 3})) {
		check(err)
		fmt.Println(y)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
