// Command hello starts a process and sends it a word through a queue that both
// of them have in memory.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

var greet = proc.Register("greet", func(ctx context.Context, q *ring.Queue[[32]byte]) (int, error) {
	word, err := q.Get(ctx)
	if err != nil {
		return 0, err
	}
	return fmt.Printf("child %d got %s\n", os.Getpid(), bytes.TrimRight(word[:], "\x00"))
})

func main() {
	proc.Init() // a child runs its task here, and goes no further
	ctx := context.Background()
	seg := must(shm.Anonymous(1<<20, nil)) // it vanishes with its last user
	q := must(ring.NewQueue[[32]byte](seg, "words", 16, nil))
	child := must(greet.New(q, nil)) // the queue travels by its handle
	check(child.Start(ctx))
	check(q.Put(ctx, [32]byte{'h', 'e', 'l', 'l', 'o'}))
	check(child.Join(ctx))
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
