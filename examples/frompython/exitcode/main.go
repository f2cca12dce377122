// Command exitcode prints what a parent knows about its child before and after the child ends.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/seed-2e7ecdea/mp"
)

var work = mp.Register("work", func(ctx context.Context, end *mp.Event) (mp.None, error) {
	if err := end.Wait(ctx); err != nil {
		return mp.None{}, err
	}
	os.Exit(3)
	return mp.None{}, nil
})

func main() {
	mp.Init()
	ctx := context.Background()
	end := must(mp.NewEvent())
	p := must(work.Start(ctx, end, &mp.ProcessOptions{Name: "worker", Daemon: true}))
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	fmt.Println(p.Join(short))
	_, exited := p.ExitCode()
	fmt.Println(p.Name(), p.Alive(), exited)
	check(end.Set())
	fmt.Println(p.Join(ctx))
	code, _ := p.ExitCode()
	fmt.Println(p.Name(), p.Alive(), code)
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
