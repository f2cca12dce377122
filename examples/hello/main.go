// Command hello starts three processes and waits until they have ended.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/seed-2e7ecdea/mp"
)

var hello = mp.Register("hello", func(ctx context.Context, name string) (mp.None, error) {
	_, err := fmt.Printf("hello %s from process %d\n", name, os.Getpid())
	return mp.None{}, err
})

func main() {
	mp.Init() // a child runs its task here, and goes no further
	g := mp.NewGroup(context.Background())
	for _, name := range []string{"a", "b", "c"} {
		g.Go(hello.With(name))
	}
	if err := g.Wait(); err != nil {
		log.Fatal(err)
	}
}
