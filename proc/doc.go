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
//		p, err := square.Start(ctx, 7, nil)
//		if err != nil {
//			log.Fatal(err)
//		}
//		answer, err := p.Result(ctx)
//		if err != nil {
//			log.Fatal(err)
//		}
//		fmt.Println(answer)
//	}
//
// A child is the same executable, run again. It initializes its packages, as the parent
// did, and Init in its main function runs the task instead of the rest of main. It shares no
// variables with its parent.
//
// # What a child inherits
//
// A child inherits the environment, the working directory and three standard files: see
// Options. It inherits no other descriptor, not even one without the close-on-exec mark (in
// Linux before 5.9, or where a seccomp filter forbids close_range, it does inherit those).
// Init gets everything else from the parent over a Unix socket: programs that the child's
// packages start before that get nothing of the child's. Parent and child must be in the same
// network namespace and PID namespace when the child calls Init.
//
// # How processes are started
//
// Options.Method says how: Spawn runs the executable again. Warm takes a process that was started
// ahead, which is several times faster: see Spares. InProcess runs the task in a goroutine, for
// tests and debuggers. There is no fork.
//
// # How processes end
//
// A task that returns ends its process with exit code 0, or 1 if it returned an
// error. A panic in any goroutine ends the process with 2. Join returns the error, the panic
// with its stack, the exit code or the signal.
//
// Terminate and Interrupt cancel the task's context: see Register. Stop ends a process and all that
// it has started.
//
// When a process ends, by SIGKILL, by the return of main or otherwise, the kernel kills its
// children, and so their children. Go has no hook at the end of main, so a program that wants to
// wait for its children, and to end those that are daemons gracefully, calls Shutdown there.
//
// # Other programs
//
// Command runs a program that need not be Go, under the same supervision. Pass hands it shared memory,
// which it uses through the clients in C and Python: see the directory clients.
//
// The package works on Linux. Elsewhere Start fails with errors.ErrUnsupported unless the method is
// InProcess.
package proc
