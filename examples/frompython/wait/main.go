// Command wait waits for the messages of several pipes and for the ends of processes.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"slices"

	"github.com/seed-2e7ecdea/mp"
)

type job struct {
	N int
	W *mp.Conn
}

var count = mp.Register("count", func(ctx context.Context, j job) (mp.None, error) {
	for i := range 3 {
		check(j.W.Send(ctx, fmt.Appendf(nil, "%d from child %d", i, j.N)))
	}
	os.Exit(j.N)
	return mp.None{}, nil
})

func main() {
	mp.Init()
	ctx := context.Background()
	var waiting []mp.Waitable
	for n := range 3 {
		r, w, err := mp.NewPipe()
		check(err)
		p := must(count.Start(ctx, job{n, w}, nil))
		check(w.Close())
		waiting = append(waiting, r, p)
	}
	for len(waiting) > 0 {
		i := must(mp.Select(ctx, waiting...))
		switch ready := waiting[i].(type) {
		case *mp.Conn:
			msg, err := ready.Receive(ctx)
			if err != io.EOF {
				check(err)
				fmt.Println(string(msg))
				continue
			}
		case *mp.Call[mp.None]:
			code, _ := ready.ExitCode()
			fmt.Println("exit code", code)
		}
		waiting = slices.Delete(waiting, i, i+1)
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
