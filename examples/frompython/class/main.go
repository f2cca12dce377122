// Command class starts a process with several arguments and gets its result.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

type greeter struct{ Greeting, Name string }

var greet = mp.Register("greet", func(ctx context.Context, g greeter) (int, error) {
	return fmt.Println(g.Greeting, g.Name)
})

func main() {
	mp.Init()
	ctx := context.Background()
	p := must(greet.Start(ctx, greeter{"good morning", "bob"}, nil))
	fmt.Println(must(p.Result(ctx)))
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
