package cluster

import (
	"context"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/relay"
	"github.com/seed-2e7ecdea/mp/proc"
)

// A Pool is a pool of package proc: Task.Map, MapUnordered, Submit and Apply run on it as on the
// workers of this machine. NewPool of this package makes one whose workers are those of all processes
// that call Serve. What is different there:
//
//   - A call may run more than once: see PoolOptions.Lease. Its caller gets one result or error.
//   - Arguments and results can't hold objects in shared memory. Such a call fails.
//   - CallOptions.Key and Resize fail with errors.ErrUnsupported. Workers returns how many workers
//     are known at the moment: 0 just after NewPool. Without any worker calls wait.
//   - The errors that a worker's machine reports, such as ErrInit, arrive as *proc.RemoteError;
//     errors.Is finds what they are.
//   - Close and Terminate end this process's use of the pool. The machines go on to serve others.
type Pool = proc.Pool

// PoolOptions are options for NewPool. A nil *PoolOptions means the defaults.
type PoolOptions struct {
	// Timeout bounds the time that a task runs, as proc.PoolOptions.Timeout. The time in which a call
	// waits for a worker does not count. The default 0 means no bound.
	Timeout time.Duration

	// Retries is how many times a call is run again after its worker process was lost, as
	// proc.PoolOptions.Retries.
	Retries int

	// Lease is the time after which the calls of a machine go to other machines if the server does not
	// hear of it: it has died or is cut off. Calls that it was running run again, and its results, if it
	// has any later, are dropped. The default is 30 s; the least is 1 s. All callers and machines of a
	// pool have the Lease of the last NewPool that set one; so it is with Machines.
	Lease time.Duration

	// Machines is how many machines may begin a call, one after the other, and not answer: then it fails with
	// ErrMachines. A machine that ends on request and gives the call back counts if it had begun. The
	// default is 10. One machine more may begin the call, since the server records no first deliveries: so
	// calls that are given to one machine cost no more. With Machines 1 it records each delivery, for the
	// price of two messages and a request for each batch: then no call begins on two machines.
	Machines int
}

const (
	defaultMachines = 10
	callers         = "workers" // name of the consumer of all calls
)

// NewPool makes a pool of that name, or joins it if it exists: any number of processes may use it at
// once. Its workers are those of the processes that call Serve with the same name. The tasks are those
// of package proc; both sides must have registered them.
//
// NewPool blocks until the server answers. It fails with ctx's error, with ErrName, ErrClosed, or with
// the error of the server.
func NewPool(ctx context.Context, c *Cluster, name string, o *PoolOptions) (*Pool, error) {
	if o == nil {
		o = &PoolOptions{}
	}
	e, err := newCaller(ctx, c, name, o)
	if err != nil {
		return nil, failed("NewPool", "pool", name, err)
	}
	return relay.Proc.NewPool(e, o.Timeout, o.Retries).(*Pool), nil
}
