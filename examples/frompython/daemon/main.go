// Command daemon starts a process that is ended at the end of the program, and one that the program
// waits for.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

var serve = mp.Register("serve", func(ctx context.Context, started *mp.Event) (mp.None, error) {
	defer fmt.Println("the daemon cleans up")
	fmt.Println("the daemon starts")
	check(started.Set())
	<-ctx.Done() // when it is asked to end
	return mp.None{}, ctx.Err()
})

var work = mp.Register("work", func(ctx context.Context, started *mp.Event) (mp.None, error) {
	check(started.Wait(ctx))
	fmt.Println("the worker ends")
	return mp.None{}, nil
})

func main() {
	mp.Init()
	ctx := context.Background()
	started := must(mp.NewEvent())
	must(serve.Start(ctx, started, &mp.ProcessOptions{Daemon: true}))
	worker := must(work.Start(ctx, started, nil))
	check(started.Wait(ctx))
	check(worker.Join(ctx)) // Shutdown would wait for it, too, but end the daemon at once
	check(mp.Shutdown(ctx)) // without it, the end of main kills all children
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
