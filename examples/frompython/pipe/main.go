// Command pipe receives from two processes, which send through one pipe.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

type job struct {
	Out  *mp.WriteEnd
	Name string
}

var work = mp.Register("work", func(ctx context.Context, j job) (mp.None, error) {
	return mp.None{}, j.Out.Send(ctx, []byte("hello from "+j.Name)) // several senders need no lock
})

func main() {
	mp.Init()
	ctx := context.Background()
	in, out, err := mp.NewSimplex()
	check(err)
	for _, name := range []string{"ann", "bob"} {
		must(work.Start(ctx, job{out, name}, nil))
	}
	check(out.Close())
	for {
		msg, err := in.Receive(ctx)
		if errors.Is(err, io.EOF) { // all senders have ended, or died
			break
		}
		check(err)
		fmt.Println(string(msg))
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
