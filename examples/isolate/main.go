// Command isolate is a daemon that runs code which it must not trust to behave: native code that may crash, leak or
// loop for ever. Each call runs in a worker process. A call that goes wrong costs that call, which gets an error that
// says what happened, and nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/seed-2e7ecdea/mp"
)

// render stands for a call of a native library, which may do anything to its process.
var render = mp.Register("render", func(ctx context.Context, document string) (int, error) {
	switch document {
	case "crash": // what a bad pointer in C does
		die(syscall.SIGSEGV)
	case "abort": // what assert does in C
		die(syscall.SIGABRT)
	case "leak":
		for kept := [][]byte{}; ; {
			kept = append(kept, slices.Repeat([]byte{1}, 1<<20))
		}
	case "loop":
		for {
			runtime.Gosched()
		}
	}
	return len(document), nil
})

// die ends this process by a signal.
func die(signal os.Signal) {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		p.Signal(signal)
	}
	select {} // the signal comes
}

func main() {
	mp.Init()
	ctx := context.Background()
	pool, err := mp.NewPool(2, &mp.PoolOptions{Process: &mp.ProcessOptions{Memory: 16 << 20}, Timeout: 700 * time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	// The daemon serves a user who sends good documents all the while.
	stop := make(chan struct{})
	var good int
	var slowest time.Duration
	var user sync.WaitGroup
	user.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			begin := time.Now()
			if _, err := render.Apply(ctx, pool, "good"); err != nil {
				log.Fatal(err)
			}
			good++
			slowest = max(slowest, time.Since(begin))
		}
	})

	for _, document := range []string{"crash", "abort", "leak", "loop"} {
		begin := time.Now()
		_, err := render.Apply(ctx, pool, document)
		fmt.Printf("%s: %s\n", document, explain(err))
		fmt.Fprintf(os.Stderr, "%s took %v\n", document, time.Since(begin))
	}
	close(stop)
	user.Wait()
	fmt.Println("workers lost:", pool.Stats().Lost)
	fmt.Fprintf(os.Stderr, "%d good documents meanwhile, the slowest took %v\n", good, slowest)
}

// explain says in a few words what happened to a call.
func explain(err error) string {
	var lost *mp.WorkerLostError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "took too long"
	case errors.As(err, &lost) && lost.Memory:
		return "needed too much memory"
	case errors.As(err, &lost):
		return "crashed its worker"
	}
	return fmt.Sprint(err)
}
