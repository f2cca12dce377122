// Command children starts six processes with names and waits for all of them.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

var work = mp.Register("work", func(ctx context.Context, n int) (mp.None, error) {
	fmt.Println(mp.Self(), "works on", n)
	return mp.None{}, nil
})

func main() {
	mp.Init()
	g := mp.NewGroup(context.Background())
	for n := range 6 {
		g.Go(work.With(n).Options(&mp.ProcessOptions{Name: fmt.Sprint("child ", n)}))
	}
	check(g.Wait()) // the first failure ends the others
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
