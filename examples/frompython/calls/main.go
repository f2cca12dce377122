// Command calls computes squares, each in a process of its own.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

var square = mp.Register("square", func(ctx context.Context, x int) (int, error) { return x * x, nil })

func main() {
	mp.Init()
	ctx := context.Background()
	var calls []*mp.Call[int]
	for _, x := range []int{1, 2, 3} {
		calls = append(calls, must(square.Start(ctx, x, nil)))
	}
	for _, call := range calls {
		fmt.Println(must(call.Result(ctx)))
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
