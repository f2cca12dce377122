// Command sum adds numbers in two processes, which get them from one queue.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

type job struct {
	Numbers *mp.Queue[int64]
	Sum     *mp.Int64
}

// Tasks are package-level variables, so that parent and child both have them.
var add = mp.Register("add", func(ctx context.Context, j job) (mp.None, error) {
	for n, err := range j.Numbers.All(ctx) { // until Shutdown, and the queue is empty
		if err != nil {
			return mp.None{}, err
		}
		j.Sum.Add(n)
	}
	return mp.None{}, nil
})

func main() {
	mp.Init() // the first line of main: a child runs its task here and goes no further
	ctx := context.Background()
	numbers, err := mp.NewQueue[int64](16)
	check(err)
	sum, err := mp.NewInt64(0)
	check(err)
	workers := mp.NewGroup(ctx)
	for range 2 {
		workers.Go(add.With(job{numbers, sum}))
	}
	for n := range int64(100) {
		check(numbers.Put(workers.Context(), n)) // an error if a worker has failed
	}
	check(numbers.Shutdown())
	check(workers.Wait()) // the first failure of a worker ends the others
	fmt.Println(sum.Load())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
