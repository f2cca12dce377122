// Command pythonpool counts words in a pool whose workers are programs in Python. A worker that dies
// costs its own call. Its argument is the worker:
//
//	PYTHONPATH=clients/python go run ./examples/pythonpool examples/pythonpool/worker.py
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"

	"github.com/seed-2e7ecdea/mp"
)

// count and crash are tasks that the workers have, under these names.
var (
	count = mp.ForeignTask[string, map[string]int]("count")
	crash = mp.ForeignTask[string, string]("crash")
)

func main() {
	mp.Init()
	if len(os.Args) != 2 {
		log.Fatal("usage: pythonpool WORKER.py")
	}
	pool, err := mp.NewPool(2, &mp.PoolOptions{
		Command: func() *mp.Cmd { return mp.Command("python3", "-B", os.Args[1]) },
	})
	check(err)
	defer pool.Close()
	ctx := context.Background()
	lines := []string{"to be or not to be", "that is the question"}
	for words, err := range count.Map(ctx, pool, slices.Values(lines)) {
		check(err)
		fmt.Println(words)
	}
	var lost *mp.WorkerLostError
	if _, err := crash.Apply(ctx, pool, ""); errors.As(err, &lost) {
		fmt.Println("its worker was lost, signal", -lost.ExitCode)
	}
	words, err := count.Apply(ctx, pool, "and so on and on")
	check(err)
	fmt.Println(words)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
