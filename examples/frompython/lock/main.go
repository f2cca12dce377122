// Command lock starts ten processes, which print one at a time.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

type job struct {
	Lock *mp.Lock
	N    int
}

var say = mp.Register("say", func(ctx context.Context, j job) (mp.None, error) {
	return mp.None{}, j.Lock.With(ctx, func() error {
		_, err := fmt.Println("hello world", j.N)
		return err
	})
})

func main() {
	mp.Init()
	lock := must(mp.NewLock())
	g := mp.NewGroup(context.Background())
	for n := range 10 {
		g.Go(say.With(job{lock, n}))
	}
	check(g.Wait())
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
