// Command process runs a function in a process of its own.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

var hello = mp.Register("hello", func(ctx context.Context, name string) (mp.None, error) {
	fmt.Println("hello", name)
	return mp.None{}, nil
})

func main() {
	mp.Init()
	ctx := context.Background()
	p := must(hello.Start(ctx, "bob", nil))
	check(p.Join(ctx))
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
