// Package proc runs functions in processes of their own.
//
// A task is a function registered under a name. Its argument and its result are
// ordinary Go values, in which queues, pipes, locks and segments may stand: the
// child then shares them with its parent.
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//		"log"
//		"os"
//
//		"github.com/seed-2e7ecdea/mp/proc"
//	)
//
//	var square = proc.Register("square", func(ctx context.Context, n int) (string, error) {
//		return fmt.Sprintf("%d, says process %d", n*n, os.Getpid()), nil
//	})
//
//	func main() {
//		proc.Init()
//		ctx := context.Background()
//		p, err := square.New(7, nil)
//		if err != nil {
//			log.Fatal(err)
//		}
//		if err := p.Start(ctx); err != nil {
//			log.Fatal(err)
//		}
//		answer, err := p.Result(ctx)
//		if err != nil {
//			log.Fatal(err)
//		}
//		fmt.Println(answer)
//	}
//
// A child is the same executable, run again; Init in its main function runs the
// task instead of the rest of main. Until there it does what the parent did: it
// initialises packages. It shares no variables with its parent.
//
// # How processes end
//
// A task that returns ends its process with exit code 0, or 1 if it returned an
// error; a panic in any goroutine ends it with 2. Join tells the parent which it
// was: the error, the panic with its stack, the exit code or the signal.
//
// Children die with their parent, and with them theirs. The kernel kills them when
// the parent has ended, however it did, SIGKILL included. Join the children whose
// work matters before main returns.
//
// The package works on Linux. Elsewhere Start fails with errors.ErrUnsupported.
package proc
