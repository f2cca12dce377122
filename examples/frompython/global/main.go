// Command global shows that processes share no variables.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

var counter = 0

var increment = mp.Register("increment", func(ctx context.Context, _ mp.None) (mp.None, error) {
	counter++
	fmt.Println("child:", counter)
	return mp.None{}, nil
})

func main() {
	mp.Init()
	ctx := context.Background()
	check(must(increment.Start(ctx, mp.None{}, nil)).Join(ctx))
	fmt.Println("parent:", counter)
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
